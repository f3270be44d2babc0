"""The order, limits and preferences of the matcher once more, slow and plain: by looking at all.

Nothing is indexed, kept or corrected here: each question looks at every job, every limit and every
owner. `test_machine` compares the two after each step.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from pilotage.matcher.clauses.clause import Clauses
from pilotage.matcher.clauses.tag_expressions import parse
from pilotage.matcher.limits.fair_shares import BOUND_EVERY_S
from pilotage.matcher.rules import Rules, RunningLimit, StartLimit
from pilotage.matcher.types import ClassSpec, Grant, LiveOffer
from pilotage.proto.documents.job import Need
from tests.matcher.rule import misfits

SCARCE, PLAIN, ELSEWHERE, LAST = range(4)


@dataclass
class Waiting:
    """A job that waits or is pending."""

    class_id: int
    priority: int
    pending: bool = False
    kept_for: str = ""
    kept_until: float = 0.0
    there: LiveOffer | None = None
    amounts: Mapping[str, int] = field(default_factory=dict[str, int])  # while it is kept
    taken: "list[RunningLimit | StartLimit]" = field(
        default_factory=list[RunningLimit | StartLimit]
    )

    @property
    def in_reach(self) -> bool:
        return not self.pending and not self.kept_for


@dataclass
class Charged:
    """What a job that is out has cost its owner."""

    path: tuple[str, ...]
    core_s: float
    asked_core_s: float
    at: float
    taken: list[RunningLimit | StartLimit]
    pilot: str
    given: Grant
    charged_cores: float  # for all that others cannot use beside it
    class_id: int
    there: LiveOffer
    submission: tuple[str, str, str]


@dataclass
class Standing:
    """A group or an owner among its siblings."""

    serial: int
    level: float = 0.0
    served_at: int = -1
    busy: bool = False
    slack: float = 0.0
    raised_at: float = float("-inf")
    asked: float = 0.0
    used: float = 0.0
    out: float = 0.0  # of a group: what its jobs that are out are charged with

    @property
    def part(self) -> float:
        """Return with what part of what they ask for its jobs are charged."""
        return min(1.0, max(0.5, self.used / self.asked)) if self.asked else 1.0


class Order:
    """Levels of groups and owners."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.of: dict[tuple[str, ...], Standing] = {}
        self.came_first = count()  # serials of all that come
        self.served: defaultdict[tuple[str, ...], int] = defaultdict(int)
        self.latest: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.turns: dict[tuple[str, ...], tuple[float, tuple[str, ...]]] = {}
        self.bounded_at: dict[tuple[str, ...], float] = {}

    def know(self, spec: ClassSpec) -> None:
        path: tuple[str, ...] = ()
        for name in (spec.community, spec.group, spec.owner):
            path = (*path, name)
            if path not in self.of:
                self.of[path] = Standing(next(self.came_first))

    def forget(self, needed: Iterable[tuple[str, ...]]) -> None:
        """Forget groups and owners whom nobody needs and whose level is what one who comes has.

        Who comes again after that is a new one: the last among its siblings, and never served.
        """
        kept = {path[:length] for path in needed for length in (1, 2, 3)}
        for path in sorted(self.of, key=lambda path: -len(path)):
            is_latest = self.latest.get(path[:-1]) == path
            has_children = any(its[:-1] == path for its in self.of)
            if len(path) == 1 or path in kept or is_latest or has_children:
                continue
            if self.of[path].level <= self._competing(path):
                del self.of[path]
                self.served.pop(path, None)

    def siblings(self, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        return [its for its in self.of if its[:-1] == path[:-1] and len(its) == len(path)]

    def place(self, path: tuple[str, ...]) -> tuple[float, int]:
        return (self.of[path].level, self.of[path].serial)

    def weight(self, at: float) -> float:
        return float(2.0 ** (at / self.rules.half_life_s))

    def comes_out(self, path: tuple[str, ...], core_s: float, at: float) -> None:
        """A job is charged with so much until it ends; less than nothing: it has ended."""
        self.of[path[:2]].out += core_s * self.weight(at)

    def charge(self, path: tuple[str, ...], core_s: float, at: float) -> None:
        for length in (3, 2):
            share = self.rules.shares.get("/".join(path[:length]), 1.0)
            self.of[path[:length]].level += core_s * self.weight(at) / share

    def give_back(self, path: tuple[str, ...], core_s: float, at: float) -> None:
        for length in (3, 2):
            its = self.of[path[:length]]
            share = self.rules.shares.get("/".join(path[:length]), 1.0)
            less = core_s * self.weight(at) / share
            if at < its.raised_at:
                less = min(less, its.slack)
                its.slack -= less
            its.level -= less

    def serve(self, path: tuple[str, ...]) -> None:
        for length in (3, 2, 1):
            parent = path[: length - 1]
            self.served[parent] += 1
            self.latest[parent] = path[:length]
            self.of[path[:length]].served_at = self.served[parent]

    def turn(self, path: tuple[str, ...], now: float, *, in_turn: bool) -> None:
        """One is served: now and then those that lag too far behind are lifted."""
        for length in (3, 2):
            parent, its = path[: length - 1], path[:length]
            if in_turn and self.of[its].level > self.turns.get(parent, (float("-inf"), its))[0]:
                self.turns[parent] = (self.of[its].level, its)
            if now - self.bounded_at.get(parent, float("-inf")) >= BOUND_EVERY_S:
                is_first = parent not in self.bounded_at
                self.bounded_at[parent] = now
                turn = self.turns.pop(parent, None)
                if turn is not None and not is_first:
                    self._bound(parent, min(turn[0], self.of[turn[1]].level))

    def _bound(self, parent: tuple[str, ...], turn: float) -> None:
        rivals = [its for its in self.of if its[:-1] == parent and self.of[its].busy]
        behind = [its for its in sorted(rivals, key=self.place) if self.of[its].level < turn]
        if not behind:
            return
        shares = [
            self.rules.shares.get("/".join(its), 1.0) for its in sorted(rivals, key=self.place)
        ]
        groups = [its for its in self.of if its[: len(parent)] == parent and len(its) == 2]
        out = max(0.0, sum(self.of[its].out for its in groups))
        excess = turn - self.of[behind[0]].level - self.rules.ahead * out / sum(shares)
        levels = [self.of[its].level for its in behind] + [turn]
        gaps = {its: levels[place + 1] - levels[place] for place, its in enumerate(behind)}
        for its in sorted(gaps, key=lambda its: -gaps[its]):
            cut = max(0.0, min(gaps[its], excess))
            excess -= cut
            for lower in behind[: behind.index(its) + 1]:
                self.of[lower].level += cut

    def look(self, busy: set[tuple[str, ...]], now: float) -> None:
        """Take up which owners have jobs in reach; those that come back begin with the others."""
        whole = {path[:length] for path in busy for length in (1, 2, 3)}
        for path, its in sorted(self.of.items(), key=lambda item: -len(item[0])):
            if its.busy and path not in whole:
                its.busy = False
        for path in sorted(whole, key=lambda path: -len(path)):
            if not self.of[path].busy:
                self._begin(path, now)
                self.of[path].busy = True

    def came(self, path: tuple[str, ...], now: float) -> None:
        """More jobs came; who was not served for long begins with the others too."""
        for length in (3, 2, 1):
            its = self.of[path[:length]]
            if its.busy and its.served_at < self._recently(path[:length]):
                self._begin(path[:length], now)

    def _begin(self, path: tuple[str, ...], now: float) -> None:
        its, level = self.of[path], self._competing(path)
        its.level = max(its.level, level)
        share = self.rules.shares.get("/".join(path), 1.0)
        ahead = self.rules.ahead_core_s * self.weight(now) / share
        its.slack, its.raised_at = its.level - level + ahead, now

    def _recently(self, path: tuple[str, ...]) -> int:
        rivals = [its for its in self.siblings(path) if self.of[its].busy]
        return max(-1, self.served[path[:-1]] - 4 * len(rivals) - 64)

    def _competing(self, path: tuple[str, ...]) -> float:
        parent = path[:-1]
        rivals = [its for its in self.siblings(path) if self.of[its].busy]
        recently = self._recently(path)
        for rival in sorted(rivals, key=self.place):
            if self.of[rival].served_at > recently:
                return self.of[rival].level
        latest = self.latest.get(parent)
        return self.of[latest].level if latest is not None else 0.0


class Plain:
    """All that the machine knows, and what follows from it."""

    def __init__(self, rules: Rules, clauses: Clauses) -> None:
        self.rules, self.clauses = rules, clauses
        self.order = Order(rules)
        self.now = 0.0
        self.specs: dict[int, ClassSpec] = {}
        self.jobs: dict[int, Waiting] = {}
        self.out: dict[int, Charged] = {}  # pending and running
        self.came: defaultdict[int, list[tuple[int, float]]] = defaultdict(list)
        self.all_limits: list[RunningLimit | StartLimit] = [*rules.running, *rules.starts]
        self.tokens = {rate: (float(rate.burst), 0.0) for rate in rules.starts}

    # -- jobs ---------------------------------------------------------------------------------

    def path(self, class_id: int) -> tuple[str, ...]:
        spec = self.specs[class_id]
        return (spec.community, spec.group, spec.owner)

    def compact(self) -> None:
        """Forget owners of whom nothing is here."""
        needed = {self.path(class_id) for class_id in self.specs}
        self.order.forget(needed | {its.path for its in self.out.values()})

    def add(self, class_id: int, priority: int, jobs: list[int]) -> None:
        new = [job for job in dict.fromkeys(jobs) if job not in self.jobs]
        for job in new:
            self.jobs[job] = Waiting(class_id, priority)
        came = self.came[class_id]
        if new and (not came or max(new) > came[-1][0]):
            came.append((max(new), self.now))
        self.look()
        self.order.came(self.path(class_id), self.now)

    def look(self) -> None:
        self.order.look(
            {
                self.path(its.class_id)
                for its in self.jobs.values()
                if its.in_reach and not self.is_shut(its.class_id)
            },
            self.now,
        )

    def is_shut(self, class_id: int) -> bool:
        """Whether as many jobs of its submission are out as that lets run."""
        spec = self.specs[class_id]
        if not spec.submission:
            return False
        whose = _submission(spec)
        out = sum(its.submission == whose for its in self.out.values())
        kept = [its.class_id for its in self.jobs.values() if its.kept_for]
        out += sum(_submission(self.specs[one]) == whose for one in kept)
        return out >= spec.running_max

    def head(self, class_id: int) -> int | None:
        """Return a class's best job."""
        if self.is_shut(class_id):
            return None
        its = [
            (-job.priority, number)
            for number, job in self.jobs.items()
            if job.class_id == class_id and job.in_reach
        ]
        return min(its)[1] if its else None

    # -- limits -------------------------------------------------------------------------------

    def limits(
        self, spec: ClassSpec, need: Need, there: LiveOffer
    ) -> list[RunningLimit | StartLimit]:
        words = {"type": {spec.type}, "group": {spec.group}, "owner": {spec.owner}}
        words["tag"] = set(parse(need.tags).named)
        words["amount"] = {name for name, amount in need.amounts.items() if amount}
        places = ("", there.site, f"{there.site}/{there.element}")
        return [
            limit
            for limit in self.all_limits
            if limit.where in places
            and limit.value in words[limit.by]
            and limit.community in ("", "*", spec.community)
        ]

    def change(self, rules: Rules) -> None:
        """Other shares and running limits hold: what is out counts for those of all its needs."""
        old, self.rules, self.order.rules = self.rules, rules, rules
        self.all_limits = [*rules.running, *rules.starts]
        for path, its in self.order.of.items():
            name = "/".join(path)
            before, now = old.shares.get(name, 1.0), rules.shares.get(name, 1.0)
            if before != now and len(path) > 1:
                out = sum(
                    charged.core_s * self.order.weight(charged.at)
                    for charged in self.out.values()
                    if charged.path[: len(path)] == path
                )
                its.level += out / now - out / before
        for charged in self.out.values():
            spec = self.specs.get(charged.class_id)
            given = charged.given.amounts
            charged.taken = self._taken_again(spec, charged.there, charged.taken, given)
        for job in self.jobs.values():
            if job.kept_for and job.there is not None:
                spec = self.specs[job.class_id]
                job.taken = self._taken_again(spec, job.there, job.taken, job.amounts)

    def _taken_again(
        self,
        spec: ClassSpec | None,
        there: LiveOffer,
        taken: list[RunningLimit | StartLimit],
        amounts: Mapping[str, int],
    ) -> list[RunningLimit | StartLimit]:
        needs = spec.needs if spec is not None else ()
        found = [its for need in needs if spec for its in self.limits(spec, need, there)]
        running = [
            its
            for its in dict.fromkeys(found)
            if isinstance(its, RunningLimit) and (its.by != "amount" or amounts.get(its.value))
        ]
        return [*running, *[its for its in taken if isinstance(its, StartLimit)]]

    def count(self, limit: RunningLimit) -> int:
        counted = [its.given.amounts for its in self.out.values() if limit in its.taken]
        kept = [its for its in self.jobs.values() if its.kept_for]
        counted += [its.amounts for its in kept if limit in its.taken]
        if limit.by == "amount":
            return sum(amounts[limit.value] for amounts in counted)
        return len(counted)

    def starts(self, limit: StartLimit) -> float:
        left, at = self.tokens[limit]
        return min(float(limit.burst), left + max(0.0, self.now - at) * limit.per_s)

    def may_start(self, spec: ClassSpec, need: Need, there: LiveOffer) -> bool:
        if spec.type != "Test" and self.rules.banned & {
            there.site,
            f"{there.site}/{there.element}",
        }:
            return False
        limits = self.limits(spec, need, there)
        counted = {limit.value for limit in limits if limit.by == "amount"}
        pools = {name for name, amount in need.amounts.items() if amount and "." in name}
        return pools <= counted and all(
            self.starts(limit) >= 1.0 - 1e-9
            if isinstance(limit, StartLimit)
            else self.count(limit) + self._takes(limit, need) <= limit.most
            for limit in limits
        )

    def _takes(self, limit: RunningLimit, need: Need) -> int:
        return need.amounts[limit.value] if limit.by == "amount" else 1

    def take(self, limits: list[RunningLimit | StartLimit], *, back: bool = False) -> None:
        """Count starts, or give them back."""
        for limit in limits:
            if isinstance(limit, StartLimit):
                left = self.starts(limit) + (1.0 if back else -1.0)
                self.tokens[limit] = (min(float(limit.burst), left), self.now)

    # -- the order ----------------------------------------------------------------------------

    def place(self, class_id: int, there: LiveOffer) -> int | None:
        """Return the first of the needs that fits and may start."""
        spec = self.specs[class_id]
        for place, need in enumerate(spec.needs):
            fits = not misfits(need, there, clauses=self.clauses, spec=spec)
            if fits and self.may_start(spec, need, there):
                return place
        return None

    def tier(self, job: int, place: int, there: LiveOffer) -> int:
        its = self.jobs[job]
        spec = self.specs[its.class_id]
        if its.priority == 0:
            return LAST
        if spec.preference is not None and there.site not in spec.preference.sites:
            since = next((at for last, at in self.came[its.class_id] if last >= job), None)
            if since is not None and since + spec.preference.for_s > self.now:
                return ELSEWHERE
        need, rules = spec.needs[place], self.rules
        memory_mb = need.memory_mb + need.memory_per_core_mb * need.cores_min
        scarce = (
            need.gpus_min > 0
            or need.cores_min > rules.wide_cores
            or memory_mb > rules.large_memory_per_core_mb * need.cores_min
            or need.wall_s > rules.long_wall_s
        )
        return SCARCE if scarce else PLAIN

    def best(self, there: LiveOffer) -> int | None:
        """Return the job that comes first for an offer."""
        first = [self._first(jobs) for jobs in self._tiers(there)]
        scarce, plain = first[SCARCE], first[PLAIN]
        if scarce is not None and plain is not None:
            return scarce if self._precedes(scarce, plain) else plain
        return next((job for job in first if job is not None), None)

    def _tiers(self, there: LiveOffer) -> list[list[int]]:
        tiers: list[list[int]] = [[], [], [], []]
        for class_id in self.specs:
            job = self.head(class_id)
            place = self.place(class_id, there) if job is not None else None
            if job is not None and place is not None:
                tiers[self.tier(job, place, there)].append(job)
        return tiers

    def _is_in_turn(self, job: int, there: LiveOffer) -> bool:
        """Whether a job that comes first is of the owner whose turn it is."""
        tiers = self._tiers(there)
        first = self._first(tiers[SCARCE] + tiers[PLAIN])
        if first is None:
            return True
        return self.path(self.jobs[first].class_id) == self.path(self.jobs[job].class_id)

    def _first(self, jobs: list[int]) -> int | None:
        if not jobs:
            return None
        paths = {job: self.path(self.jobs[job].class_id) for job in jobs}
        group = min({path[:2] for path in paths.values()}, key=self.order.place)
        owner = min({path for path in paths.values() if path[:2] == group}, key=self.order.place)
        return min((-self.jobs[job].priority, job) for job, path in paths.items() if path == owner)[
            1
        ]

    def _precedes(self, scarce: int, plain: int) -> bool:
        mine = self.path(self.jobs[scarce].class_id)
        its = self.path(self.jobs[plain].class_id)
        if mine[:2] != its[:2]:
            mine, its = mine[:2], its[:2]
        ahead = self.order.of[mine].level - self.order.of[its].level
        return ahead <= self.rules.ahead_core_s * self.order.weight(self.now)

    # -- what happens -------------------------------------------------------------------------

    def matched(self, job: int, place: int, there: LiveOffer, got: Grant) -> None:
        its = self.jobs[job]
        spec = self.specs[its.class_id]
        need = spec.needs[place]
        limits = self.limits(spec, need, there)
        in_turn = self._is_in_turn(job, there)
        self.take(limits)
        its.pending = True
        path = self.path(its.class_id)
        self.order.serve(path)
        self.look()
        self.order.turn(path, self.now, in_turn=in_turn)
        its_out = [out for out in self.out.values() if out.pilot == there.pilot]
        taken_mb = sum(out.given.memory_mb for out in its_out)
        scratch_mb = there.scratch_free_mb + sum(out.given.scratch_mb for out in its_out)
        of_named = [
            there.cores
            * amount
            / (there.amounts_free[name] + sum(out.given.amounts.get(name, 0) for out in its_out))
            for name, amount in got.amounts.items()
            if amount and name in there.amounts_free
        ]
        cores = max(
            got.cores,
            there.cores * got.memory_mb / max(1, there.memory_free_mb + taken_mb),
            there.cores * got.scratch_mb / max(1, scratch_mb),
            there.cores * got.gpus / max(1, got.gpus, there.gpus),
            *of_named,
        )
        asked_core_s = cores * need.wall_s
        if job in self.out:  # its end was never told
            older = self.out.pop(job)
            self.order.give_back(older.path, older.core_s, older.at)
            self.order.comes_out(older.path, -older.core_s, older.at)
            self.look()
        core_s = asked_core_s * self.order.of[path].part
        self.out[job] = Charged(
            path=path,
            core_s=core_s,
            asked_core_s=asked_core_s,
            at=self.now,
            taken=limits,
            pilot=there.pilot,
            given=got,
            charged_cores=cores,
            class_id=its.class_id,
            there=there,
            submission=_submission(spec),
        )
        self.order.charge(path, core_s, self.now)
        self.order.comes_out(path, core_s, self.now)
        self.look()

    def undone(self, job: int) -> None:
        """A match came to nothing."""
        its = self.out.pop(job)
        self.order.give_back(its.path, its.core_s, its.at)
        self.order.comes_out(its.path, -its.core_s, its.at)
        self.take(its.taken, back=True)
        self.look()

    def ended(self, job: int, used_core_s: float | None) -> None:
        its = self.out.pop(job)
        used = its.asked_core_s
        if used_core_s is not None:
            used = used_core_s * its.charged_cores / its.given.cores
            owner, weight = self.order.of[its.path], self.order.weight(its.at)
            owner.asked += its.asked_core_s * weight
            owner.used += used * weight
        self.order.comes_out(its.path, -its.core_s, its.at)
        more = used - its.core_s
        if more > 0:
            self.order.charge(its.path, more, its.at)
        else:
            self.order.give_back(its.path, -more, its.at)
        self.look()

    def kept(self, job: int, there: LiveOffer, until: float) -> None:
        its = self.jobs[job]
        place = self.place(its.class_id, there)
        assert place is not None
        spec = self.specs[its.class_id]
        its.taken, its.amounts = (
            self.limits(spec, spec.needs[place], there),
            spec.needs[place].amounts,
        )
        self.take(its.taken)
        its.kept_for, its.kept_until, its.there = there.pilot, until, there
        self.look()

    def released(self, job: int) -> None:
        its = self.jobs[job]
        its.kept_for = ""
        self.take(its.taken, back=True)
        its.taken = []
        self.look()


def _submission(spec: ClassSpec) -> tuple[str, str, str]:
    return (spec.community, spec.owner, spec.submission)
