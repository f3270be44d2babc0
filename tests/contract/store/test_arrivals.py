"""Several processes take submissions in on one PostgreSQL: each is found once, none is skipped."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from pilotage.central.dispatch import record_arrivals as arrival_records
from pilotage.central.identity import record as identity_records
from pilotage.central.jobs import record_submissions as submission_records
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import (
    KeyReused,
    NotMadeYet,
    StillArriving,
    StoreBroken,
    SubmissionDropped,
)
from pilotage.central.store.postgresql import open_beside, open_postgresql
from tests.services import postgresql

from .conftest import NOW, never
from .rows import a_class, a_submission, some_jobs

AT_ONCE = 20
FINISHING = (
    "DELETE FROM arriving WHERE submission_id = $1",
    "INSERT INTO arrival (submission_id) VALUES ($1)",
    "UPDATE submission SET complete = 1 WHERE submission_id = $1",
)
GIVES_WAY_S = 20.0  # a bound for the test; it is 0.3 s
WAITING_SINCE = """
SELECT xact_start FROM pg_stat_activity
 WHERE wait_event_type = 'Lock' AND application_name = 'pilotage'"""
ANOTHER_CLASS = """
INSERT INTO class (class_id, community, group_name, owner_id, type, needs, preference)
SELECT $1, community, group_name, owner_id, $2, needs, preference FROM class"""
_asyncpg: Any = asyncpg  # it says nothing of its types
connect = _asyncpg.connect


@pytest.fixture
def url(server: postgresql.Postgresql) -> Iterator[str]:
    with server.empty_schema() as made:
        yield made


@pytest.fixture
async def queue(url: str) -> AsyncIterator[Store]:
    """The store of the process that keeps the queue."""
    store = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never)
    yield store
    await store.close()


async def _beside(url: str) -> Store:
    return await open_beside(url, fatal=lambda _: None)


@pytest.fixture
async def beside(queue: Store, url: str) -> AsyncIterator[Store]:
    store = await _beside(url)
    yield store
    await store.close()


@pytest.fixture
async def another(queue: Store, url: str) -> AsyncIterator[Store]:
    store = await _beside(url)
    yield store
    await store.close()


async def _new(queue: Store, since: str) -> tuple[list[int], str]:
    found, moment = await queue.read(arrival_records.arrivals, since)
    return [one.submission_id for one in found], moment


async def test_what_others_take_in_is_found_once_and_what_is_ones_own_is_not(
    queue: Store, beside: Store, another: Store
) -> None:
    kind = await a_class(beside)
    before = await beside.write(
        submission_records.submit, a_submission(kind, "before"), some_jobs(kind, 1)
    )
    counts, moment = await queue.read(arrival_records.counted)
    await queue.write(submission_records.submit, a_submission(kind, "own"), some_jobs(kind, 1))
    small = await beside.write(
        submission_records.submit, a_submission(kind, "small"), some_jobs(kind, 3, priority=2)
    )
    bulk = await another.write(submission_records.begin_submission, a_submission(kind, "bulk"))
    await another.write(
        submission_records.add_jobs, bulk.submission_id, some_jobs(kind, 4, queue_until=5.0)
    )
    found, moment = await queue.read(arrival_records.arrivals, moment)
    await another.write(submission_records.finish_submission, bulk.submission_id, "hash")
    later, moment = await _new(queue, moment)
    (run,) = await queue.read(arrival_records.arrived_runs, small.ranges)

    assert sum(row.count for row in counts) == 1 and before.submission_id == 1
    assert [(one.submission_id, one.ranges) for one in found] == [
        (small.submission_id, small.ranges)
    ]
    assert 0 <= found[0].age_s < 60
    assert later == [bulk.submission_id]
    assert await _new(queue, moment) == (
        [],
        (await queue.read(arrival_records.arrivals, moment))[1],
    )
    assert (run.class_id, run.priority, run.waits, run.epoch) == (kind.class_id, 2, True, 0)
    assert (run.first, run.count) == small.ranges[0]


async def test_a_late_commit_and_an_open_transaction_neither_hide_nor_hold_up_anything(
    url: str, queue: Store, beside: Store
) -> None:
    kind = await a_class(beside)
    stranger = await connect(url)
    late = await connect(url)
    strange = stranger.transaction()
    await strange.start()
    await stranger.fetchval("SELECT pg_current_xact_id()")
    bulk = await beside.write(submission_records.begin_submission, a_submission(kind, "bulk"))
    await beside.write(submission_records.add_jobs, bulk.submission_id, some_jobs(kind, 2))
    _, moment = await queue.read(arrival_records.counted)
    committing = late.transaction()
    await committing.start()
    for statement in FINISHING:
        await late.execute(statement, bulk.submission_id)

    small = await beside.write(
        submission_records.submit, a_submission(kind, "small"), some_jobs(kind, 1)
    )
    first, moment = await _new(queue, moment)
    await queue.write(arrival_records.forget_arrivals, moment)
    small_too = await beside.write(
        submission_records.submit, a_submission(kind, "small too"), some_jobs(kind, 1)
    )
    second, moment = await _new(queue, moment)
    await committing.commit()
    third, moment = await _new(queue, moment)
    fourth, moment = await _new(queue, moment)
    await strange.rollback()
    await queue.write(
        arrival_records.forget_arrivals, (await queue.read(arrival_records.arrivals, moment))[1]
    )
    left = await stranger.fetchval("SELECT count(*) FROM arrival")
    await stranger.close()
    await late.close()

    assert first == [small.submission_id]
    assert second == [small_too.submission_id]
    assert third == [bulk.submission_id]
    assert fourth == []
    assert left == 0


async def test_what_commits_between_a_look_and_the_tidying_after_it_is_still_found(
    url: str, queue: Store, beside: Store
) -> None:
    """The moment of the look has a transaction after it that had ended by then, and not it."""
    kind = await a_class(beside)
    late = await connect(url)
    bulk = await beside.write(submission_records.begin_submission, a_submission(kind, "bulk"))
    await beside.write(submission_records.add_jobs, bulk.submission_id, some_jobs(kind, 2))
    committing = late.transaction()
    await committing.start()
    for statement in FINISHING:
        await late.execute(statement, bulk.submission_id)
    await beside.write(submission_records.submit, a_submission(kind, "small"), some_jobs(kind, 1))
    _, moment = await queue.read(arrival_records.counted)
    await committing.commit()
    await queue.write(arrival_records.forget_arrivals, moment)
    found, _ = await _new(queue, moment)
    await late.close()

    assert found == [bulk.submission_id]


async def test_who_takes_jobs_in_gives_way_soon_and_comes_again(
    url: str, queue: Store, beside: Store
) -> None:
    """Whoever keeps the queue may want what it has locked, and would wait for as long."""
    kind = await a_class(beside)
    holder, looking = await connect(url), await connect(url)
    holding = holder.transaction()
    await holding.start()
    await holder.execute("UPDATE counter SET next = next")
    begun: set[object] = set()
    async with asyncio.TaskGroup() as tasks:
        submitting = tasks.create_task(
            beside.write(submission_records.submit, a_submission(kind), some_jobs(kind, 1))
        )
        try:
            async with asyncio.timeout(GIVES_WAY_S):
                while len(begun) < 2 and not submitting.done():
                    begun.update(await looking.fetch(WAITING_SINCE))
        finally:
            await holding.rollback()
        record = await submitting
    await holder.close()
    await looking.close()

    assert record.complete


async def test_one_key_through_several_processes_at_once_is_one_submission(
    queue: Store, beside: Store, another: Store
) -> None:
    kind = await a_class(beside)
    _, moment = await queue.read(arrival_records.counted)
    stores = [queue, beside, another]

    async def hand_in(store: Store, key: int) -> tuple[int, bool]:
        record = await store.write(
            submission_records.submit, a_submission(kind, f"k{key}"), some_jobs(kind, 2)
        )
        return record.ranges[0][0], record.repeated

    told = await asyncio.gather(
        *(hand_in(store, key) for key in range(AT_ONCE) for store in stores)
    )
    found, moment = await queue.read(arrival_records.arrivals, moment)

    by_key = [told[at : at + 3] for at in range(0, len(told), 3)]
    assert all(len({first for first, _ in three}) == 1 for three in by_key)
    assert [sum(not again for _, again in three) for three in by_key] == [1] * AT_ONCE
    assert len({first for first, _ in told}) == AT_ONCE
    assert len({one.submission_id for one in found}) == len(found) <= AT_ONCE
    with pytest.raises(KeyReused):
        await beside.write(
            submission_records.submit,
            a_submission(kind, "k0", body_hash="other"),
            some_jobs(kind, 1),
        )


async def test_owners_and_classes_that_several_name_at_once_are_one_each(
    queue: Store, beside: Store, another: Store
) -> None:
    subjects = [f"user{number}" for number in range(AT_ONCE)]
    found = await asyncio.gather(
        *(
            a_class(store, subject=subject)
            for subject in subjects
            for store in (queue, beside, another)
        )
    )

    assert len({(one.owner_id, one.class_id) for one in found}) == AT_ONCE
    assert len(await queue.read(identity_records.owners)) == AT_ONCE


async def test_a_class_whose_number_others_take_again_and_again_gets_the_next_one(
    queue: Store, url: str
) -> None:
    """The next number is the highest and one; what is not committed yet is not seen."""
    first = await a_class(queue)
    holders = [await connect(url) for _ in range(2)]
    held = [holder.transaction() for holder in holders]
    for ahead, holder in enumerate(holders, start=1):
        await held[ahead - 1].start()
        await holder.execute(ANOTHER_CLASS, first.class_id + ahead, f"type{ahead}")
    looking = await connect(url)
    begun: set[object] = set()
    async with asyncio.TaskGroup() as tasks:
        storing = tasks.create_task(
            queue.write(submission_records.classes, [replace(first, type="Test")])
        )
        for transaction in held:
            new: set[object] = set()
            while not new and not storing.done():
                new = {*await looking.fetch(WAITING_SINCE)} - begun
            begun |= new
            await transaction.commit()
    for connection in (*holders, looking):
        await connection.close()

    assert len(begun) == 2
    assert storing.result() == [first.class_id + 3]


async def test_a_key_that_is_being_taken_in_elsewhere_is_waited_for_not_shared(
    queue: Store, beside: Store, another: Store
) -> None:
    kind = await a_class(beside)
    begun = await beside.write(submission_records.begin_submission, a_submission(kind))
    await beside.write(submission_records.add_jobs, begun.submission_id, some_jobs(kind, 1))
    again = await another.write(submission_records.begin_submission, a_submission(kind))
    with pytest.raises(StillArriving):
        await another.write(submission_records.submit, a_submission(kind), some_jobs(kind, 1))
    left_alone = await arrival_records.drop_abandoned(another, begun.submission_id)

    assert again.submission_id == begun.submission_id and again.repeated
    assert left_alone == 0
    assert (
        await beside.write(submission_records.finish_submission, begun.submission_id, "hash")
    ).complete


async def test_what_a_dead_process_left_goes_at_once_and_a_silent_ones_after_a_minute(
    url: str, queue: Store, beside: Store
) -> None:
    kind = await a_class(beside)
    dying = await _beside(url)
    left = await dying.write(submission_records.begin_submission, a_submission(kind, "left"))
    await dying.write(submission_records.add_jobs, left.submission_id, some_jobs(kind, 3))
    silent = await beside.write(submission_records.begin_submission, a_submission(kind, "silent"))
    await beside.write(submission_records.add_jobs, silent.submission_id, some_jobs(kind, 3))
    one = await connect(url)
    await one.execute(
        "SELECT pg_terminate_backend(pid, 60000) "
        "FROM pg_locks JOIN arriving ON objid = writer::oid "
        "WHERE classid = 70122 AND submission_id = $1",
        left.submission_id,
    )
    of_the_dead = await arrival_records.drop_abandoned(queue)
    await one.execute("UPDATE arriving SET touched = touched - interval '61 s'")
    of_the_silent = await arrival_records.drop_abandoned(queue)
    jobs = await one.fetchval("SELECT count(*) FROM job")
    await one.close()
    with pytest.raises(SubmissionDropped):
        await beside.write(submission_records.add_jobs, silent.submission_id, some_jobs(kind, 1))
    with pytest.raises(SubmissionDropped):
        await beside.write(submission_records.finish_submission, silent.submission_id, "hash")
    with pytest.raises(StoreBroken):
        await dying.write(
            submission_records.submit, a_submission(kind, "another"), some_jobs(kind, 1)
        )
    await dying.close()

    assert (of_the_dead, of_the_silent, jobs) == (1, 1, 0)
    again = await queue.write(
        submission_records.submit, a_submission(kind, "left"), some_jobs(kind, 1)
    )
    assert not again.repeated


async def test_who_begins_leaves_alone_what_others_write_just_now(
    url: str, queue: Store, beside: Store
) -> None:
    kind = await a_class(beside)
    begun = await beside.write(submission_records.begin_submission, a_submission(kind))
    await beside.write(submission_records.add_jobs, begun.submission_id, some_jobs(kind, 1))
    await queue.close()
    next_one = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never)
    record = await beside.write(submission_records.finish_submission, begun.submission_id, "hash")
    classes = await next_one.read(submission_records.classes_given, [kind.class_id])
    await next_one.close()

    assert record.complete and record.ranges == ((1, 1),)
    assert len(classes) == 1


async def test_a_class_whose_first_job_is_on_its_way_elsewhere_stays(
    url: str, queue: Store, beside: Store
) -> None:
    kind, idle, newest = [await a_class(beside, subject=name) for name in ("ada", "bob", "cy")]
    await queue.close()
    next_one = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never)
    record = await beside.write(submission_records.submit, a_submission(kind), some_jobs(kind, 1))
    await beside.close()
    await next_one.close()
    last = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never)
    left = await last.read(
        submission_records.classes_given, [one.class_id for one in (kind, idle, newest)]
    )
    await last.close()

    assert record.complete
    # Nobody else was there any more; the newest stays, so that its number is not given again.
    assert [one.class_id for one in left] == [kind.class_id, newest.class_id]


async def test_a_hint_comes_with_a_submission_and_nobody_waits_for_one_that_is_lost(
    queue: Store, beside: Store
) -> None:
    kind = await a_class(beside)
    await queue.hint(1.0)  # it listens from now on
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with asyncio.TaskGroup() as tasks:
        waits = tasks.create_task(queue.hint(30.0))
        await beside.write(submission_records.submit, a_submission(kind), some_jobs(kind, 1))
        await waits
    took_s = loop.time() - began

    assert took_s < 20


async def test_beside_nobody_there_are_no_tables(server: postgresql.Postgresql) -> None:
    server.sql("CREATE SCHEMA IF NOT EXISTS bare")
    with pytest.raises(NotMadeYet):
        await _beside(server.url(schema="bare"))
