"""What failover keeps: ends until a cycle has looked at them, counters, reports and their mail."""

from typing import Any

import msgspec

from pilotage.central.failover import record as failover_records
from pilotage.central.failover.record import (
    REASSIGNED,
    CycleRecord,
    FailoverRow,
    NewReport,
    ReportSearch,
    TaskDecision,
)
from pilotage.central.jobs import record as job_records
from pilotage.central.store.engine import Store
from pilotage.central.transformations import record as transformation_records
from pilotage.central.transformations.record import TransformationMove, TransformationRow
from pilotage.proto.job_states import JobState
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)
from tests import turns

from .conftest import Reopen
from .rows import a_move, a_requeue, matched
from .test_transformations import a_transformation, close, killed, made, with_inputs


async def ended(store: Store, row: TransformationRow, count: int, *, after: int = 0) -> list[int]:
    """Make tasks and let them end as killed; return their jobs."""
    nothing: list[list[int]] = [[] for _ in range(count)]
    tasks = await made(store, row, nothing, after=after)
    jobs = [task.job_id for task in tasks]
    await killed(store, *jobs)
    await store.write(
        transformation_records.close_tasks,
        [
            close(one, I.UNUSED, T.KILLED)
            for one in await store.read(transformation_records.task_ends, 99)
        ],
    )
    return jobs


def kept(one: int, was: int = 0, **fields: Any) -> CycleRecord:
    row = FailoverRow(transformation_id=one, cycle=was + 1, **fields.pop("row", {}))
    return CycleRecord(row=row, was=was, at=50.0, **fields)


def a_report(cause: str = "payload", **fields: Any) -> NewReport:
    given: dict[str, Any] = {"saved": 2, "for_people": 1, "body": b"{}", **fields}
    return NewReport(cause=cause, title=f"3 failures of class {cause}", **given)


async def unseen(store: Store, one: int) -> list[int]:
    return [end.job_id for end in await store.read(failover_records.failover_ends, one, limit=99)]


async def test_ends_are_noted_from_the_begin_on_and_seen_once(store: Store, reopen: Reopen) -> None:
    row, other = await a_transformation(store), await a_transformation(store, "other")
    one = row.transformation_id
    early = await ended(store, row, 2)
    assert await unseen(store, one) == []

    await store.write(failover_records.begin_failover, one)
    await store.write(failover_records.begin_failover, one)
    late = await ended(store, row, 1, after=2)
    await ended(store, other, 1)
    store = await reopen(store)

    assert await unseen(store, one) == early + late
    assert await unseen(store, other.transformation_id) == []
    ends = await store.read(failover_records.failover_ends, one, limit=2)
    assert [(end.number, end.state, end.ended_at) for end in ends] == [
        (1, T.KILLED, 30.0),
        (2, T.KILLED, 30.0),
    ]
    assert (
        await store.write(
            failover_records.keep_cycle, kept(one, seen=tuple(end.task_id for end in ends))
        )
        == []
    )
    assert await unseen(store, one) == late
    await store.write(failover_records.begin_failover, one)
    assert await unseen(store, one) == late


async def test_a_cycle_is_kept_once_with_all_that_it_decides(store: Store, reopen: Reopen) -> None:
    row = await a_transformation(store)
    one = row.transformation_id
    await store.write(failover_records.begin_failover, one)
    move = TransformationMove(
        transformation_id=one, old=S.ACTIVE, new=S.PAUSED, reason="too many", at=50.0
    )
    values = {"flushes": 1, "inputs": 7, "first": ("", "config"), "last": ("x",), "said": ("r",)}
    first = kept(one, row=values, flush=True, move=move, reports=(a_report(), a_report("flush")))

    ids = await store.write(failover_records.keep_cycle, first)
    assert ids is not None and len(ids) == 2
    assert await store.write(failover_records.keep_cycle, first) is None, "it was kept before"
    store = await reopen(store)
    assert (
        await store.write(failover_records.keep_cycle, kept(one, 1, move=move, flush=True)) is None
    ), "it is Paused"

    now = await store.read(transformation_records.transformation, one)
    assert now is not None
    assert (now.state, now.reason, now.flushing) == (S.PAUSED, "too many", True)
    assert await store.read(failover_records.failover_rows, [one, 99]) == {one: first.row}
    reports = await store.read(failover_records.reports, ReportSearch())
    assert [(found.report_id, found.cause, found.cycle) for found in reports] == [
        (ids[1], "flush", 1),
        (ids[0], "payload", 1),
    ]


