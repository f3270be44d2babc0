"""The store that other tests run on means the same as the shipped one on a file."""

import sqlite3
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import pilotage.central.jobs.record_retention  # noqa: F401 (a start runs its steps)
from pilotage.central.identity.actions import ActionRow
from pilotage.central.jobs import record as job_records, record_submissions as submission_records
from pilotage.central.jobs.record_token_classes import keep_token_classes
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import StoreError, StoreFull
from pilotage.central.store.session import Session
from pilotage.proto.job_states import JobState
from tests.memory_store import MemoryStore
from tests.services.folders import quick

from .conftest import NOW, open_at
from .rows import a_class, a_move, a_submission, state_of, submitted, waiting_jobs


@pytest.fixture(params=["memory", "sqlite"])
async def either(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield MemoryStore(clock_wall=lambda: NOW)
        return
    with tempfile.TemporaryDirectory(dir=quick()) as folder:
        store = await open_at(Path(folder) / "store.db")
        yield store
        await store.close()


async def test_what_fails_is_undone_and_the_next_one_is_not(either: Store) -> None:
    (job,) = await waiting_jobs(either, 1)

    def broken(won: list[bool]) -> ActionRow:
        raise StoreError("the test says so")

    with pytest.raises(StoreError, match="the test says so"):
        await either.write(
            job_records.move, [a_move(job, JobState.WAITING, JobState.KILLED)], keep=broken
        )

    assert await state_of(either, job) is JobState.WAITING
    assert await either.write(job_records.move, [a_move(job, JobState.WAITING, JobState.HELD)]) == [
        True
    ]
    assert await state_of(either, job) is JobState.HELD


async def test_a_refusal_of_the_database_is_told_as_one(either: Store) -> None:
    def twice(session: Session) -> None:
        session.run("insert_site", {"site": "PIC"})
        session.run("insert_migration", {"number": 1, "name": "", "checksum": "", "at": 0.0})

    with pytest.raises(StoreError, match="refused") as told:
        await either.write(twice)

    assert isinstance(told.value.__cause__, sqlite3.IntegrityError)
    assert await either.read(lambda session: session.one("get_site", {"site": "PIC"})) is None


async def test_a_value_that_no_database_takes_is_told_as_it_is(either: Store) -> None:
    with pytest.raises(OverflowError):
        await either.write(job_records.reserve_attempts, 2**64)

    assert await either.write(job_records.reserve_attempts, 1) == 1


async def test_operations_are_counted_when_they_are_written(either: Store) -> None:
    before = either.activity()
    await either.write(job_records.reserve_attempts, 1)
    with pytest.raises(OverflowError):
        await either.write(job_records.reserve_attempts, 2**64)
    after = either.activity()

    assert after.operations - before.operations == after.commits - before.commits == 1


async def test_a_closed_store_writes_nothing(either: Store) -> None:
    await either.close()

    with pytest.raises(StoreError, match="closed"):
        await either.write(job_records.reserve_attempts, 1)


async def test_on_a_full_disk_nothing_is_written_and_all_is_read() -> None:
    store = MemoryStore()
    (job,) = await waiting_jobs(store, 1)
    store.full = True
    with pytest.raises(StoreFull):
        await store.write(job_records.move, [a_move(job, JobState.WAITING, JobState.HELD)])

    assert (await store.write(job_records.standing, [job]))[
        job
    ].state is JobState.WAITING  # in a transaction too
    store.full = False
    assert await store.write(job_records.move, [a_move(job, JobState.WAITING, JobState.HELD)]) == [
        True
    ]


async def test_the_next_process_finds_what_is_written_and_nothing_unfinished() -> None:
    store = MemoryStore(clock_wall=lambda: NOW)
    (job,) = await waiting_jobs(store, 1)
    kind = await a_class(store)
    begun = (
        await store.write(submission_records.begin_submission, a_submission(kind, "begun"))
    ).submission_id
    unnamed = (await a_class(store, community="lhcb")).class_id
    await store.write(keep_token_classes, [unnamed])
    await submitted(store, await a_class(store, community="lst"), 1)
    again = store.reopened()
    await store.write(job_records.move, [a_move(job, JobState.WAITING, JobState.HELD)])

    assert again.generation == store.generation
    assert await state_of(again, job) is JobState.WAITING
    assert await again.read(submission_records.submission, begun) is None
    assert await again.read(submission_records.classes_given, [unnamed]) == []
    rows = await again.read(lambda session: session.rows("all_of_token_class"))
    assert list(rows) == []


async def test_an_answer_waits_for_the_sync_and_others_read_before_it() -> None:
    seen: list[int] = []

    class Slow(MemoryStore):
        async def synced(self) -> None:
            seen.append((await self.read(job_records.ids_given))["attempt"])

    await Slow().write(job_records.reserve_attempts, 5)

    assert seen == [6]
