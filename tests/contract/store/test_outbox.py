"""The contract of the outbox: entries come with the result, and leave when they are settled."""

import msgspec
import pytest

from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.record_types import AttemptResult
from pilotage.central.rucio import outbox_record
from pilotage.central.rucio.outbox_record import EntryRow, EntryState, Outgoing, SentBatch
from pilotage.central.store.engine import Store
from pilotage.central.transformations import record as transformation_records
from pilotage.proto.job_states import JobState

from .conftest import Reopen
from .rows import a_move, a_requeue, an_end, matched, state_of, waiting_jobs
from .test_data_jobs import a_file, publishing
from .test_transformations import a_transformation, made

S = JobState
WAITING, CLASH = EntryState.WAITING, EntryState.CLASH


def going_out(end: AttemptResult, *names: str, **fields: bool | str) -> AttemptResult:
    """Return a result that publishes files which go out."""
    told = publishing(end, *(a_file(name, job=end.job_id) for name in names))
    assert told.publication is not None
    told.publication.outgoing = tuple(
        Outgoing(file=i, rucio="ctao", storage="web", **fields)  # type: ignore[arg-type]
        for i in range(len(names))
    )
    new = S.COMPLETING if fields.get("confirm") else told.new
    return msgspec.structs.replace(told, new=new)


async def a_published(store: Store, *names: str, **fields: bool | str) -> int:
    (job,) = await waiting_jobs(store, 1)
    end = going_out(an_end(await matched(store, job), job), *names, **fields)
    assert await store.write(job_records.change, [end]) == [True]
    return job


async def entries(store: Store, state: EntryState = WAITING) -> list[EntryRow]:
    return await store.read(outbox_record.entries, "ctao", state, after=0, limit=100)


async def test_entries_are_written_with_the_result_and_survive(
    store: Store, reopen: Reopen
) -> None:
    job = await a_published(store, "a", "b")
    again = await reopen(store)
    rows = await entries(again)

    assert [(row.job_id, row.rucio, row.storage, row.tries) for row in rows] == [
        (job, "ctao", "web", 0)
    ] * 2
    assert await again.read(outbox_record.due, "ctao", 0.0, 1) == rows[:1]
    assert await again.read(outbox_record.due, "other", 0.0, 10) == []
    (one,) = await again.read(outbox_record.counts)
    assert (one.rucio, one.state, one.count) == ("ctao", WAITING, 2)


async def test_a_result_that_loses_or_clashes_puts_nothing_out(store: Store) -> None:
    first, second = await waiting_jobs(store, 2)
    attempt = await matched(store, first)
    await store.write(job_records.change, [a_requeue(attempt, first, close=True)])
    late = going_out(an_end(attempt, first), "a")
    twice = going_out(an_end(await matched(store, second), second), "b", "b")
    won = [await store.write(job_records.change, [one]) for one in (late, twice)]
    row = await store.read(job_records.job, second)

    assert won == [[False], [True]]
    assert row is not None and row.state is S.FAILED
    assert await entries(store) == []


async def test_settled_entries_leave_and_clashes_stay(store: Store) -> None:
    await a_published(store, "a", "b", "c", "d")
    one, two, three, four = [row.entry_id for row in await entries(store)]
    sent = SentBatch(
        confirmed=(one,),
        clashes={two: "other bytes"},
        put_off={three: ("away", 50.0)},
        gone=(four,),
    )
    await store.write(outbox_record.settle, sent)
    (left,) = await entries(store)
    (clash,) = await entries(store, CLASH)

    assert (left.entry_id, left.tries, left.due_at, left.why) == (three, 1, 50.0, "away")
    assert (clash.entry_id, clash.tries, clash.why) == (two, 1, "other bytes")
    assert await store.read(outbox_record.due, "ctao", 49.0, 10) == []
    assert await store.read(outbox_record.due, "ctao", 50.0, 10) == [left]


