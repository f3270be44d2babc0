"""An owner is kept from its turn for days and is then free: who gets what in each hour after that.

Pilots of eight cores are full at all times, and every owner always has jobs. Something keeps the
first owner away for a while: a limit, needs that few or no pilots meet, or that it has no jobs.
"""

import heapq
import random
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules, RunningLimit
from pilotage.matcher.types import ClassSpec, LiveOffer, Match
from pilotage.proto.documents.job import Need
from tests.matcher.again import again, held

from .load import DAY_S, HOUR_S, less, more

CORES: Final = 8  # of a pilot, and of the limit
SITE: Final = "PIC"
READY: Final = "ready"  # a tag that the first owner's jobs may ask for
KEPT_BY: Final = ("limit", "few pilots", "no pilots", "no jobs")
WORDS: Final = {
    "limit": "a limit of 8 cores",
    "few pilots": "its jobs fit 1 of 11 pilots",
    "no pilots": "its jobs fit no pilot, for example because its site is banned",
    "no jobs": "it has no jobs",
}
BLOCK: Final = 1_000  # jobs that an owner submits whenever as many have started


@dataclass(frozen=True)
class Party:
    """One owner, its share, the wall time of its jobs and the part of it that they use."""

    group: str
    owner: str
    share: float = 1.0
    wall_s: float = HOUR_S
    used: float = 1.0


