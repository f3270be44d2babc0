"""Hosts and elements that swallow jobs, as the dispatch asks about them. Pure.

Hosts are told apart by their site and the name that their pilots say; a pilot may lie about its
name, but never about its site. Beside the scores stands which jobs are not given to which host for
a moment: what a job needs was not there, and another host may have it.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from pilotage.matcher import Matcher
from pilotage.matcher.matcher import less
from pilotage.matcher.types import LiveOffer, Match
from pilotage.proto.messages import How

from .scores import Place, PlaceChange, PlaceHold, PlaceSummary, Scores, SuspensionPolicy

QUICK_S: Final = 60.0  # an attempt that fails within so long says something about its host
ASIDE_S: Final = 120.0  # for so long a job is not given again to a host where it did not run well
LATELY_S: Final = 900.0  # a host that has not asked for so long is no other choice
ASIDE_MAX: Final = 64  # such jobs of a host, the newest
HOSTS_MAX: Final = 10_000  # with such jobs
PASSED_MAX: Final = 32  # jobs of owners who have tried, before one of them tries again
WHOLE: Final = SuspensionPolicy(jobs_min=20)  # of an element: many hosts, many jobs

# Ends that say something about a host when they come early.
SAYS_SOMETHING: Final = frozenset(
    {
        *(How.EXITED, How.SIGNALLED, How.OUTPUT, How.NO_START, How.INPUT, How.SOFTWARE),
        *(How.LOST, How.OTHER),
    }
)
# What the job needs was not there, or could not be started: elsewhere it may.
NOT_HERE: Final = frozenset({How.NO_START, How.SOFTWARE})
# Early ends of these may be the host's doing: another try is worth more on another one.
PERHAPS_HERE: Final = frozenset({How.EXITED, How.SIGNALLED, How.OUTPUT, How.INPUT})


class HostFailure(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ended that did not do well, as far as its host is concerned."""

    job: int
    owner: str
    how: How
    ran_s: float  # 0 where it never started
    why: str


@dataclass(frozen=True)
class HostChange:
    """What has changed, for the log."""

    verdict: PlaceChange
    site: str
    element: str  # empty: it is about a host
    host: str  # empty: it is about an element
    why: str


