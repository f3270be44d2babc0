"""Finds places (hosts, or whole elements) that swallow jobs: one attempt after another fails. Pure.

A place is suspended if attempts fail there soon after their match, without a success in between,
and if all of this holds:

- The failures are from several jobs of several owners; one owner counts for at most about half.
  If a single owner has all jobs, twice as many must fail, while other jobs of that owner succeed
  elsewhere.
- There are more failures than chance explains, given how often attempts fail at the neighbours.
- The owner's jobs do not fail at many places. Otherwise the jobs are to blame, and their failures
  do not count.
- Enough places of the group are left. Only a part of a group may be suspended at a time, and
  never its only place. Beyond that a place is only reported.

A suspended place gets no jobs for a pause, then a single one, the canary. If the canary succeeds,
the place is open again. If it fails, the next pause is twice as long, and the next canary comes
from another owner if possible.
"""

import enum
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from math import ceil, log
from typing import Final

from ..bounded_cache import BoundedCache

SiteHost = tuple[str, str]  # site and host, or site and element

PLACES_MAX: Final = 20_000
MOST_USUAL: Final = 0.8  # cap of the neighbours' failure rate, for a finite number of failures
OWNERS_MAX: Final = 20_000
OF_OWNER_MAX: Final = 16  # remembered places at which an owner's jobs failed
JOBS_MAX: Final = 64  # remembered failed jobs of a place
RATE_MIN: Final = 1e-3  # a smaller rate is set to zero
SLOWNESS: Final = 0.05  # weight of one end in the failure rate of a place


@dataclass(frozen=True)
class SuspensionPolicy:
    """The rules: when a place is suspended, and for how long."""

    jobs_min: int = 5  # jobs that failed one after another
    chance_max: float = 1e-6  # probability of so many failures at the neighbours' failure rate
    owners_min: int = 2  # owners of the failed jobs
    elsewhere_max: int = 8  # other places where an owner's jobs may fail and still count
    window_s: float = 1_800.0  # older failures do not count
    pause_first_s: float = 600.0
    pause_max_s: float = 21_600.0
    canary_s: float = 900.0  # if a canary has not ended by then, another one is sent
    seen_s: float = 3_600.0  # a place that was not seen for longer is not counted in its group
    share_max: float = 0.2  # part of a group's places that may be suspended
    forget_s: float = 86_400.0  # a suspended place that was not seen for longer is forgotten
    again_s: float = 60.0  # between two checks whether a reported place may be suspended


class PlaceStatus(str, enum.Enum):
    """The status of a place."""

    OPEN = "open"
    REPORTED = "reported"  # bad, but not suspended, since too few other places would be left
    SUSPENDED = "suspended"
    CANARY = "canary"  # on trial: one job at a time


class PlaceChange(str, enum.Enum):
    """A change of the status of a place."""

    SUSPENDED = "suspended"
    REPORTED = "reported"
    RESTORED = "restored"


@dataclass
class _Score:
    group: Hashable
    seen: float
    bad: OrderedDict[int, tuple[str, float]] = field(  # job → owner, when
        default_factory=OrderedDict[int, tuple[str, float]]
    )
    rate: float = 0.0  # part of its attempts that fail; the newest count most
    standing: PlaceStatus = PlaceStatus.OPEN
    since: float = 0.0
    until: float = 0.0
    pause_s: float = 0.0  # length of the last suspension
    why: str = ""
    canary: int | None = None
    canary_at: float = 0.0
    tried: set[str] = field(default_factory=set[str])  # owners whose canaries failed

    @property
    def is_held(self) -> bool:
        return self.standing in (PlaceStatus.SUSPENDED, PlaceStatus.CANARY)


@dataclass(frozen=True)
class PlaceSummary:
    """A place whose status is not open."""

    place: SiteHost
    standing: PlaceStatus
    since: float  # on the caller's clock
    until: float
    jobs: int
    owners: int
    why: str

    @property
    def is_held(self) -> bool:
        """Whether the place is suspended or on trial."""
        return self.standing in (PlaceStatus.SUSPENDED, PlaceStatus.CANARY)

    @property
    def is_closed(self) -> bool:
        """Whether the place gets no jobs before `until`."""
        return self.standing is PlaceStatus.SUSPENDED


