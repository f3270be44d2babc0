"""Random walks: the store in memory and one of a driver answer alike, and stay consistent."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from typing import Any, Final, TypeVar

import msgspec
from hypothesis import settings, strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pilotage.central.jobs import (
    record as job_records,
    record_retention as retention_records,
    record_search as job_search,
    record_submissions as submission_records,
)
from pilotage.central.jobs.record_types import (
    AdriftEnd,
    ApplicationStatus,
    AttemptChange,
    AttemptStart,
    JobSearch,
    TakeBack,
)
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import StoreError
from pilotage.proto.job_states import ACTIVE, JobState
from pilotage.proto.messages import How, Why
from tests import turns
from tests.memory_store import MemoryStore

from .conftest import Grounds, opened
from .rows import (
    USAGE,
    a_class,
    a_move,
    a_requeue,
    a_submission,
    a_want,
    an_attempt,
    an_end,
    some_jobs,
)

T = TypeVar("T")

SITES = ("PIC", "CSCS")
jobs = st.integers(1, 8)
attempts = st.integers(1, 12)
epochs = st.integers(1, 3)
classes = st.sampled_from([1, 1, 1, 2])  # the first is that of most jobs
states = st.sampled_from([state for state in JobState if state not in ACTIVE])
after_end = st.sampled_from([JobState.DONE, JobState.FAILED, JobState.WAITING, JobState.COMPLETING])
after_lease = st.sampled_from([JobState.WAITING, JobState.KILLED, JobState.HELD])
whys = st.sampled_from([None, Why.KILL, Why.HOLD, Why.RESCHEDULE])


def a_move_between(
    job_id: int, old: JobState, new: JobState, kinds: tuple[int, int], **fields: Any
) -> Any:
    """Return a move that also changes the needs of a job, from one class to another."""
    return a_move(job_id, old, new, old_class=kinds[0], new_class=kinds[1], **fields)


changes: st.SearchStrategy[AttemptChange] = st.one_of(
    st.builds(AttemptStart, attempt_id=attempts, job_id=jobs, at=st.just(21.0)),
    st.builds(
        ApplicationStatus,
        attempt_id=attempts,
        job_id=jobs,
        at=st.just(22.25),
        status=st.text(max_size=3),
    ),
    st.builds(TakeBack, attempt_id=attempts, job_id=jobs, at=st.just(33.0)),
    st.builds(
        a_requeue,
        attempts,
        jobs,
        epochs,
        new=after_lease,
        close=st.booleans(),
        wanted=whys,
        lost=st.booleans(),
        how=st.sampled_from([None, How.LOST, How.KILLED]),
        usage=st.sampled_from([None, USAGE]),
    ),
    st.builds(an_end, attempts, jobs, epochs, new=after_end, failed=st.booleans()),
    st.builds(
        AdriftEnd,
        attempt_id=attempts,
        job_id=jobs,
        epoch=epochs,
        how=st.just(How.DRAINED),
        usage=st.sampled_from([None, USAGE]),
    ),
)
searches = st.builds(
    JobSearch,
    community=st.sampled_from([None, "ctao", "lhcb"]),
    owner_id=st.sampled_from([None, None, 1, 2]),
    groups=st.sampled_from([(), ("sim",)]),
    states=st.lists(st.sampled_from(JobState), max_size=3, unique=True).map(tuple),
    ids=st.sampled_from([(), (), (1, 3, 5)]),
    submission_id=st.sampled_from([None, None, 1, 2]),
    site=st.sampled_from(["", "", *SITES]),
    name=st.sampled_from(["", "", "shower", "plot"]),
    include_deleted=st.booleans(),
)


class Stores(RuleBasedStateMachine):
    """Two stores side by side, both reopened now and then."""

    def __init__(self, grounds: Grounds) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.ground = self.stack.enter_context(grounds())
        self.runner = asyncio.Runner()
        self.memory = MemoryStore()
        self.real: Store = self.runner.run(opened(self.ground))
        self.kinds = self.both(self._kinds)
        self.arriving: list[int] = []

    async def _kinds(self, store: Store) -> Any:
        return [await a_class(store), await a_class(store, community="lhcb", subject="bob")]

    def teardown(self) -> None:
        self.runner.run(self.real.close())
        self.runner.close()
        self.stack.close()

    def both(self, call: Callable[[Store], Coroutine[Any, Any, T]]) -> T:
        """Do it to both; they must answer alike, refusals included."""
        ours = self.runner.run(outcome(call(self.memory)))
        theirs = self.runner.run(outcome(call(self.real)))
        assert theirs == ours
        return ours  # type: ignore[return-value]

    # -- what happens ---------------------------------------------------------------------------

    @rule(
        key=st.sampled_from("abc"),
        kind=st.integers(0, 1),
        count=st.integers(0, 3),
        hash=st.sampled_from(["h", "h", "other"]),
        name=st.sampled_from([None, "plot"]),
    )
    def submit(self, key: str, kind: int, count: int, hash: str, name: str | None) -> None:
        of = self.kinds[kind]
        new = a_submission(of, key, body_hash=hash, template=None if name else b'{"name":"shower"}')
        self.both(
            lambda store: store.write(
                submission_records.submit, new, some_jobs(of, count, name=name)
            )
        )

    @rule(key=st.sampled_from("de"))
    def begin(self, key: str) -> None:
        new = a_submission(self.kinds[0], key, body_hash="")
        record = self.both(lambda store: store.write(submission_records.begin_submission, new))
        self.arriving.append(record.submission_id)

    @precondition(lambda self: self.arriving)
    @rule(
        which=st.integers(0, 3),
        count=st.integers(1, 2),
        verb=st.sampled_from(["add", "add", "finish", "drop"]),
    )
    def go_on(self, which: int, count: int, verb: str) -> None:
        submission_id = self.arriving[which % len(self.arriving)]

        async def call(store: Store) -> Any:
            if verb == "add":
                return await store.write(
                    submission_records.add_jobs, submission_id, some_jobs(self.kinds[0], count)
                )
            if verb == "finish":
                return await store.write(submission_records.finish_submission, submission_id, "h")
            return await submission_records.drop_submission(store, submission_id)

        self.both(call)

    @rule(
        wanted=st.lists(
            st.tuples(jobs, epochs, st.sampled_from(SITES), classes), min_size=1, max_size=4
        )
    )
    def match(self, wanted: list[tuple[int, int, str, int]]) -> None:
        first = self.both(lambda store: store.write(job_records.reserve_attempts, len(wanted)))
        news = [
            an_attempt(first + i, job_id, epoch, site=site, class_id=class_id)
            for i, (job_id, epoch, site, class_id) in enumerate(wanted)
        ]
        self.both(lambda store: turns.match(store, news))

    @rule(some=st.lists(changes, min_size=1, max_size=4))
    def change(self, some: list[AttemptChange]) -> None:
        self.both(lambda store: turns.change(store, some))

    @rule(
        which=st.integers(0, 20),
        verb=st.sampled_from(["start", "end", "lost", "back"]),
        failed=st.booleans(),
    )
    def live_on(self, which: int, verb: str, failed: bool) -> None:
        """A change that has a chance: of an attempt that is open."""
        found = self.both(lambda store: store.read(job_records.live_attempts))
        if not found:
            return
        one = found[which % len(found)]
        new = JobState.WAITING if failed else JobState.DONE
        possible: dict[str, AttemptChange] = {
            "start": AttemptStart(attempt_id=one.attempt_id, job_id=one.job_id, at=21.0),
            "end": an_end(one.attempt_id, one.job_id, one.epoch, new=new, failed=failed),
            "lost": a_requeue(one.attempt_id, one.job_id, one.epoch, wanted=one.wanted),
            "back": TakeBack(attempt_id=one.attempt_id, job_id=one.job_id, at=33.0),
        }
        change = possible[verb]
        self.both(lambda store: turns.change(store, [change]))

    @rule(
        some=st.lists(
            st.builds(
                a_move_between,
                jobs,
                states,
                states,
                st.sampled_from([(0, 0), (1, 2), (2, 1)]),
                close=st.booleans(),
                new_round=st.booleans(),
            ),
            min_size=1,
            max_size=3,
        )
    )
    def move(self, some: list[Any]) -> None:
        self.both(lambda store: store.write(job_records.move, some))

    @rule(some=st.lists(st.builds(a_want, attempts, jobs, whys.filter(bool)), max_size=3))
    def want(self, some: list[Any]) -> None:
        self.both(lambda store: store.write(job_records.want, some))

    @rule(ids=st.lists(jobs, max_size=3), priority=st.integers(0, 10))
    def delete_or_reorder(self, ids: list[int], priority: int) -> None:
        if priority > 5:
            self.both(lambda store: store.write(job_records.delete, ids, 60.0, "ada"))
        else:
            self.both(
                lambda store: store.write(job_records.set_priority, ids, priority, 60.0, "ada")
            )

    @rule()
    def reopen(self) -> None:
        self.memory = self.memory.reopened()
        self.runner.run(self.real.close())
        self.real = self.runner.run(opened(self.ground))
        self.kinds = self.both(self._kinds)  # classes that no job names are gone

    @rule(which=st.lists(jobs, max_size=3, unique=True), at=st.sampled_from([40.0, 50.0, 30.0]))
    def prune(self, which: list[int], at: float) -> None:
        self.both(
            lambda store: store.write(retention_records.prune_jobs, [(job, at) for job in which])
        )
        self.both(lambda store: store.read(retention_records.ended_jobs, after=0, before=45.0))

    # -- what must hold -------------------------------------------------------------------------

    @rule(search=searches, after=st.integers(0, 4), limit=st.integers(1, 5))
    def search(self, search: JobSearch, after: int, limit: int) -> None:
        self.both(lambda store: store.read(job_search.search, search, after=after, limit=limit))

    @invariant()
    def everything_that_can_be_read_is_the_same(self) -> None:
        rows = self.both(
            lambda store: store.read(
                job_search.search, JobSearch(include_deleted=True), after=0, limit=1_000
            )
        )
        ids = [row.job_id for row in rows]
        self.both(lambda store: store.write(job_records.standing, ids))
        self.both(lambda store: store.read(job_records.bodies, ids))
        self.both(lambda store: store.read(job_records.live_attempts))
        self.both(_waiting)
        self.both(_counts)
        for job_id in ids:
            self.history_is_the_same(job_id)

    def history_is_the_same(self, job_id: int) -> None:
        self.both(lambda store: store.read(job_records.notes, job_id))
        found = self.both(lambda store: store.read(job_records.attempts, job_id))
        assert [attempt.epoch for attempt in found] == list(range(1, len(found) + 1))
        assert sum(attempt.live for attempt in found) <= 1
        assert all(not attempt.open for attempt in found[:-1])


async def _waiting(store: Store) -> list[Any]:
    return [row async for rows in job_search.waiting(store) for row in rows]


async def _counts(store: Store) -> set[Any]:
    return {msgspec.structs.astuple(row) for row in await store.read(job_records.counts)}


async def outcome(call: Awaitable[T]) -> T | type[Exception]:
    """Return the answer, or the class of the refusal."""
    try:
        return await call
    except StoreError as why:
        return type(why)


WALKS: Final = settings(max_examples=12, stateful_step_count=25, deadline=None)


def test_a_real_store_and_the_one_in_memory_do_the_same(grounds: Grounds) -> None:
    class OnThisDriver(Stores):
        def __init__(self) -> None:
            super().__init__(grounds)

    run_state_machine_as_test(OnThisDriver, settings=WALKS)
