"""Any order of calls: the matcher against a plain list and the exact rule."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from pilotage.matcher import Matcher
from pilotage.matcher.clauses import (
    facets,
    tag_choices as tagchoices,
    word_bits as words,
    word_facets,
)
from pilotage.matcher.index import (
    class_index as index,
    community_indexes as indexes,
    thresholds as steps,
)
from pilotage.matcher.index.exact_fit import grant
from pilotage.matcher.limits import share_order as order
from pilotage.matcher.matcher import less
from pilotage.matcher.parked_offers import offer_kinds as kinds, offers as parked, wake_ups as wakes
from pilotage.matcher.queue import owner_ranking as ranked
from pilotage.matcher.rules import Rules, RunningLimit, StartLimit
from pilotage.matcher.types import LiveOffer
from pilotage.proto.documents.job import Need, Preference
from tests.matcher.invariants import check
from tests.matcher.rule import first_fitting

from .makes import COMPATIBLE, NEEDS, OFFERS, offer, spec
from .plain import Plain

KEEP_S = 2.0
PILOTS = ("p1", "p2", "p3", "p4")

WHOSE = st.tuples(
    st.sampled_from(["sim", "sim", "dpps"]),
    st.sampled_from(["ada", "bob", "eve"]),
    st.sampled_from(["User", "User", "Test"]),
)
PREFERENCES = st.sampled_from(
    [None, None, None, Preference(sites=("PIC",), for_s=3), Preference(sites=("CSCS",), for_s=9)]
)
SUBMISSIONS = st.sampled_from(["", "", "k", "two"])  # as many run at once as its key is long
RULES = Rules(
    compatible=COMPATIBLE,
    keep_s=KEEP_S,
    shares={"ctao/sim": 2.0, "ctao/sim/ada": 3.0},
    half_life_s=50.0,
    running=(
        RunningLimit(where="PIC", by="type", value="User", most=3),
        RunningLimit(where="PIC/ce1", by="owner", value="bob", most=1),
        RunningLimit(where="CSCS", by="tag", value="gpu", most=1),
        RunningLimit(by="group", value="sim", most=6, community="ctao"),
        RunningLimit(by="amount", value="lic.a", most=4),
        RunningLimit(where="PIC", by="amount", value="net", most=9),
    ),
    starts=(
        StartLimit(where="DESY", by="group", value="sim", per_s=0.25, burst=2),
        StartLimit(where="PIC", by="owner", value="eve", per_s=0.5),
    ),
    banned=frozenset(["CSCS/ce2"]),
    wide_cores=2,
    large_memory_per_core_mb=3_000,
    ahead_core_s=500.0,
)
CHANGES: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "shares": st.sampled_from([RULES.shares, {"ctao/sim": 1.0, "ctao/sim/bob": 2.0}]),
        "running": st.sampled_from(
            [
                RULES.running,
                (),
                (
                    RunningLimit(where="PIC", by="amount", value="lic.a", most=3),
                    RunningLimit(where="PIC/ce1", by="amount", value="lic.b", most=1),
                ),
                (
                    RunningLimit(where="PIC", by="type", value="User", most=1),
                    RunningLimit(by="owner", value="ada", most=2),
                    RunningLimit(by="owner", value="bob", most=2, community="another"),
                ),
            ]
        ),
    }
)
ALTERNATIVES = st.lists(NEEDS, min_size=1, max_size=3).map(tuple)


def of_pilot(pilot: str, there: LiveOffer) -> LiveOffer:
    return msgspec.structs.replace(there, pilot=pilot)


BANNED = (offer(element="ce2", memory_free_mb=30_000), offer(site="CSCS", element="ce2", os="el8"))
THERE = st.builds(of_pilot, st.sampled_from(PILOTS), st.sampled_from((*OFFERS, *BANNED)))
JOBS = st.integers(1, 40) | st.integers(1020, 1030)  # on two pages of the ledger


class Machine(RuleBasedStateMachine):
    """One matcher and its model. Nothing is reserved, so that the order is known in each step."""

    ruled_by = RULES
    reserve_after_s = 1e9

    def __init__(self) -> None:
        super().__init__()
        rules = msgspec.structs.replace(self.ruled_by, reserve_after_s=self.reserve_after_s)
        self.matcher = Matcher(rules)
        self.plain = Plain(rules, self.matcher.clauses)
        self.jobs = self.plain.jobs
        self.specs = self.plain.specs
        self.classes = 0
        self.running: set[int] = set()
        self.parked: dict[str, tuple[LiveOffer, int]] = {}
        self.woken_until: dict[str, float] = {}
        self.wakes: dict[str, int] = {}
        self.keeps: dict[int, int] = {}  # by job: which keep came first

    @property
    def is_ordered(self) -> bool:
        """Whether nothing can be reserved, so that the model knows the order."""
        return self.reserve_after_s > self.now

    @property
    def now(self) -> float:
        return self.plain.now

    @initialize(needs=ALTERNATIVES)
    def begin(self, needs: tuple[Need, ...]) -> None:
        """Open with a class that fits nearly everywhere, and one that may not."""
        self.make_a_class((Need(wall_s=60),), ("sim", "ada", "User"), None)
        self.make_a_class(needs, ("sim", "bob", "Test"), None)

    # -- the model ----------------------------------------------------------------------------

    def expire(self) -> None:
        kept = [
            (its.kept_until, self.keeps[job], job) for job, its in self.jobs.items() if its.kept_for
        ]
        for until, _, job in sorted(kept):
            if until <= self.now:
                self.plain.released(job)

    def free_parked(self) -> list[LiveOffer]:
        return [
            its
            for pilot, (its, _) in self.parked.items()
            if self.woken_until.get(pilot, 0.0) <= self.now
        ]

    def answered(self, pilot: str) -> None:
        for job, its in self.jobs.items():
            if its.kept_for == pilot:
                self.plain.released(job)

    # -- jobs ---------------------------------------------------------------------------------

    @rule(needs=ALTERNATIVES, whose=WHOSE, preference=PREFERENCES, submission=SUBMISSIONS)
    def make_a_class(
        self,
        needs: tuple[Need, ...],
        whose: tuple[str, str, str],
        preference: Preference | None,
        submission: str = "",
    ) -> None:
        self.classes += 1
        class_id = self.classes
        group, owner, kind = whose
        self.specs[class_id] = spec(
            class_id,
            *needs,
            group=group,
            owner=owner,
            type=kind,
            preference=preference,
            submission=submission,
            running_max=len(submission),
        )
        self.plain.order.know(self.specs[class_id])
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
            self.plain.compact()

    @rule(data=st.data(), jobs=st.lists(JOBS, max_size=8), priority=st.integers(0, 10))
    def add(self, data: st.DataObject, jobs: list[int], priority: int) -> None:
        class_id = data.draw(st.sampled_from(sorted(self.specs)))
        self.matcher.add(class_id, priority, jobs)
        self.plain.add(class_id, priority, jobs)

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
            if self.jobs[job].kept_for:
                self.plain.take(self.jobs[job].taken, back=True)
            del self.jobs[job]
            self.plain.look()

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), priority=st.integers(0, 10))
    def set_priority(self, data: st.DataObject, priority: int) -> None:
        job = data.draw(st.sampled_from(sorted(self.jobs)))
        assert self.matcher.set_priority(job, priority)
        self.jobs[job].priority = priority
        self.plain.order.came(self.plain.path(self.jobs[job].class_id), self.plain.now)

    @rule(change=CHANGES)
    def shares_and_limits_change(self, change: dict[str, Any]) -> None:
        rules = msgspec.structs.replace(self.plain.rules, **change)
        self.matcher.change(rules, self.now)
        self.plain.change(rules)

    # -- matching -----------------------------------------------------------------------------

    @rule(there=THERE, jobs_max=st.integers(1, 5))
    def match(self, there: LiveOffer, jobs_max: int) -> None:
        self.answered(there.pilot)
        left = there
        found = self.matcher.match(there, jobs_max, self.now)
        for match in found:
            if self.is_ordered:
                assert match.job == self.plain.best(left)
            its = self.jobs[match.job]
            spec = self.specs[its.class_id]
            place = self.plain.place(its.class_id, left)
            assert place is not None and its.in_reach
            need = spec.needs[place]
            granted = grant(need, left)
            if self.is_ordered:
                given = match.grant
                assert (given.cores, given.memory_mb) == (granted.cores, granted.memory_mb)
            assert (match.grant.wall_s, match.grant.scratch_mb) == (need.wall_s, need.scratch_mb)
            assert (match.class_id, match.priority) == (its.class_id, its.priority)
            self.plain.matched(match.job, place, left, granted)
            self.running.discard(match.job)  # an attempt whose end was never told
            left = less(left, match.grant)
            assert min(left.cores_free, left.memory_free_mb, left.scratch_free_mb) >= 0
            assert min(left.amounts_free.values(), default=0) >= 0
        if len(found) < jobs_max and self.is_ordered:
            assert self.plain.best(left) is None

    @precondition(lambda self: any(its.pending for its in self.jobs.values()))
    @rule(data=st.data(), end=st.sampled_from(["confirm", "confirm", "drop", "put_back"]))
    def end_a_pending_one(self, data: st.DataObject, end: str) -> None:
        job = data.draw(st.sampled_from([job for job, its in self.jobs.items() if its.pending]))
        if end == "put_back":
            self.matcher.put_back(job)
            self.plain.undone(job)
            self.jobs[job].pending = False
            self.plain.look()
            return
        if end == "confirm":
            self.matcher.confirm(job)
            self.running.add(job)
        else:
            self.matcher.drop(job)
            self.plain.undone(job)
        del self.jobs[job]

    @precondition(lambda self: self.running)
    @rule(data=st.data(), used_core_s=st.sampled_from([None, 0.0, 30.0, 5000.0]))
    def a_running_one_ends(self, data: st.DataObject, used_core_s: float | None) -> None:
        job = data.draw(st.sampled_from(sorted(self.running)))
        self.running.discard(job)
        self.matcher.ended(job, used_core_s)
        self.matcher.ended(job, 1e9)
        self.plain.ended(job, used_core_s)

    # -- parked offers ------------------------------------------------------------------------

    @rule(there=THERE, ask=st.integers(1, 9))
    def park(self, there: LiveOffer, ask: int) -> None:
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

    @rule(there=THERE, jobs_max=st.integers(1, 3), ask=st.integers(1, 9))
    def ask(self, there: LiveOffer, jobs_max: int, ask: int) -> None:
        """What a pilot does: it asks, and is parked where nothing is found."""
        self.withdraw(there.pilot)
        self.match(there, jobs_max)
        if self.plain.best(there) is None:
            self.park(there, ask)

    @rule()
    def wake(self) -> None:
        free = {its.pilot: its for its in self.free_parked()}
        for one in self.matcher.wake(self.now):
            there = free.pop(one.pilot)
            its = self.jobs[one.job]
            assert one.ask == self.parked[one.pilot][1]
            assert its.in_reach
            self.plain.kept(one.job, there, self.now + KEEP_S)
            self.keeps[one.job] = len(self.keeps) + sum(self.wakes.values())
            wakes = self.wakes[one.pilot] = self.wakes.get(one.pilot, 0) + 1
            self.woken_until[one.pilot] = self.now + KEEP_S * 2 ** min(wakes - 1, 4)
        if self.is_ordered:
            assert all(self.plain.best(there) is None for there in free.values())

    @rule(pilot=st.sampled_from(PILOTS))
    def has_work(self, pilot: str) -> None:
        expected = pilot in self.parked and (
            any(its.kept_for == pilot for its in self.jobs.values())
            or self.plain.best(self.parked[pilot][0]) is not None
        )
        if self.is_ordered:
            assert self.matcher.has_work(pilot, self.now) == expected

    @rule(by_s=st.sampled_from([0.5, 1.0, 2.0, 9.0, 30.0]))
    def time_passes(self, by_s: float) -> None:
        """Let the matcher know, as the central does each second: most calls have no clock."""
        self.plain.now += by_s
        assert not self.matcher.has_work("nobody", self.now)
        self.expire()

    # -- explaining ---------------------------------------------------------------------------

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), offers=st.lists(THERE, max_size=3))
    def explain(self, data: st.DataObject, offers: Sequence[LiveOffer]) -> None:
        job = data.draw(st.sampled_from(sorted(self.jobs)))
        mine = self.jobs[job]
        said = self.matcher.explain(job, self.specs[mine.class_id], offers, self.now)
        its = self.specs[mine.class_id]
        fitting = [
            there
            for there in offers
            if first_fitting(its, there, clauses=self.matcher.clauses) is not None
        ]

        kept_for = {one.kept_for for one in self.jobs.values() if one.kept_for}
        free = [there for there in offers if there.pilot not in kept_for]

        assert said.fitting == len(fitting)
        assert said.state == ("Matched" if mine.pending else "Waiting")
        if self.is_ordered:
            assert said.next_on == sum(self.plain.best(there) == job for there in free)

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


class Reserving(Machine):
    """The same with wide jobs that soon reserve: all but the order must hold."""

    reserve_after_s = 1.0

    @invariant()
    def a_reservation_is_of_a_class_that_waits_and_of_one_pilot(self) -> None:
        held = self.matcher.reservations
        of_classes = [its for of_class in held.by_class.values() for its in of_class]
        assert {its.pilot: its for its in of_classes} == held.by_pilot
        assert len(of_classes) == len(held.by_pilot)
        for its in of_classes:
            assert its.until <= self.now + 3_600  # as long as what ran then had wall time


class Unlimited(Machine):
    """The same where nothing is limited, for which there are short cuts."""

    ruled_by = msgspec.structs.replace(RULES, running=(), starts=(), banned=frozenset())


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
TestReserving = Reserving.TestCase
TestReserving.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)
TestUnlimited = Unlimited.TestCase
TestUnlimited.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


class TestWithShortCuts(Machine.TestCase):  # type: ignore[misc, valid-type]
    """The short cuts that else only very many different needs bring, from the first need on."""

    settings = settings(max_examples=25, stateful_step_count=40, deadline=None)

    def setUp(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(facets, "FEW_MAX", 2)
        self.patch.setattr(words, "FEW_MAX", 2)
        self.patch.setattr(word_facets, "NEW_MAX", 1)
        self.patch.setattr(tagchoices, "PRODUCT_MAX", 2)
        self.patch.setattr(steps, "STEPS_MAX", 2)
        self.patch.setattr(index, "WALK_MAX", 2)
        self.patch.setattr(index, "EACH", 0)
        self.patch.setattr(ranked, "PART_MAX", 1)
        self.patch.setattr(order, "FEW", 1)

    def tearDown(self) -> None:
        self.patch.undo()


class TestUnlimitedOfMany(Unlimited.TestCase):  # type: ignore[misc, valid-type]
    """What else only many classes, jobs, sites and kinds of offers bring, from the first one on."""

    settings = settings(max_examples=40, stateful_step_count=40, deadline=None)

    def setUp(self) -> None:
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(parked, "FEW", 0)
        self.patch.setattr(kinds, "NEW_MAX", 0)
        self.patch.setattr(wakes, "FEW", 0)
        self.patch.setattr(indexes, "STEP", 1)
        self.patch.setattr(indexes, "SLACK", 0)

    def tearDown(self) -> None:
        self.patch.undo()


@pytest.mark.long
class TestUnlimitedOfManyForLong(TestUnlimitedOfMany):
    """The same, with many more examples."""

    settings = settings(max_examples=1_000, stateful_step_count=40, deadline=None)


def test_matcher_and_model_agree_on_who_was_forgotten_and_comes_again() -> None:
    """Seldom found at random: the first of two equals is the last of them after that."""
    machine = Unlimited()
    for owner in ("ada", "bob"):
        machine.make_a_class((Need(wall_s=60),), ("sim", owner, "User"), None)
    assert machine.matcher.forget_class(1)
    del machine.specs[1]
    machine.matcher.compact()
    machine.plain.compact()
    machine.make_a_class((Need(wall_s=60),), ("sim", "ada", "User"), None)
    for class_id, job in ((3, 1), (2, 2)):
        machine.matcher.add(class_id, 5, [job])
        machine.plain.add(class_id, 5, [job])

    assert machine.plain.best(offer()) == 2
    machine.match(offer(), 2)
    machine.structures_agree()
