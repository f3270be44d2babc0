"""Limits: how many jobs of a kind run at once at a place or anywhere, and how fast they start.

A *kind* is one word of a job: its type, group or owner, or a tag that its need asks for. A job
takes 1 of each such kind. The name of an amount that its need asks for is a kind too, of which it
takes that number. A *pool* is an amount that only limits provide: a pool without a limit is empty.

When a kind is used up at a place, the rows that take it cannot accept offers from there. While
nothing is used up, a place costs one look-up. A place is an element as seen by the pilots of one
community.

Groups and owners are names within a community, so their limits count each community separately by
default. Types, tags and amounts count in all communities together.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from pilotage.proto.amounts import is_pool
from pilotage.proto.documents.job import Need

from ..clauses.tag_expressions import parse
from ..rules import ALL_COMMUNITIES, Rules, RunningLimit, StartLimit
from ..types import Ceiling, ClassSpec

LimitKind = tuple[str, str]  # what it counts by, and the value
Kinds = Mapping[LimitKind, int]  # kinds of a row, and how much of each it takes
Shut = tuple[LimitKind, float]  # a kind and what is left of it: rows that take more may not start

TEST: Final = "Test"  # the type of jobs that banned places run
_Rule = tuple[bool, str, str, str, bool]  # is it a rate, where, by, value, does it name a community

NO_TEST: Final[LimitKind] = ("banned", "")  # every job of another type than Test
NO_POOL: Final[LimitKind] = ("amount", "")  # every job that asks for a pool without a limit
AMOUNT: Final = "amount"

_NO_KINDS: Final[Kinds] = MappingProxyType({})

_HARDLY: Final = 1e-9  # of a start: tolerance for rounding in a bucket


class Limit:
    """One limit and its usage."""

    __slots__ = (
        "at",
        "community",
        "is_amount",
        "is_rate",
        "kind",
        "most",
        "number",
        "per_s",
        "places",
        "room",
        "where",
    )

    def __init__(self, rule: "RunningLimit | StartLimit", community: str, number: int) -> None:
        self.number = number  # among all limits
        self.kind: LimitKind = (rule.by, rule.value)
        self.is_amount = rule.by == AMOUNT
        self.where = rule.where  # empty: all sites together
        self.community = community  # whose jobs it counts; empty: those of all communities
        self.places: list[ElementLimits] = []  # where it holds
        self.most, self.per_s = _terms(rule)
        self.is_rate = self.per_s > 0.0
        self.room = self.most  # jobs that may still start, or what is left of an amount
        self.at = 0.0  # time of `room`, for a rate

    @property
    def is_used_up(self) -> bool:
        return self.room < 1.0 - _HARDLY

    def is_short_of(self, takes: float) -> bool:
        """Return whether less is left than a job takes."""
        return self.room < takes - _HARDLY

    def fill(self, now: float) -> None:
        """Refill the bucket of a rate up to a time."""
        if now > self.at:
            self.room = min(self.most, self.room + (now - self.at) * self.per_s)
            self.at = now

    @property
    def opens_at(self) -> float:
        """Return the time of the next possible start."""
        return self.at + (1.0 - self.room) / self.per_s


class ElementLimits:
    """An element of a site, with the limits that hold there for one community."""

    __slots__ = (
        "closed",
        "community",
        "element",
        "limits",
        "opens_at",
        "reopened",
        "site",
        "taken",
        "without",
        "_asked",
        "is_stale",
    )

    def __init__(
        self, community: str, site: str, element: str, asked: dict[LimitKind, int]
    ) -> None:
        """Take `asked`: for each amount, the most that any job takes."""
        self.community, self.site, self.element = community, site, element
        self.limits: list[Limit] = []
        self.without: tuple[LimitKind, ...] = ()  # kinds that never start here
        self._asked = asked
        self.closed: tuple[Shut, ...] = ()  # kinds that may not start here now
        self.opens_at = 0.0  # when to check again at the latest
        self.reopened = False  # time alone has opened it, and a caller other than `refill` noticed
        self.is_stale = True
        # By the last start here; kept, because most starts are alike.
        self.taken: tuple[Limit, ...] = ()

    def look(self, now: float) -> tuple[Shut, ...]:
        """Return the kinds that may not start here now."""
        if self.is_stale or now >= self.opens_at:
            self.is_stale = False
            self.reopened = self.reopened or (bool(self.closed) and now >= self.opens_at)
            closed: set[Shut] = {
                (kind, 0.0) for kind in self.without if kind[0] != AMOUNT or kind in self._asked
            }
            self.opens_at = float("inf")
            for limit in self.limits:
                if limit.is_rate:
                    limit.fill(now)
                if limit.is_amount:
                    if limit.is_short_of(self._asked.get(limit.kind, 0)):
                        closed.add((limit.kind, limit.room))
                elif limit.is_used_up:
                    closed.add((limit.kind, 0.0))
                    if limit.is_rate:
                        self.opens_at = min(self.opens_at, limit.opens_at)
            self.closed = tuple(sorted(closed))
        return self.closed

    def shuts(self, kinds: Kinds, now: float) -> bool:
        """Return whether a row that takes these kinds may not start here now."""
        self.look(now)
        return any(kind in kinds for kind in self.without) or any(
            limit.is_short_of(kinds[limit.kind]) for limit in self.limits if limit.kind in kinds
        )

    def doubt(self) -> None:
        """Mark `closed` as out of date."""
        self.is_stale = True


class LimitTable:
    """All limits, and the rows of the index that each counts."""

    def __init__(self, rules: Rules) -> None:
        self._banned = rules.banned
        self._asked: dict[
            LimitKind, int
        ] = {}  # for each amount with a limit, the most that a row takes
        self._places: dict[tuple[str, str, str], ElementLimits] = {}
        self._timed: list[ElementLimits] = []  # places with rates
        self.opened: set[ElementLimits] = (
            set()
        )  # places where jobs may start again since the last `wake`
        self._of: dict[tuple[_Rule, str], Limit] = {}  # by what they count, and for whom
        self._before: dict[tuple[_Rule, str], Limit] = {}  # the limits before the last change
        self._numbers = 0
        # `any` has become true: callers must look up the places that they keep.
        self.has_begun = False
        # Rates that began empty, by what they count and for which community, and when.
        self._empty_at: dict[tuple[_Rule, str], float] = {}
        self._take_up(rules)

    def _take_up(self, rules: Rules) -> None:
        self._rules: list[RunningLimit | StartLimit] = [*rules.running, *rules.starts]
        self.kinds = frozenset([(one.by, one.value) for one in self._rules])
        self._pools = [kind for kind in self.kinds if kind[0] == AMOUNT and is_pool(kind[1])]
        self._asked.clear()
        self.any = bool(self._rules or self._banned)

    def change(self, rules: Rules, now: float) -> None:
        """Apply other limits. Running limits start at zero, and new rates start empty. Bans stay.

        The caller counts the running jobs, and checks rows and parked offers again.
        """
        self._before |= self._of
        self._of = {}
        known = set(map(_named, self._rules))
        self._take_up(rules)
        fresh = {name: now for name in map(_named, self._rules) if name not in known}
        self._empty_at = self._empty_at | fresh
        self._timed.clear()
        for limit in self._before.values():
            limit.places.clear()
        for place in self._places.values():
            place.taken = ()
            self._settle(place)
        self.opened.update(self._places.values())

    def place(self, community: str, site: str, element: str) -> ElementLimits | None:
        """Return the place of an offer; None if no limit can hold there."""
        if not self.any:
            return None
        place = self._places.get((community, site, element))
        if place is None:
            place = ElementLimits(community, site, element, self._asked)
            self._places[community, site, element] = place
            self._settle(place)
        return place

    def _settle(self, place: ElementLimits) -> None:
        """Find the limits that hold at a place."""
        wheres = ("", place.site, f"{place.site}/{place.element}")
        place.limits = [it for it in self._all_of(place.community) if it.where in wheres]
        here = {limit.kind for limit in place.limits}
        banned = bool(self._banned) and not self._banned.isdisjoint(wheres)
        lacking = [kind for kind in self._pools if kind not in here]
        place.without = (*([NO_TEST] if banned else ()), NO_POOL, *lacking)
        for limit in place.limits:
            limit.places.append(place)
        if any(limit.is_rate for limit in place.limits):
            self._timed.append(place)
        place.doubt()

    def _all_of(self, community: str) -> list[Limit]:
        """Return the limits that count jobs of a community."""
        found = list[Limit]()
        for rule in self._rules:
            whose = _whose(rule, community)
            if whose is None:
                continue
            key = (_key(rule), whose)
            limit = self._of.get(key)
            if limit is None:
                limit = self._of[key] = self._made(rule, key)
            found.append(limit)
        return found

    def _made(self, rule: "RunningLimit | StartLimit", key: tuple[_Rule, str]) -> Limit:
        """Return a new limit, or the existing one for the same jobs with the new numbers."""
        limit = self._before.pop(key, None)
        is_new = limit is None
        if limit is None:
            self._numbers += 1
            limit = Limit(rule, key[1], self._numbers)
        else:
            limit.most, limit.per_s = _terms(rule)
            limit.room = min(limit.room, limit.most) if limit.is_rate else limit.most
        empty_at = self._empty_at.get(_named(rule))
        if limit.is_rate and empty_at is not None and (is_new or limit.at < empty_at):
            limit.room, limit.at = 0.0, empty_at
        return limit

    def places(self) -> list[ElementLimits]:
        """Return all places of offers so far. For checks only."""
        return list(self._places.values())

    def of(self, community: str) -> list[Limit]:
        """Return the limits that count jobs of a community, even if none has come."""
        return self._all_of(community)

    def all(self) -> list[Limit]:
        """Return all limits that have counted anything."""
        return list(self._of.values())

    def kinds_of(self, spec: ClassSpec, need: Need) -> Kinds:
        """Return the kinds of a row that have a limit or a ban anywhere."""
        if not (self.any or need.amounts):
            return _NO_KINDS
        words: set[LimitKind] = {("type", spec.type), ("group", spec.group), ("owner", spec.owner)}
        words.update(("tag", tag) for tag in parse(need.tags).named)
        kinds = dict.fromkeys(words & self.kinds, 1)
        if self._banned and spec.type != TEST:
            kinds[NO_TEST] = 1
        for name, amount in need.amounts.items():
            kind = (AMOUNT, name)
            if amount and kind in self.kinds:
                kinds[kind] = amount
        if self.uncounted(need):
            kinds[NO_POOL] = 1
        return kinds

    def uncounted(self, need: Need) -> list[str]:
        """Return the pools that a need takes and that no limit counts."""
        return [
            name
            for name, amount in need.amounts.items()
            if amount and is_pool(name) and (AMOUNT, name) not in self.kinds
        ]

    def note(self, kinds: Kinds) -> None:
        """Record the amounts that a row takes."""
        for kind, takes in kinds.items():
            if kind[0] == AMOUNT and takes > self._asked.get(kind, 0):
                self._asked[kind] = takes
                for place in self._places.values():
                    place.doubt()
        if not self.any and NO_POOL in kinds:
            self.any = self.has_begun = True

    def ceilings(self, spec: ClassSpec) -> list[Ceiling]:
        """Return the running limits that count a class, whichever of its needs is met."""
        if not self._rules and not any(need.amounts for need in spec.needs):
            return []
        first, *others = [self.kinds_of(spec, need) for need in spec.needs]
        takes = {
            kind: min(it, *[other[kind] for other in others]) if others else it
            for kind, it in first.items()
            if all(kind in other for other in others)
        }
        limits = [it for it in self._all_of(spec.community) if not it.is_rate]
        found = [
            Ceiling(
                number=limit.number,
                where=limit.where,
                room=max(0, int(limit.room)),
                takes=takes[limit.kind],
            )
            for limit in limits
            if limit.kind in takes
        ]
        for kind in takes:
            if kind == NO_POOL or kind in self._pools:
                wheres = tuple([limit.where for limit in limits if limit.kind == kind])
                if "" not in wheres:  # a pool is empty at places where no limit counts it
                    found.append(Ceiling(number=0, where="", room=0, but=wheres))
        return found

    # -- counting ---------------------------------------------------------------------------------

    def take(self, place: ElementLimits, kinds: Kinds, now: float) -> tuple[Limit, ...]:
        """Count a start, and return the limits that count it."""
        taken = tuple([limit for limit in place.limits if limit.kind in kinds])
        if taken == place.taken:
            taken = place.taken
        else:
            place.taken = taken
        for limit in taken:
            if limit.is_rate:
                limit.fill(now)
            if limit.is_amount:
                self._take_of(limit, kinds[limit.kind])
                continue
            limit.room -= 1.0
            if limit.is_used_up:
                self._doubt(limit)
        return taken

    def take_running(
        self, place: ElementLimits, kinds: Kinds, amounts: Mapping[str, int]
    ) -> tuple[Limit, ...]:
        """Count a job that runs already with its amounts, but no start."""
        taken = tuple(
            [
                it
                for it in place.limits
                if (amounts.get(it.kind[1]) if it.is_amount else it.kind in kinds)
                and not it.is_rate
            ]
        )
        for limit in taken:
            if limit.is_amount:
                self._take_of(limit, amounts[limit.kind[1]])
                continue
            limit.room -= 1.0
            if limit.is_used_up:
                self._doubt(limit)
        return taken

    def _take_of(self, limit: Limit, amount: int) -> None:
        limit.room -= amount
        if limit.is_short_of(self._asked.get(limit.kind, 0)):
            self._doubt(limit)

    def rates_of(self, limits: Iterable[Limit]) -> tuple[Limit, ...]:
        """Return the rates among some limits."""
        return tuple([limit for limit in limits if limit.is_rate])

    def give_back(
        self, limits: Iterable[Limit], amounts: Mapping[str, int], now: float, *, started: bool
    ) -> None:
        """Release the limits of a job with these amounts; if it never started, also its start."""
        for limit in limits:
            if limit.is_rate:
                if started:
                    continue
                limit.fill(now)
            if limit.is_amount:
                most = self._asked.get(limit.kind, 0)
                was_used_up = limit.is_short_of(most)
                limit.room = min(limit.most, limit.room + amounts[limit.kind[1]])
            else:
                most, was_used_up = 0, limit.is_used_up
                limit.room = min(limit.most, limit.room + 1.0)
            if was_used_up and (most or not limit.is_used_up):
                self._doubt(limit)
                self.opened.update(limit.places)

    def refill(self, now: float) -> None:
        """Find the places that time alone has opened."""
        for place in self._timed:
            if now >= place.opens_at or place.reopened:
                place.reopened = False
                self.opened.add(place)

    def empty_rates(self, now: float) -> None:
        """Empty the bucket of every rate, because earlier starts are unknown."""
        self._empty_at = dict.fromkeys(map(_named, self._rules), now)
        for limit in self.all():
            if limit.is_rate:
                limit.room, limit.at = 0.0, now
                self._doubt(limit)

    def _doubt(self, limit: Limit) -> None:
        for place in limit.places:
            place.doubt()


def _terms(rule: "RunningLimit | StartLimit") -> tuple[float, float]:
    """Return how many jobs may run or start at once, and starts per second: 0 for no rate."""
    if isinstance(rule, StartLimit):
        return float(rule.burst), rule.per_s
    return float(rule.most), 0.0


def _whose(rule: "RunningLimit | StartLimit", community: str) -> str | None:
    """Return whose jobs a limit counts for a community: empty for those of all.

    None: it does not limit that community.
    """
    together = rule.by in ("type", "tag", AMOUNT)
    if rule.community == ALL_COMMUNITIES or (not rule.community and together):
        return ""
    return community if rule.community in ("", community) else None


def _key(rule: "RunningLimit | StartLimit") -> _Rule:
    return (isinstance(rule, StartLimit), rule.where, rule.by, rule.value, bool(rule.community))


def _named(rule: "RunningLimit | StartLimit") -> tuple[_Rule, str]:
    return _key(rule), rule.community


def shuts(place: ElementLimits | None, kinds: Kinds, now: float) -> bool:
    """Return whether a row with these kinds may not start at a place. None: there are no limits."""
    return NO_POOL in kinds if place is None else place.shuts(kinds, now)


def is_shut(kinds: Kinds, closed: Iterable[Shut]) -> bool:
    """Return whether a row takes more of any kind than is left."""
    return any(kinds.get(kind, 0) > room + _HARDLY for kind, room in closed)