HELD: Final = (Party("a", "ada"), Party("b", "bob"), Party("c", "eve"))


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is played. The first party is the one that is kept away."""

    parties: tuple[Party, ...]
    groups: Mapping[str, float]  # their shares
    kept_by: str = "limit"
    kept_s: float = 7 * DAY_S
    after_s: float = 12 * HOUR_S  # how long it is played on from the first hour that counts
    restarts: bool = False  # when the owner is free, the central restarts as well
    pilots: int = 11
    half_life_s: float = 604_800.0
    ahead: float = 0.25
    seed: int = 1

    @property
    def cores(self) -> int:
        return self.pilots * CORES

    @property
    def first_s(self) -> float:
        """From when on the hours count: the longest job that ran at that moment has ended."""
        return self.kept_s + max(party.wall_s for party in self.parties)

    def rules(self, *, is_limited: bool) -> Rules:
        shares = {f"ctao/{group}": share for group, share in self.groups.items()}
        shares |= {f"ctao/{it.group}/{it.owner}": it.share for it in self.parties}
        owner = self.parties[0].owner
        limit = RunningLimit(where=SITE, by="owner", value=owner, most=CORES)
        return Rules(
            shares=shares,
            half_life_s=self.half_life_s,
            running=(limit,) if is_limited else (),
            ahead=self.ahead,
        )

    def due(self) -> dict[str, float]:
        """Return the part of the cores that each owner is due while all of them wait."""
        total = sum(self.groups.values())
        of_group: defaultdict[str, float] = defaultdict(float)
        for party in self.parties:
            of_group[party.group] += party.share
        return {
            it.owner: self.groups[it.group] / total * it.share / of_group[it.group]
            for it in self.parties
        }


class Freed:
    """The play of one case."""

    def __init__(self, case: Case) -> None:
        self.case, self.now = case, 0.0
        self.hours: defaultdict[int, defaultdict[str, float]] = defaultdict(
            lambda: defaultdict(float)
        )  # from the first that counts: core hours of each owner
        self.matched: Counter[str] = Counter()
        self.matcher = Matcher(case.rules(is_limited=case.kept_by == "limit"))
        self._chance = random.Random(case.seed)
        self._ends: list[tuple[float, int, Match, str]] = []
        self._runs_s: dict[int, float] = {}
        self._started: dict[int, int] = {}  # by party: since it submitted last
        self._next_job = 1
        self._offers = {name: _pilot(name) for name in map(str, range(case.pilots))}
        for number, party in enumerate(case.parties):
            self.matcher.add_class(self._spec(number, party))
            if number or case.kept_by != "no jobs":
                self._come(number)

    def run(self) -> "Freed":
        """Play it all."""
        case = self.case
        if case.kept_by == "few pilots":
            self._tag(["0"])
        self._play(case.kept_s)
        if case.kept_by == "limit":
            self.matcher.change(case.rules(is_limited=False), self.now)
        elif case.kept_by == "no jobs":
            self._come(0)
        else:
            self._tag(list(self._offers))
        if case.restarts:
            self.matcher = again(
                case.rules(is_limited=False), held(self.matcher, self.now), self.now
            )
        self._play(case.first_s + case.after_s)
        return self

    def least(self) -> dict[str, float]:
        """Return the least that each owner got in an hour, as a part of its share."""
        due = self.case.due()
        whole = range(int(self.case.after_s // HOUR_S))
        return {
            owner: min(self.hours[hour][owner] for hour in whole) / (part * self.case.cores)
            for owner, part in due.items()
        }

    def _spec(self, number: int, party: Party) -> ClassSpec:
        asks = not number and self.case.kept_by in ("few pilots", "no pilots")
        need = Need(wall_s=round(party.wall_s), tags=READY if asks else "")
        return ClassSpec(
            class_id=number + 1,
            community="ctao",
            group=party.group,
            owner=party.owner,
            type="User",
            needs=(need,),
        )

    def _come(self, number: int) -> None:
        """Submit as many jobs as have started, and at first two such blocks."""
        for _ in range(1 if number in self._started else 2):
            self.matcher.add(number + 1, 5, range(self._next_job, self._next_job + BLOCK))
            self._next_job += BLOCK
        self._started[number] = 0

    def _tag(self, pilots: list[str]) -> None:
        for name in pilots:
            offer = msgspec.structs.replace(self._offers[name], tags=frozenset([READY]))
            self._offers[name] = offer

    def _play(self, until_s: float) -> None:
        for name in self._offers:
            self._fill(name)
        while self._ends and self._ends[0][0] <= until_s:
            self.now, _, match, name = heapq.heappop(self._ends)
            self.matcher.ended(match.job, self._runs_s.pop(match.job) * match.grant.cores)
            self._offers[name] = more(self._offers[name], match)
            self._fill(name)
        self.now = until_s

    def _fill(self, name: str) -> None:
        """Start what the matcher gives; no two jobs run equally long."""
        for match in self.matcher.match(self._offers[name], CORES, self.now):
            self.matcher.confirm(match.job)
            self._offers[name] = less(self._offers[name], match)
            number = match.class_id - 1
            party = self.case.parties[number]
            self._started[number] += 1
            self.matched[party.owner] += 1
            if self._started[number] == BLOCK:
                self._come(number)
            runs_s = self._chance.uniform(0.8, 1.0) * party.used * party.wall_s
            self._runs_s[match.job] = runs_s
            heapq.heappush(self._ends, (self.now + runs_s, match.job, match, name))
            self._count(party.owner, self.now - self.case.first_s, runs_s)

    def _count(self, owner: str, start_s: float, runs_s: float) -> None:
        at_s, end_s = max(0.0, start_s), start_s + runs_s
        while at_s < end_s:
            hour = int(at_s // HOUR_S)
            until_s = min(end_s, (hour + 1) * HOUR_S)
            self.hours[hour][owner] += (until_s - at_s) / HOUR_S
            at_s = until_s


def section(kept_s: float) -> str:
    """Return the part of the page about owners that are free again, in Markdown."""
    groups = {"a": 1.0, "b": 2.0, "c": 5.0}
    rows = [
        "| what keeps ada away | ada | bob | eve |",
        "|---|---:|---:|---:|",
    ]
    for kept_by, words in WORDS.items():
        case = Case(parties=HELD, groups=groups, kept_by=kept_by, kept_s=kept_s)
        least = Freed(case).run().least()
        cells = " | ".join(f"{part:.0%}" for part in least.values())
        rows.append(f"| {words} | {cells} |")
    return "\n".join([_INTRO.format(days=kept_s / DAY_S), *rows, ""])


_INTRO: Final = """\
## An owner is free again

Three owners in three groups with shares 1 : 2 : 5 keep 88 cores full with jobs of one hour. For
{days:g} days ada is kept from its turn. The table shows the least part of its share that each owner
then gets in any of twelve hours. The goal is 50 %.
"""


def _pilot(name: str) -> LiveOffer:
    return LiveOffer(
        pilot=name,
        community="ctao",
        site=SITE,
        element="ce",
        os="el9",
        architecture="x86_64",
        cores=CORES,
        cores_free=CORES,
        memory_free_mb=1_000_000,
        wall_left_s=1e9,
    )