class Hosts:
    """Hosts and elements, and what is held against them."""

    def __init__(self, has_pilots: Callable[[str, str], bool] = lambda _site, _host: True) -> None:
        """`has_pilots`: whether pilots that take jobs run on this host of this site."""
        self._has_pilots = has_pilots
        self._hosts, self._elements = Scores(SuspensionPolicy()), Scores(WHOLE)
        self._aside: OrderedDict[Place, OrderedDict[int, float]] = OrderedDict()  # job → until

    def did_well(
        self, site: str, element: str, host: str, owner: str, now: float
    ) -> Sequence[HostChange]:
        """An attempt has ended well there, or runs for long; return what that changes."""
        of_host = self._hosts.did_well((site, host), owner, now)
        of_element = self._elements.did_well((site, element), owner, now)
        if of_host is None and of_element is None:  # nearly always
            return ()
        told: list[HostChange] = []
        if of_host is not None:
            told.append(HostChange(of_host, site, "", host, ""))
        if of_element is not None:
            told.append(HostChange(of_element, site, element, "", ""))
        return told

    def ended(
        self, site: str, element: str, host: str, end: HostFailure, now: float
    ) -> list[HostChange]:
        """An attempt has ended there and did not do well; return what that changes."""
        told: list[HostChange] = []
        if end.how in NOT_HERE:
            self._put_aside((site, host), end.job, now)
        elif end.how in PERHAPS_HERE and end.ran_s < QUICK_S:
            self._put_aside((site, host), end.job, now, within=site)
        for scores, place, named in (
            (self._hosts, (site, host), ("", host)),
            (self._elements, (site, element), (element, "")),
        ):
            verdict = _judge(scores, place, end, now)
            if verdict is not None:
                told.append(HostChange(verdict, site, *named, end.why))
        return told

    def room(self, site: str, element: str, host: str, now: float) -> int | None:
        """A pilot asks from there: return how many jobs it may have now; None: all that fit."""
        of_host = self._hosts.asked((site, host), site, now)
        of_element = self._elements.asked((site, element), "", now)
        if of_host is None or of_element is None:
            return of_element if of_host is None else of_host
        return min(of_host, of_element)

    def went(self, site: str, element: str, host: str, jobs: Iterable[int], now: float) -> None:
        """Jobs were given to a pilot there."""
        for job in jobs:
            self._hosts.went((site, host), job, now)
            self._elements.went((site, element), job, now)

    def is_held(self, site: str, element: str, host: str) -> bool:
        """Whether jobs are kept from a pilot there, all or all but one."""
        return self._hosts.is_held((site, host)) or self._elements.is_held((site, element))

    def room_of_element(self, site: str, element: str, now: float) -> int | None:
        """Return how many jobs may go to an element now; None: as many as fit."""
        return self._elements.room((site, element), now)

    def tried(self, site: str, element: str, host: str) -> set[str]:
        """Return the owners whose jobs have tried the places of a pilot in vain."""
        return self._hosts.tried((site, host)) | self._elements.tried((site, element))

    def canaries(self, site: str, element: str, host: str) -> set[int]:
        """Return the jobs that try the places of a pilot."""
        tries = self._hosts.canary((site, host)), self._elements.canary((site, element))
        return {job for job in tries if job is not None}

    def lift(self, site: str, *, host: str = "", element: str = "") -> bool:
        """A person says that a host or an element is as it should be."""
        return self._hosts.lift((site, host)) if host else self._elements.lift((site, element))

    def lift_all(self, site: str, element: str = "") -> None:
        """A person says that a site is as it should be, or an element of it."""
        hosts, elements = self.shown()
        for one in elements:
            if one.place[0] == site and element in ("", one.place[1]):
                self._elements.lift(one.place)
        for one in hosts:
            if one.place[0] == site and not element:
                self._hosts.lift(one.place)

    def suspended(self) -> Counter[str]:
        """Return how many hosts of each site are kept from jobs, all or all but one."""
        return Counter(one.place[0] for one in self._hosts.shown() if one.is_held)

    def shown(self) -> tuple[list[PlaceSummary], list[PlaceSummary]]:
        """Return the hosts, then the elements, that are not as they should be."""
        return self._hosts.shown(), self._elements.shown()

    # -- what outlives a restart ----------------------------------------------------------------

    @property
    def changes(self) -> int:
        """A number that grows when something comes to be held, or is held no more."""
        return self._hosts.changes + self._elements.changes

    def held(self) -> tuple[list[PlaceHold], list[PlaceHold]]:
        """Return the hosts, then the elements, that are kept from jobs."""
        return self._hosts.held(), self._elements.held()

    def hold(self, hosts: Iterable[PlaceHold], elements: Iterable[PlaceHold], now: float) -> None:
        """Take up what was held before a restart."""
        for one in hosts:
            self._hosts.hold(one, one.place[0], now)
        for one in elements:
            self._elements.hold(one, "", now)

    def forget(self, now: float) -> None:
        """Hold nothing against what was not seen for a day."""
        self._hosts.forget(now)
        self._elements.forget(now)

    # -- jobs that a host could not run ---------------------------------------------------------

    def aside(self, site: str, host: str, now: float) -> Mapping[int, float]:
        """Return the jobs that are not for a host now."""
        jobs = self._aside.get((site, host))
        if jobs is None:
            return {}
        for job in [job for job, until in jobs.items() if until <= now]:
            del jobs[job]
        self._free_stuck((site, host), now)
        if not jobs:
            del self._aside[site, host]
        return jobs

    def _free_stuck(self, place: Place, now: float) -> None:
        """Let jobs come again that all other hosts refuse too, since the last choice has gone."""
        stuck, is_alone = set(self._aside[place]), True
        for one in self._choices(place, now):
            is_alone = False
            stuck.intersection_update(self._aside.get(one, ()))
            if not stuck:
                return
        if is_alone:  # the others may not have asked yet since a restart
            return
        for jobs in self._aside.values():
            for job in stuck:
                jobs.pop(job, None)

    def _choices(self, place: Place, now: float, within: str = "") -> Iterator[Place]:
        """Yield the other hosts that can take jobs now, all or those of one site."""
        for one in self._hosts.lately(now - LATELY_S):
            is_near = one != place and within in ("", one[0])
            if is_near and self._has_pilots(*one) and not self._hosts.is_held(one):
                yield one

    def keep_off(self, site: str, host: str, job: int, *, for_s: float, now: float) -> None:
        """Keep a job that has not run yet from a host, if there are others."""
        self._put_aside((site, host), job, now, for_s=for_s)

    def keep_off_again(self, site: str, host: str, job: int, *, for_s: float, now: float) -> None:
        """Take up that a job keeps off a host; the caller knows of others, which have not asked."""
        self._aside.setdefault((site, host), OrderedDict())[job] = now + for_s

    def failed_lately(self, site: str, host: str, *, besides: int) -> int:
        """Return how many jobs failed on a host since one did well there, without this one."""
        return self._hosts.bad((site, host), besides)

    def suspend(self, site: str, host: str, *, for_s: float, why: str, now: float) -> bool:
        """Keep jobs from a host for a time, then try it with one, as if it had been judged."""
        return self._hosts.suspend((site, host), for_s, why, now)

    def suspend_elements(self, site: str, *, why: str, now: float) -> list[str]:
        """Keep jobs from the elements of a site, as far as others are left; return which."""
        places = [one for one in self._elements.lately(now - LATELY_S) if one[0] == site]
        return [
            element
            for _, element in sorted(places)
            if self._elements.suspend((site, element), WHOLE.pause_first_s, why, now)
        ]

    def _put_aside(
        self, place: Place, job: int, now: float, *, within: str = "", for_s: float = ASIDE_S
    ) -> None:
        """Keep a job from a host, as long as there are others that have not refused it too.

        With `within` only others of that site count: then waiting costs it next to nothing.
        """
        left = [*self._choices(place, now, within)]
        holding = [one for one in left if job in self._aside.get(one, ())]
        if len(holding) == len(left):  # all have: the next one counts like the first
            for one in holding:
                del self._aside[one][job]
            return
        jobs = self._aside.setdefault(place, OrderedDict())
        jobs.pop(job, None)
        jobs[job] = now + for_s
        if len(jobs) > ASIDE_MAX:
            jobs.popitem(last=False)
        if len(self._aside) > HOSTS_MAX:
            self._aside.popitem(last=False)


