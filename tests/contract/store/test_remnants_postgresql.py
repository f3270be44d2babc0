"""Several processes write to one PostgreSQL: who names a path and who marks it wait for another."""

import asyncio

from pilotage.central.store.postgresql import open_postgresql
from pilotage.central.store.postgresql.session import PostgresqlSession
from pilotage.central.store.verbs.catalogue_write import register
from tests.services import postgresql

from .conftest import NOW, never
from .test_remnants import a_file, an_owner, ordered, removed

A_MOMENT_S = 0.3


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
            register(api, "ctao", [a_file(ada, "new", "pic/ctao/1")], at=NOW)

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