async def test_nothing_is_kept_of_one_that_did_not_begin(store: Store) -> None:
    row = await a_transformation(store)

    assert (
        await store.write(failover_records.keep_cycle, kept(row.transformation_id, flush=True))
        is None
    )
    now = await store.read(transformation_records.transformation, row.transformation_id)
    assert now is not None and not now.flushing


async def test_the_last_word_on_a_task_is_with_its_end(store: Store) -> None:
    row = await a_transformation(store)
    one = row.transformation_id
    (task,) = await made(store, row, [[]])
    assert await store.read(failover_records.unseen_failover) == []
    await store.write(failover_records.note_decisions, [decided(one, task.task_id, b"[1]")])
    await store.write(
        failover_records.note_decisions,
        [decided(one, task.task_id, b"[2]"), decided(one, 999, b"[3]")],
    )
    await killed(store, task.job_id)
    ends = await store.read(transformation_records.task_ends, 9)
    await store.write(transformation_records.close_tasks, [close(ends[0], I.UNUSED, T.KILLED)])

    (end,) = await store.read(failover_records.failover_ends, one, limit=9)
    assert end.decisions == b"[2]"
    assert await store.read(failover_records.unseen_failover) == [one]
    await store.write(failover_records.keep_cycle, kept(one, seen=(end.task_id,)))
    assert await store.read(failover_records.unseen_failover) == []


def decided(one: int, task: int, said: bytes) -> TaskDecision:
    return TaskDecision(transformation_id=one, task_id=task, said=said)


async def held(store: Store, job: int, reason: str) -> None:
    attempt = await matched(store, job)
    change = a_requeue(
        attempt, job, new=JobState.HELD, close=True, event="lost_too_often", reason=reason
    )
    assert await turns.change(store, [change]) == [True]


async def test_tasks_whose_jobs_are_held_say_how_often_their_inputs_were_reassigned(
    store: Store,
) -> None:
    row = await a_transformation(store)
    one = row.transformation_id
    await with_inputs(store, row, [7, 8, 9])
    for round in range(3):
        (task,) = await made(store, row, [[7, 8]], after=round, shared=[5])
        await held(store, task.job_id, "lost_too_often: 5 attempts were lost")
        (found,) = await store.read(failover_records.held_tasks, [one])

        assert (found.task_id, found.job_id) == (task.task_id, task.job_id)
        assert (found.inputs, found.reassigned) == (2, round)
        move = a_move(task.job_id, JobState.HELD, JobState.KILLED, reason=REASSIGNED)
        assert await store.write(job_records.move, [move]) == [True]
        (end,) = await store.read(transformation_records.task_ends, 9)
        spared = close(end, I.UNUSED, T.KILLED)
        await store.write(
            transformation_records.close_tasks, [msgspec.structs.replace(spared, reason=end.reason)]
        )
    (task,) = await made(store, row, [[9]], after=3, shared=[5])
    await held(store, task.job_id, "by hand")

    assert await store.read(failover_records.held_tasks, [one]) == []
    assert await store.read(failover_records.held_tasks, []) == []


async def test_attempts_of_several_jobs_come_as_those_of_each(store: Store) -> None:
    row = await a_transformation(store)
    tasks = await made(store, row, [[], [], []])
    jobs = [task.job_id for task in tasks]
    first = await matched(store, jobs[0])
    assert await turns.change(store, [a_requeue(first, jobs[0])]) == [True]
    await matched(store, jobs[0], 2)
    await matched(store, jobs[2])

    found = await store.read(job_records.attempts_of_jobs, [*jobs, 9_999])

    assert found == {job: await store.read(job_records.attempts, job) for job in (jobs[0], jobs[2])}
    assert [one.epoch for one in found[jobs[0]]] == [1, 2]


