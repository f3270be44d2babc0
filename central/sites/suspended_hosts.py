"""Hosts and elements that swallow jobs, for the dispatch. Pure.

A host is identified by its site and by the name that its pilots report. A pilot can report a
wrong name, but not a wrong site. This module also keeps single jobs from a host for a short time
("aside"): the host lacked something that the job needs, and another host may have it.
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

from .host_scores import (
    HostScores,
    PlaceChange,
    PlaceSummary,
    PlaceSuspension,
    SiteHost,
    SuspensionPolicy,
)

QUICK_S: Final = 60.0  # an attempt that fails earlier may have failed because of its host
ASIDE_S: Final = 120.0  # a job is kept from a host where it failed
LATELY_S: Final = 900.0  # a host that has not asked for longer is not an alternative
ASIDE_MAX: Final = 64  # jobs aside for one host: the newest ones
HOSTS_MAX: Final = 10_000  # hosts with jobs aside
PASSED_MAX: Final = 32  # jobs that the choice of a canary passes over to find a new owner
WHOLE: Final = SuspensionPolicy(jobs_min=20)  # for an element, which has many hosts and jobs

# Ends that count against a host if they come early.
SAYS_SOMETHING: Final = frozenset(
    {
        *(How.EXITED, How.SIGNALLED, How.OUTPUT, How.NO_START, How.INPUT, How.SOFTWARE),
        *(How.LOST, How.OTHER),
    }
)
# The host lacked something that the job needs, or could not start it. Another host may do better.
NOT_HERE: Final = frozenset({How.NO_START, How.SOFTWARE})
# The host may have caused such an end if it came early: a retry is worth more on another host.
PERHAPS_HERE: Final = frozenset({How.EXITED, How.SIGNALLED, How.OUTPUT, How.INPUT})


class HostFailure(msgspec.Struct, frozen=True, gc=False):
    """The facts about a failed attempt that matter for its host."""

    job: int
    owner: str
    how: How
    ran_s: float  # 0 if it never started
    why: str


@dataclass(frozen=True)
class HostChange:
    """A change of the status of a host or an element, for the log."""

    verdict: PlaceChange
    site: str
    element: str  # empty: the change is about a host
    host: str  # empty: the change is about an element
    why: str


class SuspendedHosts:
    """The scores of hosts and elements, and the jobs that are kept from hosts."""

    def __init__(self, has_pilots: Callable[[str, str], bool] = lambda _site, _host: True) -> None:
        """`has_pilots(site, host)`: whether pilots that accept jobs run on the host."""
        self._has_pilots = has_pilots
        self._hosts, self._elements = HostScores(SuspensionPolicy()), HostScores(WHOLE)
        self._aside: OrderedDict[SiteHost, OrderedDict[int, float]] = OrderedDict()  # job → until

    def did_well(
        self, site: str, element: str, host: str, owner: str, now: float
    ) -> Sequence[HostChange]:
        """Count an attempt that succeeded or has run for long. Return the changes of status."""
        of_host = self._hosts.did_well((site, host), owner, now)
        of_element = self._elements.did_well((site, element), owner, now)
        if of_host is None and of_element is None:  # nearly always
            return ()
        changes: list[HostChange] = []
        if of_host is not None:
            changes.append(HostChange(of_host, site, "", host, ""))
        if of_element is not None:
            changes.append(HostChange(of_element, site, element, "", ""))
        return changes

    def ended(
        self, site: str, element: str, host: str, end: HostFailure, now: float
    ) -> list[HostChange]:
        """Count an attempt that failed. Return the changes of status.

        A failure on a suspended host does not count against its element: the host explains it, and
        its last jobs may all fail while those on other hosts still run.
        """
        changes: list[HostChange] = []
        if end.how in NOT_HERE:
            self._put_aside((site, host), end.job, now)
        elif end.how in PERHAPS_HERE and end.ran_s < QUICK_S:
            self._put_aside((site, host), end.job, now, within=site)
        for scores, place, named in (
            (self._hosts, (site, host), ("", host)),
            (self._elements, (site, element), (element, "")),
        ):
            if scores is self._elements and self._is_explained(site, element, host, end):
                continue
            verdict = _judge(scores, place, end, now)
            if verdict is not None:
                changes.append(HostChange(verdict, site, *named, end.why))
        return changes

    def _is_explained(self, site: str, element: str, host: str, end: HostFailure) -> bool:
        if end.ran_s >= QUICK_S or self._elements.is_held((site, element)):
            return False  # a success, or perhaps the end of the element's canary
        return self._hosts.is_held((site, host))

    def room(self, site: str, element: str, host: str, now: float) -> int | None:
        """Return how many jobs an asking pilot may get now; None: as many as fit.

        Also notes that its host and element are in use.
        """
        of_host = self._hosts.asked((site, host), site, now)
        of_element = self._elements.asked((site, element), "", now)
        if of_host is None or of_element is None:
            return of_element if of_host is None else of_host
        return min(of_host, of_element)

    def saw(self, site: str, element: str, host: str, now: float) -> None:
        """Note that a host and its element are in use: their pilot was known before a restart."""
        self._hosts.saw((site, host), site, now)
        self._elements.saw((site, element), "", now)

    def went(self, site: str, element: str, host: str, jobs: Iterable[int], now: float) -> None:
        """Note the jobs that a pilot on a host on trial has received."""
        for job in jobs:
            self._hosts.went((site, host), job, now)
            self._elements.went((site, element), job, now)

    def is_held(self, site: str, element: str, host: str) -> bool:
        """Return whether the host or the element is suspended, or on trial with one job."""
        return self._hosts.is_held((site, host)) or self._elements.is_held((site, element))

    def room_of_element(self, site: str, element: str, now: float) -> int | None:
        """Return how many jobs an element may get now; None: as many as fit."""
        return self._elements.room((site, element), now)

    def tried(self, site: str, element: str, host: str) -> set[str]:
        """Return the owners whose canaries have failed at the host or the element."""
        return self._hosts.tried((site, host)) | self._elements.tried((site, element))

    def canaries(self, site: str, element: str, host: str) -> set[int]:
        """Return the canary jobs of the host and the element."""
        tries = self._hosts.canary((site, host)), self._elements.canary((site, element))
        return {job for job in tries if job is not None}

    def lift(self, site: str, *, host: str = "", element: str = "") -> bool:
        """End the suspension of a host or an element by order of a person.

        Return False if there is none.
        """
        return self._hosts.lift((site, host)) if host else self._elements.lift((site, element))

    def lift_all(self, site: str, element: str = "") -> None:
        """End all suspensions at a site, or that of one element, by order of a person."""
        hosts, elements = self.shown()
        for one in elements:
            if one.place[0] == site and element in ("", one.place[1]):
                self._elements.lift(one.place)
        for one in hosts:
            if one.place[0] == site and not element:
                self._hosts.lift(one.place)

    def suspended(self) -> Counter[str]:
        """Return by site how many hosts are suspended or on trial."""
        return Counter(one.place[0] for one in self._hosts.shown() if one.is_held)

    def shown(self) -> tuple[list[PlaceSummary], list[PlaceSummary]]:
        """Return the hosts, then the elements, whose status is not open."""
        return self._hosts.shown(), self._elements.shown()

    # -- state that survives a restart ----------------------------------------------------------

    @property
    def changes(self) -> int:
        """A number that grows with each change of the suspended hosts and elements."""
        return self._hosts.changes + self._elements.changes

    def held(self) -> tuple[list[PlaceSuspension], list[PlaceSuspension]]:
        """Return the hosts, then the elements, that are suspended or on trial."""
        return self._hosts.held(), self._elements.held()

    def hold(
        self, hosts: Iterable[PlaceSuspension], elements: Iterable[PlaceSuspension], now: float
    ) -> None:
        """Restore the suspensions from before a restart."""
        for one in hosts:
            self._hosts.hold(one, one.place[0], now)
        for one in elements:
            self._elements.hold(one, "", now)

    def forget(self, now: float) -> None:
        """Forget suspended hosts and elements that were not seen for a day."""
        self._hosts.forget(now)
        self._elements.forget(now)

    # -- jobs that a host could not run ---------------------------------------------------------

    def aside(self, site: str, host: str, now: float) -> Mapping[int, float]:
        """Return the jobs that a host may not get now, each with the time until then."""
        jobs = self._aside.get((site, host))
        if jobs is None:
            return {}
        for job in [job for job, until in jobs.items() if until <= now]:
            del jobs[job]
        self._free_stuck((site, host), now)
        if not jobs:
            del self._aside[site, host]
        return jobs

    def _free_stuck(self, place: SiteHost, now: float) -> None:
        """Release jobs that are kept from all hosts, since their last alternative has gone."""
        stuck, is_alone = set(self._aside[place]), True
        for one in self._choices(place, now):
            is_alone = False
            stuck.intersection_update(self._aside.get(one, ()))
            if not stuck:
                return
        if is_alone:  # other hosts may not have asked yet since a restart
            return
        for jobs in self._aside.values():
            for job in stuck:
                jobs.pop(job, None)

    def _choices(self, place: SiteHost, now: float, within: str = "") -> Iterator[SiteHost]:
        """Yield the other hosts that can get jobs now: all, or those of one site."""
        for one in self._hosts.lately(now - LATELY_S):
            is_near = one != place and within in ("", one[0])
            if is_near and self._has_pilots(*one) and not self._hosts.is_held(one):
                yield one

    def keep_off(self, site: str, host: str, job: int, *, for_s: float, now: float) -> None:
        """Keep a job that has not run yet from a host, if there are others."""
        self._put_aside((site, host), job, now, for_s=for_s)

    def keep_off_again(self, site: str, host: str, job: int, *, for_s: float, now: float) -> None:
        """Keep a job from a host as before a restart, even if no other host has asked yet."""
        self._aside.setdefault((site, host), OrderedDict())[job] = now + for_s

    def failed_lately(self, site: str, host: str, *, besides: int) -> int:
        """Return how many jobs failed on a host since the last success there.

        The job `besides` is not counted.
        """
        return self._hosts.bad((site, host), besides)

    def suspend(self, site: str, host: str, *, for_s: float, why: str, now: float) -> bool:
        """Suspend a host for a time, then try it with a canary.

        Return False if it is suspended already or must not be.
        """
        return self._hosts.suspend((site, host), for_s, why, now)

    def suspend_elements(self, site: str, *, why: str, now: float) -> list[str]:
        """Suspend the elements of a site, as far as enough others are left. Return which."""
        places = [one for one in self._elements.lately(now - LATELY_S) if one[0] == site]
        return [
            element
            for _, element in sorted(places)
            if self._elements.suspend((site, element), WHOLE.pause_first_s, why, now)
        ]

    def _put_aside(
        self, place: SiteHost, job: int, now: float, *, within: str = "", for_s: float = ASIDE_S
    ) -> None:
        """Keep a job from a host, if it is not kept from all other hosts already.

        With `within`, only other hosts of that site count, where the wait is short.
        """
        left = [*self._choices(place, now, within)]
        holding = [one for one in left if job in self._aside.get(one, ())]
        if len(holding) == len(left):  # kept from all others: release it and start again
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


def _judge(scores: HostScores, place: SiteHost, end: HostFailure, now: float) -> PlaceChange | None:
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
    """Match one job as a canary.

    Prefer an owner whose canaries have not failed there; pass over at most PASSED_MAX jobs.
    """
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
    for one in passed:  # pending until here, so that each job was matched once
        if one is not chosen:
            matcher.put_back(one.job)
    return [] if chosen is None else [chosen]


def match_without(
    matcher: Matcher, offer: LiveOffer, jobs_max: int, aside: Mapping[int, float], now: float
) -> tuple[list[Match], bool]:
    """Match jobs except those in `aside`.

    Return the matches, and whether a job in `aside` would have matched.
    """
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
    for one in refused:  # pending until here, so that each job was matched once
        matcher.put_back(one.job)
    return given, bool(refused)