@dataclass(frozen=True)
class PlaceSuspension:
    """A suspended place, to be kept over a restart. Times are on the caller's clock."""

    place: SiteHost
    since: float
    until: float
    pause_s: float
    why: str
    failed: list[tuple[int, str, float]]  # job, owner, when
    tried: list[str]


class HostScores:
    """The scores of all hosts, or of all elements."""

    def __init__(self, terms: SuspensionPolicy) -> None:
        self._terms = terms
        self.changes = 0  # grows with each change of the suspended places
        self._scores: dict[SiteHost, _Score] = {}
        self._failed: OrderedDict[str, OrderedDict[SiteHost, float]] = OrderedDict()  # by owner
        self._well = BoundedCache[str, float](OWNERS_MAX)  # last success of an owner's job
        self._members: dict[Hashable, set[SiteHost]] = {}

    def saw(self, place: SiteHost, group: Hashable, now: float) -> None:
        """Note that a place of a group is in use."""
        score = self._scores.get(place)
        if score is not None:
            score.seen = now
            return
        if len(self._scores) >= PLACES_MAX:
            self._make_room(now)
        self._scores[place] = _Score(group, now)
        self._members.setdefault(group, set()).add(place)

    def did_well(self, place: SiteHost, owner: str, now: float) -> PlaceChange | None:
        """Count a job that succeeded at a place or has run there for long."""
        if self._failed:
            self._failed.pop(owner, None)
        self._well[owner] = now
        score = self._scores.get(place)
        if score is None or not score.rate and score.standing is PlaceStatus.OPEN:
            return None
        score.bad.clear()
        score.rate = score.rate * (1 - SLOWNESS) if score.rate > RATE_MIN else 0.0
        if score.standing is PlaceStatus.CANARY:
            self._open(score)
            return PlaceChange.RESTORED
        if score.standing is PlaceStatus.REPORTED:
            self._open(score)
        return None  # a job from before the suspension does not end it

    def failed(
        self, place: SiteHost, job: int, owner: str, why: str, now: float
    ) -> PlaceChange | None:
        """Count a job that failed at a place soon after its match."""
        score = self._scores.get(place)
        if score is None:
            return None
        was_canary = score.canary == job
        if was_canary:
            score.canary = None
        score.rate += SLOWNESS * (1 - score.rate)
        if self._fails_elsewhere(owner, place, now):
            return None  # the owner's jobs fail anywhere; after such a canary another one is sent
        score.bad.pop(job, None)
        score.bad[job] = owner, now
        if len(score.bad) > JOBS_MAX:
            score.bad.popitem(last=False)
        if score.standing is PlaceStatus.CANARY:
            return self._canary_failed(score, owner, why, now) if was_canary else None
        if score.standing is PlaceStatus.SUSPENDED or not self._looks_bad(score, now):
            return None
        is_new = score.standing is PlaceStatus.OPEN
        if not is_new and now < score.until:
            return None
        there, held = self._there(score.group, now)
        if _counted(score) < self._enough(score, there):
            return None
        if len(there) > 1 and held < self._most(len(there)):
            return self._suspend(score, why, now)
        score.standing, score.why, score.until = (
            PlaceStatus.REPORTED,
            why,
            now + self._terms.again_s,
        )
        score.since = now if is_new else score.since
        return PlaceChange.REPORTED if is_new else None

    def came_back(self, place: SiteHost, job: int) -> None:
        """Note a job whose end says nothing about the place. After a canary, allow another one."""
        score = self._scores.get(place)
        if score is not None and score.canary == job:
            score.canary = None

    def lately(self, since: float) -> Iterator[SiteHost]:
        """Yield the places that were seen since a time."""
        return (place for place, score in self._scores.items() if score.seen >= since)

    def asked(self, place: SiteHost, group: Hashable, now: float) -> int | None:
        """Note that a place asks. Return how many jobs it may get; None: as many as fit."""
        score = self._scores.get(place)
        if score is None:
            self.saw(place, group, now)
            return None
        score.seen = now
        return None if score.standing is PlaceStatus.OPEN else self.room(place, now)

    def room(self, place: SiteHost, now: float) -> int | None:
        """Return how many jobs a place may get now; None: as many as fit."""
        score = self._scores.get(place)
        if score is None or not score.is_held:
            return None
        if now < score.until:
            return 0
        score.standing = PlaceStatus.CANARY
        is_out = score.canary is not None and now < score.canary_at + self._terms.canary_s
        return 0 if is_out else 1

    def went(self, place: SiteHost, job: int, now: float) -> None:
        """Note that a place got a job. The job is the canary if the place is on trial."""
        score = self._scores.get(place)
        if score is not None and score.standing is PlaceStatus.CANARY:
            score.canary, score.canary_at = job, now

    def canary(self, place: SiteHost) -> int | None:
        """Return the canary job of a place, or None."""
        score = self._scores.get(place)
        return None if score is None else score.canary

    def tried(self, place: SiteHost) -> set[str]:
        """Return the owners whose canaries failed at a place. Other owners are better canaries."""
        score = self._scores.get(place)
        return score.tried if score is not None and score.is_held else set()

    def is_held(self, place: SiteHost) -> bool:
        """Return whether a place is suspended or on trial."""
        score = self._scores.get(place)
        return score is not None and score.is_held

    def bad(self, place: SiteHost, besides: int) -> int:
        """Return how many jobs failed one after another at a place, not counting `besides`."""
        score = self._scores.get(place)
        return 0 if score is None else len(score.bad.keys() - {besides})

    def suspend(self, place: SiteHost, pause_s: float, why: str, now: float) -> bool:
        """Suspend a place for a reason other than its score. After the pause it gets a canary.

        Return False if it is suspended already, or if too many places of its group are.
        """
        score = self._scores.get(place)
        if score is None or score.is_held:
            return False
        there, held = self._there(score.group, now)
        if len(there) < 2 or held >= self._most(len(there)):
            return False
        self._suspend(score, why, now)
        score.pause_s = min(pause_s, self._terms.pause_max_s)
        score.until = now + score.pause_s
        return True

    def lift(self, place: SiteHost) -> bool:
        """Open a place by order of a person. Return False if it is open already."""
        score = self._scores.get(place)
        if score is None or score.standing is PlaceStatus.OPEN:
            return False
        self._open(score)
        score.pause_s = 0.0
        return True

    def shown(self) -> list[PlaceSummary]:
        """Return the places whose status is not open."""
        return [
            PlaceSummary(
                place=place,
                standing=one.standing,
                since=one.since,
                until=one.until,
                jobs=len(one.bad),
                owners=len({owner for owner, _ in one.bad.values()}),
                why=one.why,
            )
            for place, one in sorted(self._scores.items())
            if one.standing is not PlaceStatus.OPEN
        ]

    # -- state that survives a restart ----------------------------------------------------------

    def held(self) -> list[PlaceSuspension]:
        """Return the places that are suspended or on trial, the longest first."""
        found = [
            PlaceSuspension(
                place=place,
                since=one.since,
                until=one.until,
                pause_s=one.pause_s,
                why=one.why,
                failed=[(job, *said) for job, said in one.bad.items()],
                tried=sorted(one.tried),
            )
            for place, one in self._scores.items()
            if one.is_held
        ]
        return sorted(found, key=lambda one: one.since)

    def hold(self, held: PlaceSuspension, group: Hashable, now: float) -> None:
        """Restore a suspension from before a restart. The place counts as seen now."""
        self.saw(held.place, group, now)
        score = self._scores[held.place]
        score.standing, score.why, score.since = PlaceStatus.SUSPENDED, held.why, held.since
        score.pause_s = min(max(0.0, held.pause_s), self._terms.pause_max_s)
        score.until = min(held.until, now + score.pause_s)
        for job, owner, at in held.failed[-JOBS_MAX:]:
            score.bad[job] = owner, min(at, now)
        score.tried.update(held.tried)

    def forget(self, now: float) -> None:
        """Forget suspended places that were not seen for `forget_s`: they may no longer exist."""
        for place, score in list(self._scores.items()):
            if score.is_held and now - score.seen > self._terms.forget_s:
                self._remove(place)
                self.changes += 1

    # -- judging --------------------------------------------------------------------------------

    def _looks_bad(self, score: _Score, now: float) -> bool:
        oldest = now - self._terms.window_s
        while score.bad and next(iter(score.bad.values()))[1] < oldest:
            score.bad.popitem(last=False)
        if len(score.bad) < self._terms.jobs_min:
            return False
        owners = {owner for owner, _ in score.bad.values()}
        if len(owners) >= self._terms.owners_min:
            return _counted(score) >= self._terms.jobs_min
        return len(score.bad) >= 2 * self._terms.jobs_min and self._is_alone(score, owners, oldest)

    def _is_alone(self, score: _Score, owners: set[str], oldest: float) -> bool:
        """Return whether no other owner is active, while jobs of these owners succeed elsewhere."""
        active = {owner for owner, at in self._well.items() if at >= oldest}
        began = next(iter(score.bad.values()))[1]
        return active == owners and all(self._well[owner] >= began for owner in owners)

    def _enough(self, score: _Score, there: Sequence[_Score]) -> int:
        """Return how many failures are too many at the mean failure rate of the neighbours."""
        rates = [one.rate for one in there if one is not score]
        usual = min(MOST_USUAL, sum(rates) / len(rates)) if rates else 0.0
        if usual <= 0.0:
            return self._terms.jobs_min
        return max(self._terms.jobs_min, ceil(log(self._terms.chance_max) / log(usual)))

    def _fails_elsewhere(self, owner: str, place: SiteHost, now: float) -> bool:
        """Note an owner's failed job. Return whether the owner's jobs fail at too many places."""
        places = self._failed.setdefault(owner, OrderedDict())
        self._failed.move_to_end(owner)
        if len(self._failed) > OWNERS_MAX:
            self._failed.popitem(last=False)
        places.pop(place, None)
        places[place] = now
        oldest = now - self._terms.window_s
        while len(places) > OF_OWNER_MAX or next(iter(places.values())) < oldest:
            places.popitem(last=False)
        group = self._scores[place].group
        others = sum(
            score.group == group
            for one in places
            if one != place and (score := self._scores.get(one)) is not None
        )
        return others > min(self._terms.elsewhere_max, self._most(len(self._members[group])))

    def _there(self, group: Hashable, now: float) -> tuple[list[_Score], int]:
        """Return the places of a group that are in use, and how many of them are suspended."""
        all_ = [self._scores[one] for one in self._members[group]]
        there = [one for one in all_ if one.is_held or now - one.seen <= self._terms.seen_s]
        return there, sum(one.is_held for one in there)

    def _most(self, places: int) -> int:
        return max(1, int(places * self._terms.share_max))

    def _suspend(self, score: _Score, why: str, now: float) -> PlaceChange:
        terms = self._terms
        longer = min(terms.pause_max_s, max(terms.pause_first_s, 2 * score.pause_s))
        # A place that has worked well for a long time starts with the first pause again.
        is_relapse = score.is_held or now - score.until <= terms.pause_max_s
        score.pause_s = longer if score.pause_s and is_relapse else terms.pause_first_s
        if not score.is_held:
            score.since = now
        score.standing, score.until, score.why = PlaceStatus.SUSPENDED, now + score.pause_s, why
        score.canary = None
        self.changes += 1
        return PlaceChange.SUSPENDED

    def _canary_failed(self, score: _Score, owner: str, why: str, now: float) -> PlaceChange:
        """Suspend a place again after its canary failed.

        If the owner's canary had failed before and other owners are active, the pause starts
        again at its first length: this failure says nothing new.
        """
        oldest = now - self._terms.window_s
        others = (one for one, at in self._well.items() if at >= oldest and one not in score.tried)
        if owner in score.tried and next(others, None) is not None:
            score.pause_s = 0.0
        score.tried.add(owner)
        return self._suspend(score, why, now)

    def _open(self, score: _Score) -> None:
        self.changes += score.is_held
        score.tried.clear()
        score.standing, score.canary, score.why = PlaceStatus.OPEN, None, ""
        score.bad.clear()

    def _make_room(self, now: float) -> None:
        """Forget places that were not seen for long, or else the oldest one.

        Suspended places are forgotten last.
        """
        idle = [one for one, score in self._scores.items() if not score.is_held]
        old = [one for one in idle if now - self._scores[one].seen > self._terms.seen_s]
        for place in old or idle[:1] or list(self._scores)[:1]:
            self._remove(place)

    def _remove(self, place: SiteHost) -> None:
        gone = self._scores.pop(place)
        members = self._members[gone.group]
        members.discard(place)
        if not members:
            del self._members[gone.group]


def _counted(score: _Score) -> int:
    """Return how many failures count: from one owner, at most one more than from all others."""
    by_owner = Counter(owner for owner, _ in score.bad.values())
    most = max(by_owner.values(), default=0)
    others = len(score.bad) - most
    return len(score.bad) if not others else min(len(score.bad), 2 * others + 1)