async def test_reports_are_found_by_whose_they_are_and_the_newest_come_first(
    store: Store,
) -> None:
    mine = await a_transformation(store)
    other = await a_transformation(store, "other")
    for row in (mine, other):
        await store.write(failover_records.begin_failover, row.transformation_id)
        await store.write(
            failover_records.keep_cycle, kept(row.transformation_id, reports=(a_report(),))
        )
    ids = [one.report_id for one in await store.read(failover_records.reports, ReportSearch())]

    async def found(**values: Any) -> list[int]:
        return [
            one.report_id
            for one in await store.read(failover_records.reports, ReportSearch(**values))
        ]

    assert ids == sorted(ids, reverse=True) and len(ids) == 2
    assert await found(limit=1) == ids[:1]
    assert await found(before=ids[0]) == ids[1:]
    assert await found(transformation_id=mine.transformation_id) == ids[1:]
    assert await found(community="cta-dev") == []
    assert await found(community="ctao", owner_id=mine.owner_id, groups=(mine.group,)) == ids
    assert await found(groups=()) == []
    assert await found(owner_id=99) == []
    assert await found(since=50.5) == []
    one = await store.read(failover_records.report, ids[1])
    assert one is not None and (one.name, one.saved, one.for_people) == (mine.name, 2, 1)
    assert await store.read(failover_records.report, 9_999) is None


async def test_a_mail_is_due_until_it_went_and_no_longer_than_it_is_tried(
    store: Store, reopen: Reopen
) -> None:
    row = await a_transformation(store)
    one = row.transformation_id
    await store.write(failover_records.begin_failover, one)
    ids = await store.write(
        failover_records.keep_cycle, kept(one, mail=True, reports=(a_report(), a_report("config")))
    )
    quiet = await store.write(
        failover_records.keep_cycle, kept(one, 1, reports=(a_report("flush"),))
    )
    assert ids is not None and quiet is not None

    assert await store.read(failover_records.mails_due, 49.0, limit=9) == []
    assert [
        due.report_id for due in await store.read(failover_records.mails_due, 50.0, limit=9)
    ] == ids
    assert [
        due.report_id for due in await store.read(failover_records.mails_due, 50.0, limit=1)
    ] == ids[:1]
    await store.write(failover_records.mailed, ids[0], 51.0)
    await store.write(failover_records.mail_failed, ids[0], why="too late", due=60.0)
    await store.write(failover_records.mail_failed, ids[1], why="refused", due=99.0)
    store = await reopen(store)
    assert await store.read(failover_records.mails_due, 98.0, limit=9) == []
    (due,) = await store.read(failover_records.mails_due, 99.0, limit=9)
    assert (due.report_id, due.mail_tries, due.mail_why) == (ids[1], 1, "refused")
    await store.write(failover_records.mail_failed, ids[1], why="refused", due=None)

    assert await store.read(failover_records.mails_due, 1e9, limit=9) == []
    sent, failed = (
        await store.read(failover_records.report, ids[0]),
        await store.read(failover_records.report, ids[1]),
    )
    assert sent is not None and (sent.mailed_at, sent.mail_why) == (51.0, "")
    assert failed is not None and (failed.mailed_at, failed.mail_tries) == (None, 2)


async def test_old_reports_go(store: Store) -> None:
    row = await a_transformation(store)
    await store.write(failover_records.begin_failover, row.transformation_id)
    await store.write(
        failover_records.keep_cycle,
        kept(row.transformation_id, reports=(a_report(), a_report("config"))),
    )

    assert await store.write(failover_records.drop_reports, 50.0) == 0
    assert await store.write(failover_records.drop_reports, 50.5) == 2
    assert await store.read(failover_records.reports, ReportSearch()) == []
