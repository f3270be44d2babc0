"""Bytes that nobody names, in a store that was restored: all of it waits anew, and is found."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_registration as registration,
    record_remnants as remnant_records,
)
from pilotage.central.catalogue.publications import folder_of
from pilotage.central.catalogue.record_types import NewFile, NewReplica
from pilotage.central.catalogue.remnants import sweep_key
from pilotage.central.store import audit as check
from pilotage.central.store.engine import Store
from pilotage.central.store.migrations import migrations
from pilotage.central.store.sqlite import check as file_check, open_sqlite
from pilotage.central.store.sqlite.migrate import migrate
from pilotage.central.store.sqlite.snapshot import renew, snapshot
from pilotage.proto.catalogue import Did, RemnantState
from pilotage.proto.job_states import JobState
from tests import turns
from tests.contract.store.rows import a_class, a_requeue, an_end, matched, submitted

RESTORED_AT = 1_000.0
FAILED = JobState.FAILED


def _never(why: str) -> None:
    raise AssertionError(why)


async def opened(path: Path) -> Store:
    return await open_sqlite(path, clock_wall=lambda: 1.0, fatal=_never)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = await opened(tmp_path / "store.sqlite")
    yield made
    await made.close()


async def restored(path: Path, at: float = RESTORED_AT) -> Store:
    """Return the store of a backup that is made now."""
    copy = path / f"copy-{at}.sqlite"
    await snapshot(path / "store.sqlite", copy)
    renew(copy, at)
    with file_check.reading(copy) as session:
        assert [said for _, said in check.differences(session) if said] == []
    return await opened(copy)


async def test_a_sweep_of_before_removes_nothing_and_what_it_had_waits(
    store: Store, tmp_path: Path
) -> None:
    kind = await a_class(store)
    file = NewFile(
        did=Did("sim", "one"),
        bytes=7,
        adler32="00000001",
        replicas=(NewReplica(storage="pic", path="ctao/1"),),
        owner_id=kind.owner_id,
    )
    await store.write(registration.register_files, "ctao", [file], at=1.0)
    await store.write(file_records.remove_files, "ctao", [file.did], at=1.0)
    (sweep,) = await store.write(
        remnant_records.order_sweeps, "pic", 10.0, at=10.0, limit=9, most=1
    )
    record = await submitted(store, kind, 1, sweep_key(sweep.sweep_id))
    job_id = record.ranges[0][0]
    await store.write(remnant_records.sweep_job, sweep.sweep_id, job_id)
    assert len(await store.read(remnant_records.remnants_of_job, job_id)) == 1
    again = await restored(tmp_path)
    (left,) = await again.read(remnant_records.remnants, before=1e9, after=0, limit=9)

    assert (
        await again.read(remnant_records.remnants_of_job, job_id) == []
        and await again.read(remnant_records.open_sweeps) == []
    )
    assert (left.state, left.sweep_id) == (RemnantState.SWEEPING, None)
    assert not await again.read(remnant_records.is_remnant_due, "pic", RESTORED_AT - 1)
    assert (
        len(
            await again.write(
                remnant_records.order_sweeps, "pic", RESTORED_AT, at=0.0, limit=9, most=1
            )
        )
        == 1
    )
    await again.close()


async def test_folders_of_attempts_of_before_are_found_by_the_name_of_that_time(
    store: Store, tmp_path: Path
) -> None:
    first = store.generation
    kind = await a_class(store)
    record = await submitted(store, kind, 2, stores=("pic",))
    failed, running = range(record.ranges[0][0], record.ranges[0][0] + 2)
    await turns.change(
        store, [an_end(await matched(store, failed), failed, new=FAILED, failed=True)]
    )
    await turns.change(store, [a_requeue(await matched(store, running), running)])
    again = await restored(tmp_path)
    record = await submitted(again, kind, 1, "new", stores=("pic",))
    new = record.ranges[0][0]
    await turns.change(again, [an_end(await matched(again, running, 2), running, 2)])
    await turns.change(again, [an_end(await matched(again, new), new, new=FAILED, failed=True)])
    await again.write(remnant_records.look_at_storing, [failed, running, new])
    rows = await again.read(remnant_records.remnants, before=1e9, after=0, limit=9)
    names = (first, again.generation)

    assert {row.path for row in rows} == {
        folder_of("ctao", name, job_id, 1)
        for job_id in (failed, running, new)
        for name in (names if job_id != new else names[1:])
    }
    await again.close()


async def test_a_backup_of_a_release_without_remnants_is_restored(tmp_path: Path) -> None:
    steps = migrations("sqlite")
    (first,) = [one.number for one in steps if one.name == "remnants"]
    old = tmp_path / "old.sqlite"
    connection = sqlite3.connect(old, isolation_level=None)
    migrate(connection, steps[: first - 1], 1.0)
    connection.execute("INSERT INTO store (one, generation, made_at) VALUES (1, 'old', 1.0)")
    connection.close()
    generation = renew(old, RESTORED_AT)
    again = await opened(old)

    assert again.generation == generation != "old"
    await again.close()
