"""Any order of calls: the matcher against a plain list and the exact rule."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from pilotage.matcher import Matcher
from pilotage.matcher.fit import first_fitting, grant
from pilotage.matcher.invariants import check
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.job import Need

from .makes import offer, spec

KEEP_S = 2.0
PILOTS = ("p1", "p2", "p3", "p4")

NEEDS = st.builds(
    Need,
    sites=st.sampled_from([(), (), (), ("PIC",), ("PIC", "CSCS")]),
    banned_sites=st.sampled_from([(), (), (), ("PIC",)]),
    os=st.sampled_from(["", "", "el8", "el9"]),
    cores_min=st.sampled_from([1, 1, 2, 4]),
    cores_max=st.sampled_from([0, 0, 3, 8]),
    memory_mb=st.sampled_from([0, 1000, 4000]),
    memory_per_core_mb=st.sampled_from([0, 500, 1000]),
    wall_s=st.sampled_from([60, 3600]),
    scratch_mb=st.sampled_from([0, 100]),
    tags=st.sampled_from(["", "", "gpu", "~gpu", "gpu | cvmfs"]),
)
ALTERNATIVES = st.lists(NEEDS, min_size=1, max_size=3).map(tuple)
# Few offers and many alike, so that what is remembered of one is used for the next.
THERE = (
    offer(),
    offer(),
    offer(cores_free=4, memory_free_mb=8000, scratch_free_mb=150),
    offer(cores_free=1, memory_free_mb=3500),
    offer(cores_free=2, memory_free_mb=999, wall_left_s=60.0),
    offer(site="CSCS", os="el8", tags=frozenset(["gpu"])),
    offer(site="CSCS", required_tags=frozenset(["gpu"]), scratch_free_mb=0),
    offer(site="DESY", groups=frozenset(["sim"]), wall_left_s=59.9),
    offer(owners=frozenset(["bob"])),
    offer(community="lhcb"),
    offer(cores_free=0),
)


def of_pilot(pilot: str, there: LiveOffer) -> LiveOffer:
    return msgspec.structs.replace(there, pilot=pilot)


OFFERS = st.builds(of_pilot, st.sampled_from(PILOTS), st.sampled_from(THERE))
JOBS = st.integers(1, 40) | st.integers(1020, 1030)  # on two pages of the ledger


@dataclass
class Waiting:
    """A job of the model that waits or is pending."""

    class_id: int
    priority: int
    pending: bool = False
    kept_for: str = ""
    kept_until: float = 0.0


class Machine(RuleBasedStateMachine):
    """One matcher and its model."""

    def __init__(self) -> None:
        super().__init__()
        self.matcher = Matcher(compatible={"el9": ("el8",)}, keep_s=KEEP_S)
        self.now = 0.0
        self.specs: dict[int, ClassSpec] = {}
        self.classes = 0
        self.jobs: dict[int, Waiting] = {}
        self.parked: dict[str, tuple[LiveOffer, int]] = {}
        self.woken_until: dict[str, float] = {}
        self.wakes: dict[str, int] = {}

    @initialize(needs=ALTERNATIVES)
    def begin(self, needs: tuple[Need, ...]) -> None:
        """Open with a class that fits nearly everywhere, and one that may not."""
        self.make_a_class((Need(wall_s=60),), "sim")
        self.make_a_class(needs, "sim")

    # -- the model ----------------------------------------------------------------------------

    def expire(self) -> None:
        for its in self.jobs.values():
            if its.kept_for and its.kept_until <= self.now:
                its.kept_for = ""

    def place(self, job: int, there: LiveOffer) -> int | None:
        its = self.specs[self.jobs[job].class_id]
        return first_fitting(its, there, clauses=self.matcher.clauses)

    def best(self, there: LiveOffer) -> int | None:
        """Return the job that the plain rule picks: of all that fit, by priority, then by age."""
        free = (
            (-its.priority, job)
            for job, its in self.jobs.items()
            if not its.pending and not its.kept_for and self.place(job, there) is not None
        )
        return min(free, default=(0, None))[1]

    def free_parked(self) -> list[LiveOffer]:
        return [
            its
            for pilot, (its, _) in self.parked.items()
            if self.woken_until.get(pilot, 0.0) <= self.now
        ]

    def answered(self, pilot: str) -> None:
        for its in self.jobs.values():
            if its.kept_for == pilot:
                its.kept_for = ""

    # -- jobs ---------------------------------------------------------------------------------

    @rule(needs=ALTERNATIVES, group=st.sampled_from(["sim", "dpps"]))
    def make_a_class(self, needs: tuple[Need, ...], group: str) -> None:
        self.classes += 1
        class_id = self.classes
        self.specs[class_id] = spec(class_id, *needs, group=group)
        self.matcher.add_class(self.specs[class_id])

    @precondition(lambda self: len(self.specs) > 1)
    @rule(data=st.data(), again=st.booleans(), compact=st.booleans())
    def forget_a_class(self, data: st.DataObject, again: bool, compact: bool) -> None:
        class_id = data.draw(st.sampled_from(sorted(self.specs)))
        idle = all(its.class_id != class_id for its in self.jobs.values())

        assert self.matcher.is_idle(class_id) == idle
        assert self.matcher.forget_class(class_id) == idle
        if again:
            self.matcher.add_class(self.specs[class_id])
        elif idle:
            del self.specs[class_id]
        if compact:
            self.matcher.compact()

    @rule(data=st.data(), jobs=st.lists(JOBS, max_size=8), priority=st.integers(0, 10))
    def add(self, data: st.DataObject, jobs: list[int], priority: int) -> None:
        class_id = data.draw(st.sampled_from(sorted(self.specs)))
        self.expire()
        self.matcher.add(class_id, priority, jobs)
        for job in jobs:
            self.jobs.setdefault(job, Waiting(class_id, priority))

    @rule(data=st.data(), first=JOBS, count=st.integers(1, 200))
    def add_a_range(self, data: st.DataObject, first: int, count: int) -> None:
        self.add(data, list(range(first, first + count)), 5)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(sorted(self.jobs)))
        removed = self.matcher.remove(job)

        assert removed == (not self.jobs[job].pending)
        if removed:
            del self.jobs[job]

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), priority=st.integers(0, 10))
    def set_priority(self, data: st.DataObject, priority: int) -> None:
        job = data.draw(st.sampled_from(sorted(self.jobs)))
        assert self.matcher.set_priority(job, priority)
        self.jobs[job].priority = priority

    # -- matching -----------------------------------------------------------------------------

    @rule(there=OFFERS, jobs_max=st.integers(1, 5))
    def match(self, there: LiveOffer, jobs_max: int) -> None:
        self.expire()
        self.answered(there.pilot)
        cores, memory_mb, scratch_mb = (
            there.cores_free,
            there.memory_free_mb,
            there.scratch_free_mb,
        )
        left = there
        found = self.matcher.match(there, jobs_max, self.now)
        for match in found:
            assert match.job == self.best(left)
            its = self.specs[self.jobs[match.job].class_id]
            need = its.needs[self.place(match.job, left) or 0]
            granted = grant(need, left)
            assert (match.cores, match.memory_mb) == (granted.cores, granted.memory_mb)
            assert (match.wall_s, match.scratch_mb) == (need.wall_s, need.scratch_mb)
            assert (match.class_id, match.priority) == (
                its.class_id,
                self.jobs[match.job].priority,
            )
            self.jobs[match.job].pending = True
            cores -= match.cores
            memory_mb -= match.memory_mb
            scratch_mb -= match.scratch_mb
            left = msgspec.structs.replace(
                left, cores_free=cores, memory_free_mb=memory_mb, scratch_free_mb=scratch_mb
            )
        assert min(cores, memory_mb, scratch_mb) >= 0
        if len(found) < jobs_max:
            assert self.best(left) is None

    @precondition(lambda self: any(its.pending for its in self.jobs.values()))
    @rule(data=st.data(), end=st.sampled_from(["confirm", "drop", "put_back", "put_back"]))
    def end_a_pending_one(self, data: st.DataObject, end: str) -> None:
        job = data.draw(st.sampled_from([job for job, its in self.jobs.items() if its.pending]))
        if end == "put_back":
            self.matcher.put_back(job)
            self.jobs[job].pending = False
        else:
            (self.matcher.confirm if end == "confirm" else self.matcher.drop)(job)
            del self.jobs[job]

    # -- parked offers ------------------------------------------------------------------------

    @rule(there=OFFERS, ask=st.integers(1, 9))
    def park(self, there: LiveOffer, ask: int) -> None:
        self.expire()
        self.answered(there.pilot)
        self.matcher.park(there, ask, self.now)
        self.parked[there.pilot] = (there, ask)
        self.woken_until.pop(there.pilot, None)
        self.wakes.pop(there.pilot, None)

    @rule(pilot=st.sampled_from(PILOTS))
    def withdraw(self, pilot: str) -> None:
        self.answered(pilot)
        self.matcher.withdraw(pilot)
        self.parked.pop(pilot, None)
        self.woken_until.pop(pilot, None)
        self.wakes.pop(pilot, None)

    @rule(data=st.data(), job=JOBS)
    def submit(self, data: st.DataObject, job: int) -> None:
        self.add(data, [job], 5)
        self.wake()

    @rule(there=OFFERS, jobs_max=st.integers(1, 3), ask=st.integers(1, 9))
    def ask(self, there: LiveOffer, jobs_max: int, ask: int) -> None:
        """What a pilot does: it asks, and is parked where nothing is found."""
        self.withdraw(there.pilot)
        self.match(there, jobs_max)
        if self.best(there) is None:
            self.park(there, ask)

    @rule()
    def wake(self) -> None:
        self.expire()
        free = {its.pilot: its for its in self.free_parked()}
        for one in self.matcher.wake(self.now):
            there = free.pop(one.pilot)
            its = self.jobs[one.job]
            assert one.ask == self.parked[one.pilot][1]
            assert not its.pending and not its.kept_for
            assert self.place(one.job, there) is not None
            its.kept_for, its.kept_until = one.pilot, self.now + KEEP_S
            wakes = self.wakes[one.pilot] = self.wakes.get(one.pilot, 0) + 1
            self.woken_until[one.pilot] = self.now + KEEP_S * 2 ** min(wakes - 1, 4)
        assert all(self.best(there) is None for there in free.values())

    @rule(pilot=st.sampled_from(PILOTS))
    def has_work(self, pilot: str) -> None:
        self.expire()
        expected = pilot in self.parked and (
            any(its.kept_for == pilot for its in self.jobs.values())
            or self.best(self.parked[pilot][0]) is not None
        )
        assert self.matcher.has_work(pilot, self.now) == expected

    @rule(by_s=st.sampled_from([0.5, 1.0, 2.0, 9.0]))
    def time_passes(self, by_s: float) -> None:
        self.now += by_s

    # -- explaining ---------------------------------------------------------------------------

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), offers=st.lists(OFFERS, max_size=3))
    def explain(self, data: st.DataObject, offers: Sequence[LiveOffer]) -> None:
        job = data.draw(st.sampled_from(sorted(self.jobs)))
        self.expire()
        mine = self.jobs[job]
        said = self.matcher.explain(job, self.specs[mine.class_id], offers, self.now)
        fitting = [there for there in offers if self.place(job, there) is not None]
        ahead = [
            other
            for other, its in self.jobs.items()
            if not its.pending
            and not its.kept_for
            and (-its.priority, other) < (-mine.priority, job)
            and any(self.place(other, there) is not None for there in fitting)
        ]

        assert said.fitting == len(fitting)
        assert said.ahead == len(ahead)
        assert said.state == ("Matched" if mine.pending else "Waiting")

    # -- always -------------------------------------------------------------------------------

    @invariant()
    def structures_agree(self) -> None:
        check(self.matcher)

    @invariant()
    def no_job_is_lost(self) -> None:
        assert len(self.matcher) == sum(not its.pending for its in self.jobs.values())
        assert all(job in self.matcher for job in self.jobs)
        assert all(
            self.matcher.parked_ask(pilot) == self.parked.get(pilot, (None, 0))[1]
            for pilot in PILOTS
        )


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