def _judge(scores: Scores, place: Place, end: HostFailure, now: float) -> PlaceChange | None:
    if end.ran_s >= QUICK_S:
        return scores.did_well(place, end.owner, now)
    if end.how in SAYS_SOMETHING:
        return scores.failed(place, end.job, end.owner, end.why, now)
    scores.came_back(place, end.job)
    return None


def match_canary(
    matcher: Matcher,
    offer: LiveOffer,
    aside: Mapping[int, float],
    has_tried: Callable[[Match], bool],
    now: float,
) -> list[Match]:
    """Match one job: of an owner whose jobs have not failed there, where there soon is one."""
    passed: list[Match] = []
    chosen: Match | None = None
    while chosen is None and len(passed) < PASSED_MAX:
        found = matcher.match(offer, 1, now)
        if not found:
            break
        if found[0].job in aside or has_tried(found[0]):
            passed.append(found[0])
        else:
            chosen = found[0]
    if chosen is None:
        chosen = next((one for one in passed if one.job not in aside), None)
    for one in passed:  # pending until here, so that each of them came once
        if one is not chosen:
            matcher.put_back(one.job)
    return [] if chosen is None else [chosen]


def match_without(
    matcher: Matcher, offer: LiveOffer, jobs_max: int, aside: Mapping[int, float], now: float
) -> tuple[list[Match], bool]:
    """Match all but some jobs; return what was given, and whether one of those would have been."""
    given: list[Match] = []
    refused: list[Match] = []
    while len(given) < jobs_max:
        found = matcher.match(offer, jobs_max - len(given), now)
        others = [one for one in found if one.job not in aside]
        refused += [one for one in found if one.job in aside]
        given += others
        if len(others) == len(found):
            break
        for one in others:
            offer = less(offer, one.grant)
    for one in refused:  # pending until here, so that each of them came once
        matcher.put_back(one.job)
    return given, bool(refused)
