"""Several processes write to one PostgreSQL: those that are at one path or file wait in turn."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from pilotage.central.catalogue import (
    record_files as file_records,
    record_read as catalogue_read,
    record_registration as registration,
    record_remnants as remnant_records,
)
from pilotage.central.catalogue.record_files import change_replicas, remove_files
from pilotage.central.catalogue.record_registration import publish, register_files
from pilotage.central.catalogue.record_types import ItemOutcome, ReplicaChange
from pilotage.central.catalogue.remnants import SweepResult
from pilotage.central.store.engine import Store
from pilotage.central.store.postgresql import open_postgresql
from pilotage.central.store.postgresql.session import PostgresqlSession
from pilotage.proto.catalogue import Did, FileState, ReplicaState
from tests import turns
from tests.services import postgresql

from .conftest import NOW, never
from .test_remnants import a_file, all_of, an_end, an_owner, given_to, ordered, removed

A_MOMENT_S = 0.3
ONE = Did("users", "one")
Work = Callable[[PostgresqlSession], list[ItemOutcome]]


@pytest.fixture
async def shared(server: postgresql.Postgresql) -> AsyncIterator[tuple[Store, str]]:
    """A store, and its URL for other processes."""
    with server.empty_schema() as url:
        store = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never)
        yield store, url
        await store.close()


async def one_after_the_other(url: str, first: Work, second: Work) -> list[list[ItemOutcome]]:
    """Let two processes work; the second one begins while the first has not committed."""
    sessions = [await asyncio.to_thread(PostgresqlSession, url) for _ in range(2)]

    def work(session: PostgresqlSession, what: Work) -> list[ItemOutcome]:
        session.begin()
        return what(session)

    before = await asyncio.to_thread(work, sessions[0], first)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(asyncio.to_thread(work, sessions[1], second))
        done, _ = await asyncio.wait([waiting], timeout=A_MOMENT_S)
        await asyncio.to_thread(sessions[0].commit)
    await asyncio.to_thread(sessions[1].commit)
    for session in sessions:
        await asyncio.to_thread(session.close)

    assert not done
    return [before, waiting.result()]


async def state_of_one(store: Store) -> tuple[FileState, dict[str, ReplicaState]]:
    (file,) = await store.read(catalogue_read.files_by_did, "ctao", [ONE])
    assert file is not None
    copies = (await store.read(catalogue_read.replicas_of, [file.file_id]))[file.file_id]
    return file.state, {copy.storage: copy.state for copy in copies}


async def test_what_another_process_is_about_to_name_is_not_marked(
    server: postgresql.Postgresql,
) -> None:
    with server.empty_schema() as url:
        store = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never)
        ada = await an_owner(store)
        await removed(store, a_file(ada, "one", "pic/ctao/1"))
        api = await asyncio.to_thread(PostgresqlSession, url)

        def name_it() -> None:
            api.begin()
            register_files(api, "ctao", [a_file(ada, "new", "pic/ctao/1")], at=NOW)

        await asyncio.to_thread(name_it)
        async with asyncio.TaskGroup() as tasks:
            marking = tasks.create_task(ordered(store))
            done, _ = await asyncio.wait([marking], timeout=A_MOMENT_S)
            await asyncio.to_thread(api.commit)
        sweeps = marking.result()
        await asyncio.to_thread(api.close)
        await store.close()

    assert not done
    assert sweeps == []


async def test_a_file_that_goes_takes_the_copy_along_that_is_being_published(
    shared: tuple[Store, str],
) -> None:
    """Its bytes would lie there for ever, under a file that is Removed."""
    store, url = shared
    ada = await an_owner(store)
    await store.write(
        registration.register_files, "ctao", [a_file(ada, "one", "pic/ctao/1")], at=NOW
    )
    more = a_file(ada, "one", "cscs/ctao/2")
    await one_after_the_other(
        url,
        lambda session: publish(session, "ctao", [more], at=NOW),
        lambda session: remove_files(session, "ctao", [ONE], at=NOW),
    )

    missing = ReplicaState.MISSING
    assert await state_of_one(store) == (FileState.REMOVED, {"pic": missing, "cscs": missing})
    assert sorted(row.storage for row in await all_of(store)) == ["cscs", "pic"]


async def test_a_result_does_not_undo_the_removal_that_another_process_is_at(
    shared: tuple[Store, str],
) -> None:
    store, url = shared
    ada = await an_owner(store)
    await store.write(
        registration.register_files, "ctao", [a_file(ada, "one", "pic/ctao/1")], at=NOW
    )
    more = a_file(ada, "one", "cscs/ctao/2")
    _, (refused,) = await one_after_the_other(
        url,
        lambda session: remove_files(session, "ctao", [ONE], at=NOW),
        lambda session: publish(session, "ctao", [more], at=NOW),
    )

    assert refused.clash is not None and "removed" in refused.clash.right
    assert await state_of_one(store) == (FileState.REMOVED, {"pic": ReplicaState.MISSING})
    assert [row.storage for row in await all_of(store)] == ["pic"]


async def test_remnants_of_a_file_that_two_register_again_are_counted_once(
    shared: tuple[Store, str],
) -> None:
    store, url = shared
    ada = await an_owner(store)
    one = a_file(ada, "one", "pic/ctao/1", "cscs/ctao/1")
    await removed(store, one, a_file(ada, "other", "pic/ctao/2"))

    def again(session: PostgresqlSession) -> list[ItemOutcome]:
        return register_files(session, "ctao", [one], at=NOW)

    (first,), (second,) = await one_after_the_other(url, again, again)
    counts = {row.storage: row.waiting for row in await store.read(remnant_records.remnant_counts)}

    assert (first.changed, second.changed) == (True, False)
    assert counts == {"cscs": 0, "pic": 1}


async def test_a_file_whose_last_bad_copy_somebody_heals_is_not_lost_by_a_sweep(
    shared: tuple[Store, str],
) -> None:
    """The sweep's result sees the copy as it was before."""
    store, url = shared
    ada = await an_owner(store)
    await removed(store, a_file(ada, "one", "pic/ctao/1"))
    (sweep,) = await ordered(store)
    job_id, attempt_id = await given_to(store, sweep)
    (remnant,) = await store.read(remnant_records.remnants_of_job, job_id)
    await store.write(
        registration.register_files, "ctao", [a_file(ada, "one", "cscs/ctao/2")], at=NOW
    )
    bad = ReplicaChange(did=ONE, storage="cscs", state=ReplicaState.BAD)
    await store.write(file_records.change_replicas, "ctao", [bad], at=NOW)
    before = await state_of_one(store)
    good = ReplicaChange(did=ONE, storage="cscs", state=ReplicaState.AVAILABLE)
    api = await asyncio.to_thread(PostgresqlSession, url)

    def heal() -> None:
        api.begin()
        change_replicas(api, "ctao", [good], at=NOW)

    await asyncio.to_thread(heal)
    told = SweepResult(gone=(remnant.remnant_id,), after_s=10.0)
    async with asyncio.TaskGroup() as tasks:
        ending = tasks.create_task(turns.change(store, [an_end(attempt_id, job_id, 1, swept=told)]))
        await asyncio.wait([ending], timeout=A_MOMENT_S)
        await asyncio.to_thread(api.commit)
    await asyncio.to_thread(api.close)

    assert before[0] is FileState.MISSING
    assert ending.result() == [True]
    assert await state_of_one(store) == (FileState.AVAILABLE, {"cscs": ReplicaState.AVAILABLE})