@pytest.mark.parametrize("clash", ["", "other bytes"])
async def test_a_job_waits_for_the_last_of_its_entries(store: Store, clash: str) -> None:
    job = await a_published(store, "a", "b", confirm=True)
    one, two = [row.entry_id for row in await entries(store)]
    row = await store.read(job_records.job, job)
    await store.write(outbox_record.settle, SentBatch(confirmed=(one,)))
    before = await store.read(outbox_record.settled_jobs, 10)
    last = SentBatch(clashes={two: clash}) if clash else SentBatch(confirmed=(two,))
    await store.write(outbox_record.settle, last)
    after = await store.read(outbox_record.settled_jobs, 10)
    await store.write(outbox_record.release_jobs, [job])

    assert row is not None
    assert (row.state, row.ended_at) == (S.COMPLETING, None)
    assert (before, after) == ({}, {job: clash})
    assert await store.read(outbox_record.settled_jobs, 10) == {}
    assert len(await entries(store, CLASH)) == bool(clash)
    assert await entries(store, EntryState.CONFIRMED) == []


@pytest.mark.parametrize("new", [S.KILLED, S.WAITING])
async def test_a_job_that_leaves_completing_waits_no_more_and_its_files_still_go_out(
    store: Store, new: JobState
) -> None:
    job = await a_published(store, "a", "b", "c", confirm=True)
    one, two, three = [row.entry_id for row in await entries(store)]
    sent = SentBatch(confirmed=(one,), clashes={two: "other bytes"})
    await store.write(outbox_record.settle, sent)
    awaited = await store.read(outbox_record.entries_of_job, job, 10)
    away = a_move(job, S.COMPLETING, new, new_round=new is S.WAITING)
    moved = await store.write(job_records.move, [away])
    left = await entries(store)
    awaited_now = await store.read(outbox_record.entries_of_job, job, 10)
    await store.write(outbox_record.settle, SentBatch(confirmed=(three,)))

    assert moved == [True]
    assert await state_of(store, job) is new
    assert [row.entry_id for row in awaited] == [three]
    assert ([(row.entry_id, row.confirm) for row in left], awaited_now) == ([(three, False)], [])
    assert await store.read(outbox_record.settled_jobs, 10) == {}
    assert await entries(store) == await entries(store, EntryState.CONFIRMED) == []
    assert [row.why for row in await entries(store, CLASH)] == ["other bytes"]


async def test_what_becomes_of_an_old_copy_says_nothing_about_a_new_one(store: Store) -> None:
    job = await a_published(store, "a", confirm=True)
    (old,) = await entries(store)
    again = a_move(job, S.COMPLETING, S.WAITING, new_round=True)
    await store.write(job_records.move, [again])
    attempt = await matched(store, job, 2)
    end = going_out(an_end(attempt, job, 2), "a", confirm=True)
    assert await store.write(job_records.change, [end]) == [True]
    await store.write(outbox_record.settle, SentBatch(confirmed=(old.entry_id,)))
    (new,) = await entries(store)

    assert (new.job_id, new.confirm) == (job, True)
    assert new.entry_id != old.entry_id
    assert await store.read(outbox_record.settled_jobs, 10) == {}
    assert await state_of(store, job) is S.COMPLETING


async def test_a_task_killed_after_its_outputs_are_published_is_done(store: Store) -> None:
    tasks = await made(store, await a_transformation(store), [[], []])
    published, waiting = [task.job_id for task in tasks]
    end = going_out(an_end(await matched(store, published), published), "a", confirm=True)
    await store.write(job_records.change, [end])
    moves = [a_move(published, S.COMPLETING, S.KILLED), a_move(waiting, S.WAITING, S.KILLED)]
    await store.write(job_records.move, moves)
    ends = await store.read(transformation_records.task_ends, 10)

    assert {one.job_id: one.state for one in ends} == {published: S.DONE, waiting: S.KILLED}


async def test_clashes_go_with_their_job(store: Store) -> None:
    await a_published(store, "a", clash="a name that Rucio cannot hold")
    await store.write(outbox_record.remove_old_clashes)
    (clash,) = await entries(store, CLASH)
    assert clash.why == "a name that Rucio cannot hold"


async def test_a_rule_is_noted_once(store: Store) -> None:
    for _ in range(2):
        await store.write(
            outbox_record.keep_rules_asked, "ctao", [("sim:a", "{}"), ("sim:b", "{}")]
        )

    assert await store.read(outbox_record.rules_asked, "ctao", ["sim:a", "sim:c"]) == {
        ("sim:a", "{}")
    }
    assert await store.read(outbox_record.rules_asked, "other", ["sim:a"]) == set()
