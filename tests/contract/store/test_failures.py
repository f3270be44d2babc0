"""Failures: counted by class, site and whose they were, hour by hour; they outlive the jobs."""

from typing import Any

from pilotage.central.accounts import record_failures as failure_records
from pilotage.central.accounts.record_failures import (
    EXAMPLES_MAX,
    HOUR_S,
    KEEP_HOURS,
    FailedEnd,
    FailureRow,
    FailureSearch,
)
from pilotage.central.store.engine import Store
from pilotage.central.transformations import record as transformation_records
from pilotage.proto.transformation_states import InputState, TaskState

from .conftest import Reopen
from .test_transformations import a_transformation, close, killed, made, with_inputs


def an_end(job: int, failure: str = "payload", site: str = "PIC", **values: Any) -> FailedEnd:
    known: dict[str, Any] = {
        "community": "ctao",
        "group": "dpps",
        "owner_id": 1,
        "is_last": False,
        "word": "exit code 1",
        **values,
    }
    return FailedEnd(job_id=job, failure=failure, site=site, **known)


async def found(store: Store, since: int = 0, **values: Any) -> dict[tuple[str, str], int]:
    rows = await store.read(
        failure_records.failures, FailureSearch(since=since, **values), limit=99
    )
    return {(row.failure, row.site): row.attempts for row in rows}


async def test_ends_add_up_by_class_and_site(store: Store, reopen: Reopen) -> None:
    await store.write(
        failure_records.keep_failures, 10.0, [an_end(1), an_end(2, word="signal N"), an_end(2)]
    )
    await store.write(
        failure_records.keep_failures,
        20.0,
        [an_end(3, is_last=True), an_end(4, "limit.memory", "CSCS")],
    )
    await store.write(failure_records.keep_failures, 9_000.0, [an_end(5, count=1)])
    store = await reopen(store)

    rows = await store.read(failure_records.failures, FailureSearch(since=0), limit=99)

    assert rows == [
        FailureRow(
            failure="payload",
            site="PIC",
            attempts=5,
            jobs=1,
            examples=(5, 3, 2, 1),
            word="exit code 1",
            word_count=4,
        ),
        FailureRow(
            failure="limit.memory",
            site="CSCS",
            attempts=1,
            jobs=0,
            examples=(4,),
            word="exit code 1",
            word_count=1,
        ),
    ]
    assert await store.read(failure_records.failures, FailureSearch(since=0), limit=1) == rows[:1]
    assert await found(store, since=2) == {("payload", "PIC"): 1}


async def test_a_row_names_the_newest_jobs_and_the_most_frequent_words(store: Store) -> None:
    many = [an_end(job, word=f"word {job}") for job in range(1, 40)]
    often = [an_end(100, word="often") for _ in range(3)]

    await store.write(failure_records.keep_failures, 0.0, [*often, *many])
    await store.write(failure_records.keep_failures, 1.0, [*often, *many])

    (row,) = await store.read(failure_records.failures, FailureSearch(since=0), limit=9)
    assert row.attempts == 84
    assert row.examples == tuple(range(39, 39 - EXAMPLES_MAX, -1))
    assert (row.word, row.word_count) == ("often", 6)


async def test_each_clause_of_a_search(store: Store) -> None:
    await store.write(
        failure_records.keep_failures,
        0.0,
        [
            an_end(1),
            an_end(2, site="CSCS", group="lst"),
            an_end(3, site="DESY", owner_id=2),
            an_end(4, site="CNAF", community="cta-dev"),
        ],
    )

    async def sites(**values: Any) -> str:
        return " ".join(sorted(site for _, site in await found(store, **values)))

    assert await sites() == "CNAF CSCS DESY PIC"
    assert await sites(community="ctao") == "CSCS DESY PIC"
    assert await sites(groups=("lst", "mst")) == "CSCS"
    assert await sites(groups=()) == ""
    assert await sites(owner_ids=(2,)) == "DESY"
    assert await sites(owner_ids=()) == ""
    assert await sites(site="PIC") == "PIC"
    assert await sites(transformation_id=0) == "CNAF CSCS DESY PIC"
    assert await sites(transformation_id=7) == ""


async def test_a_job_of_a_task_is_counted_for_its_transformation(store: Store) -> None:
    one = await a_transformation(store)
    (task,) = await made(store, one, [[]])

    await store.write(
        failure_records.keep_failures,
        0.0,
        [an_end(task.job_id), an_end(10_000), an_end(0, count=4)],
    )

    assert await found(store, transformation_id=one.transformation_id) == {("payload", "PIC"): 1}
    assert await found(store, transformation_id=0) == {("payload", "PIC"): 5}
    assert await found(store) == {("payload", "PIC"): 6}


async def test_what_is_too_old_goes_hour_by_hour_and_never_while_the_clock_is_in_doubt(
    store: Store,
) -> None:
    for hour in (0, 1, 2):
        await store.write(failure_records.keep_failures, hour * HOUR_S, [an_end(hour + 1)])
    later = (KEEP_HOURS + 9) * HOUR_S

    await store.write(failure_records.keep_failures, later, [an_end(8)], drop=False)
    assert await found(store) == {("payload", "PIC"): 4}
    await store.write(failure_records.keep_failures, later, [an_end(9)])

    assert await found(store) == {("payload", "PIC"): 4}
    await store.write(failure_records.keep_failures, later, [])
    await store.write(failure_records.keep_failures, later, [])
    assert await found(store) == {("payload", "PIC"): 2}


async def test_the_jobs_that_had_a_file_come_in_their_order(store: Store) -> None:
    one, other = await a_transformation(store), await a_transformation(store, "other")
    await with_inputs(store, one, [7, 8])
    await with_inputs(store, other, [7])
    await made(store, other, [[7]])
    jobs: list[int] = []
    for round in range(3):
        (task,) = await made(store, one, [[7, 8]], after=round)
        jobs.append(task.job_id)
        await killed(store, task.job_id)
        ends = await store.read(transformation_records.task_ends, 9)
        await store.write(
            transformation_records.close_tasks,
            [close(ends[0], InputState.UNUSED, TaskState.KILLED)],
        )

    assert (
        await store.read(failure_records.jobs_of_input, one.transformation_id, 7, limit=9) == jobs
    )
    assert (
        await store.read(failure_records.jobs_of_input, one.transformation_id, 8, limit=2)
        == jobs[1:]
    )
    assert await store.read(failure_records.jobs_of_input, one.transformation_id, 9, limit=9) == []
