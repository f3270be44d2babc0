"""Limits of sites and elements: how many jobs of a kind run there at once, and how fast they start.

A *kind* is one word of a job: its type, group or owner, or a tag that its need asks for. What is
used up at a place makes rows of the index unfit for offers from there; as long as nothing is, a
place costs one look-up.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from pilotage.proto.job import Need

from .rules import Rules
from .tagexpr import parse
from .types import Ceiling, ClassSpec

Kind = tuple[str, str]  # by what, and its value

TEST: Final = "Test"  # the type of job that banned places run
NO_TEST: Final[Kind] = ("banned", "")  # every job that is none

_HARDLY: Final = 1e-9  # of a start: what rounding may cost a bucket


class Limit:
    """One limit and what is used of it."""

    __slots__ = ("at", "burst", "is_rate", "kind", "most", "per_s", "room", "where")

    def __init__(self, where: str, kind: Kind, most: float, per_s: float = 0.0) -> None:
        self.where = where
        self.kind = kind
        self.most = most
        self.per_s = per_s  # 0: a running limit
        self.is_rate = per_s > 0.0
        self.room = most  # jobs that may still start
        self.at = 0.0  # when `room` of a rate was that much

    @property
    def is_used_up(self) -> bool:
        return self.room < 1.0 - _HARDLY

    def fill(self, now: float) -> None:
        """Let the bucket of a rate run full with time."""
        if now > self.at:
            self.room = min(self.most, self.room + (now - self.at) * self.per_s)
            self.at = now

    @property
    def opens_at(self) -> float:
        """Return when the next start is free again."""
        return self.at + (1.0 - self.room) / self.per_s


class Place:
    """An element of a site, with the limits that hold there."""

    __slots__ = (
        "closed",
        "element",
        "limits",
        "opens_at",
        "reopened",
        "site",
        "taken",
        "_banned",
        "is_stale",
    )

    def __init__(self, site: str, element: str, limits: list[Limit], banned: bool) -> None:
        self.site, self.element = site, element
        self.limits = limits
        self._banned = banned
        self.closed: tuple[Kind, ...] = ()  # the kinds that may not start here now
        self.opens_at = 0.0  # look again then, at the latest
        self.reopened = False  # time alone has opened it, and whoever looked was not `refill`
        self.is_stale = True
        self.taken: tuple[Limit, ...] = ()  # by the last start here: most are alike, and keep it

    def look(self, now: float) -> tuple[Kind, ...]:
        """Return the kinds that may not start here at this moment."""
        if self.is_stale or now >= self.opens_at:
            self.is_stale = False
            self.reopened = self.reopened or (bool(self.closed) and now >= self.opens_at)
            closed: set[Kind] = {NO_TEST} if self._banned else set()
            self.opens_at = float("inf")
            for limit in self.limits:
                if limit.is_rate:
                    limit.fill(now)
                if limit.is_used_up:
                    closed.add(limit.kind)
                    if limit.is_rate:
                        self.opens_at = min(self.opens_at, limit.opens_at)
            self.closed = tuple(sorted(closed))
        return self.closed

    def doubt(self) -> None:
        """Something has changed that `closed` does not know of."""
        self.is_stale = True


class Limits:
    """All limits, and which of them a row of the index counts for."""

    def __init__(self, rules: Rules) -> None:
        self._of: defaultdict[str, list[Limit]] = defaultdict(list)
        self._banned = rules.banned
        self._places: dict[tuple[str, str], Place] = {}
        self._by_where: defaultdict[str, list[Place]] = defaultdict(list)
        self._timed: list[Place] = []  # those with rates
        self.opened: set[Place] = set()  # where something may start again since `wake` looked
        for one in rules.running:
            kind = (one.by, one.value)
            self._of[one.where].append(Limit(one.where, kind, one.most))
        for rate in rules.starts:
            kind = (rate.by, rate.value)
            self._of[rate.where].append(Limit(rate.where, kind, rate.burst, rate.per_s))
        self._running = [limit for limit in self.all() if not limit.is_rate]
        self.kinds = frozenset(limit.kind for limits in self._of.values() for limit in limits)
        self.any = bool(self._of or self._banned)

    def place(self, site: str, element: str) -> Place | None:
        """Return the place of an offer, None where no limit can hold."""
        if not self.any:
            return None
        place = self._places.get((site, element))
        if place is None:
            wheres = (site, f"{site}/{element}")
            limits = [limit for where in wheres for limit in self._of.get(where, ())]
            banned = any(where in self._banned for where in wheres)
            place = self._places[site, element] = Place(site, element, limits, banned)
            for where in wheres:
                self._by_where[where].append(place)
            if any(limit.is_rate for limit in limits):
                self._timed.append(place)
        return place

    def places(self) -> list[Place]:
        """Return all places of which offers came: for checks."""
        return list(self._places.values())

    def all(self) -> list[Limit]:
        return [limit for limits in self._of.values() for limit in limits]

    def kinds_of(self, spec: ClassSpec, need: Need) -> frozenset[Kind]:
        """Return the kinds with a limit anywhere, or a ban, to which a row belongs."""
        if not self.any:
            return frozenset()
        words: set[Kind] = {("type", spec.type), ("group", spec.group), ("owner", spec.owner)}
        words.update(("tag", tag) for tag in parse(need.tags).named)
        words &= self.kinds
        if self._banned and spec.type != TEST:
            words.add(NO_TEST)
        return frozenset(words)

    def ceilings(self, spec: ClassSpec) -> list[Ceiling]:
        """Return the running limits that count for a class, whichever of its needs is met."""
        if not self._running:
            return []
        kinds = self.kinds
        for need in spec.needs:
            kinds &= self.kinds_of(spec, need)
        return [
            Ceiling(number=number, where=limit.where, jobs=max(0, int(limit.room)))
            for number, limit in enumerate(self._running)
            if limit.kind in kinds
        ]

    # -- counting -------------------------------------------------------------------------------

    def take(self, place: Place, kinds: Iterable[Kind], now: float) -> tuple[Limit, ...]:
        """Count a start, and return the limits that it counts for."""
        taken = tuple([limit for limit in place.limits if limit.kind in kinds])
        if taken == place.taken:
            taken = place.taken
        else:
            place.taken = taken
        for limit in taken:
            if limit.is_rate:
                limit.fill(now)
            limit.room -= 1.0
            if limit.is_used_up:
                self._doubt(limit)
        return taken

    def take_running(self, place: Place, kinds: Iterable[Kind]) -> tuple[Limit, ...]:
        """Count a job that runs already: its start is over."""
        taken = tuple([it for it in place.limits if it.kind in kinds and not it.is_rate])
        for limit in taken:
            limit.room -= 1.0
            if limit.is_used_up:
                self._doubt(limit)
        return taken

    def give_back(self, limits: Iterable[Limit], now: float, *, started: bool) -> None:
        """A job runs no more; where it never started, its start is given back as well."""
        for limit in limits:
            if limit.is_rate:
                if started:
                    continue
                limit.fill(now)
            was_used_up = limit.is_used_up
            limit.room = min(limit.most, limit.room + 1.0)
            if was_used_up and not limit.is_used_up:
                self._doubt(limit)
                self.opened.update(self._by_where[limit.where])

    def refill(self, now: float) -> None:
        """Note the places at which time alone has opened something."""
        for place in self._timed:
            if now >= place.opens_at or place.reopened:
                place.reopened = False
                self.opened.add(place)

    def empty_rates(self, now: float) -> None:
        """Let every bucket of starts begin empty: what started before is not known."""
        for limit in self.all():
            if limit.is_rate:
                limit.room, limit.at = 0.0, now
                self._doubt(limit)

    def _doubt(self, limit: Limit) -> None:
        for place in self._by_where[limit.where]:
            place.doubt()
