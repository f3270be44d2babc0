"""The contract of jobs that wait for other jobs: their edges, and the verdicts that are applied."""

import pytest

from pilotage.central.dispatch import record as turn_records
from pilotage.central.jobs import (
    record as job_records,
    record_dependencies as records,
    record_retention as retention_records,
    record_submissions as submission_records,
)
from pilotage.central.jobs.record_dependencies import Dependent, Settlement, Verdict
from pilotage.central.jobs.record_types import NewDependency, NewJob
from pilotage.central.store.engine import Store
from pilotage.proto.job_states import JobState

from .conftest import Reopen
from .rows import NOW, a_class, a_move, a_submission, an_end, matched, some_jobs, state_of

S = JobState
AFTER_THE_FIRST = (NewDependency(0, is_place=True),)
EVERYTHING = [(0, 1 << 20)]


async def chain(store: Store, *, policy: str = "") -> tuple[int, int]:
    """Submit a job, and one that waits for it. Return their ids."""
    kind = await a_class(store)
    parent, child = (
        NewJob(class_id=kind.class_id, body=b"{}"),
        NewJob(class_id=kind.class_id, body=b"{}", after=AFTER_THE_FIRST, policy=policy),
    )
    record = await store.write(submission_records.submit, a_submission(kind), [parent, child])
    first = record.ranges[0][0]
    return first, first + 1


async def settle(store: Store, job: int, verdict: Verdict, *, resumes: bool = True) -> JobState:
    """Apply a verdict, and return the state of the job afterwards."""
    wanted = Settlement(job, verdict, "its parent failed", resumes)
    await store.write(records.settle, [wanted], NOW)
    return await state_of(store, job)


async def waiting(store: Store) -> list[Dependent]:
    return await store.read(records.dependents, EVERYTHING)


async def test_places_in_a_submission_become_ids_over_several_chunks(store: Store) -> None:
    kind = await a_class(store)
    record = await store.write(submission_records.begin_submission, a_submission(kind))
    one = await store.write(submission_records.add_jobs, record.submission_id, some_jobs(kind, 2))
    await store.write(submission_records.submit, a_submission(kind, "other"), some_jobs(kind, 1))
    after = (NewDependency(1, is_place=True), NewDependency(2, when="any", is_place=True))
    jobs = [
        NewJob(class_id=kind.class_id, body=b"{}"),
        NewJob(class_id=kind.class_id, body=b"{}", after=after, policy="skip"),
    ]
    two = await store.write(submission_records.add_jobs, record.submission_id, jobs)
    before = await waiting(store)
    await store.write(submission_records.finish_submission, record.submission_id, "hash")

    assert before == []
    (found,) = await waiting(store)
    assert (found.job_id, found.class_id, found.policy) == (two + 1, kind.class_id, "skip")
    assert found.parents == ((one + 1, 1, "ok"), (two, 1, "any"))
    assert await store.read(records.dependencies, two + 1, limit=1) == ([(one + 1, 1, "ok")], 2)


async def test_only_jobs_that_may_still_wait_are_read(store: Store) -> None:
    parent, child = await chain(store)
    first = await waiting(store)
    await matched(store, child)
    running = await waiting(store)

    assert [one.job_id for one in first] == [child]
    assert running == []
    assert await store.read(records.states, [(parent, 2)]) == [
        (parent, "Waiting"),
        (child, "Waiting"),
    ]


async def test_zones_have_all_dependents(store: Store) -> None:
    empty = await store.read(records.dependent_zones)
    _, child = await chain(store)
    zones = await store.read(records.dependent_zones)

    assert empty == []
    assert any(first <= child < first + count for first, count in zones)


@pytest.mark.parametrize(("verdict", "state"), [(Verdict.HOLD, S.HELD), (Verdict.SKIP, S.KILLED)])
async def test_a_job_is_stopped_with_a_reason(
    store: Store, verdict: Verdict, state: JobState
) -> None:
    _, child = await chain(store)
    found = await settle(store, child, verdict)
    row = await store.read(job_records.job, child)

    assert found is state
    assert row is not None and row.reason == "its parent failed"


async def test_a_verdict_changes_no_job_that_runs_or_that_a_person_holds(store: Store) -> None:
    parent, child = await chain(store)
    await store.write(job_records.move, [a_move(child, S.WAITING, S.HELD, event="held")])
    held = [await settle(store, child, verdict) for verdict in Verdict]
    await matched(store, parent)

    assert held == [S.HELD] * 4
    assert await settle(store, parent, Verdict.HOLD) is S.MATCHED


async def test_a_stopped_job_waits_again_when_its_parents_allow_it(store: Store) -> None:
    _, child = await chain(store)
    await settle(store, child, Verdict.HOLD)
    kept = await settle(store, child, Verdict.RUN, resumes=False)
    stopped = await waiting(store)
    released = await settle(store, child, Verdict.WAIT)

    assert (kept, released) == (S.HELD, S.WAITING)
    assert [one.stopped for one in (*stopped, *await waiting(store))] == [True, False]


async def test_a_person_lets_a_stopped_job_run_without_its_parents(store: Store) -> None:
    _, child = await chain(store)
    await settle(store, child, Verdict.HOLD)
    await store.write(job_records.move, [a_move(child, S.HELD, S.WAITING, event="released")])

    assert await waiting(store) == []
    assert await settle(store, child, Verdict.HOLD) is S.WAITING


async def test_a_person_who_releases_an_own_hold_changes_no_dependency(store: Store) -> None:
    _, child = await chain(store)
    await store.write(job_records.move, [a_move(child, S.WAITING, S.HELD, event="held")])
    held = await waiting(store)
    await store.write(job_records.move, [a_move(child, S.HELD, S.WAITING, event="released")])

    assert held == await waiting(store) != []


async def test_a_skipped_job_that_is_rescheduled_runs_without_its_parents(store: Store) -> None:
    _, child = await chain(store)
    await settle(store, child, Verdict.SKIP)
    again = a_move(child, S.KILLED, S.WAITING, event="rescheduled", new_round=True)
    await store.write(job_records.move, [again])

    assert await waiting(store) == []


async def test_dependencies_survive_a_restart(store: Store, reopen: Reopen) -> None:
    parent, child = await chain(store, policy="hold")
    again = await reopen(store)
    (found,) = await waiting(again)

    assert (found.job_id, found.policy, found.parents) == (child, "hold", ((parent, 1, "ok"),))


async def test_dependencies_go_with_their_job(store: Store) -> None:
    parent, child = await chain(store)
    attempt = await matched(store, child)
    await store.write(turn_records.turn, [an_end(attempt, child)], [])
    await store.write(retention_records.prune_jobs, [(child, 40.0)])

    assert await store.read(records.dependencies, child, limit=9) == ([], 0)
    assert await state_of(store, parent) is S.WAITING


async def test_an_unfinished_submission_leaves_no_dependencies(store: Store) -> None:
    kind = await a_class(store)
    record = await store.write(submission_records.begin_submission, a_submission(kind))
    jobs = [
        NewJob(class_id=kind.class_id, body=b"{}"),
        NewJob(class_id=kind.class_id, body=b"{}", after=AFTER_THE_FIRST),
    ]
    first = await store.write(submission_records.add_jobs, record.submission_id, jobs)
    await submission_records.drop_submission(store, record.submission_id)

    assert await store.read(records.dependencies, first + 1, limit=9) == ([], 0)
    assert await store.read(records.dependent_zones) == []
