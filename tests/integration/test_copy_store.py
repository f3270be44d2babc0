"""A store of SQLite that is copied into PostgreSQL reads the same there, and goes on."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.identity import record as identity_records
from pilotage.central.jobs import record as job_records, record_search as job_search
from pilotage.central.jobs.record_types import JobSearch
from pilotage.central.store import copy
from pilotage.central.store.copy import NotTheSame, copy_store, tables
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import StoreError
from pilotage.central.store.postgresql import open_postgresql
from pilotage.central.store.postgresql.store import prepared
from pilotage.central.store.queries import load
from pilotage.central.store.sqlite import open_sqlite
from pilotage.central.store.sqlite.check import reading
from tests import turns
from tests.contract.store.rows import a_class, a_want, an_end, matched, submitted
from tests.services import postgresql


@pytest.fixture
def server() -> Iterator[postgresql.Postgresql]:
    if postgresql.missing():
        pytest.skip(postgresql.missing())
    with postgresql.started() as running:
        yield running


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A store in which something has happened."""
    path = tmp_path / "store.sqlite"
    store = await open_sqlite(path, clock_wall=lambda: 1.0, fatal=pytest.fail)
    kind = await a_class(store)
    record = await submitted(store, kind, 5, "one", name="a\0b")
    first = record.ranges[0][0]
    ended, live = await matched(store, first), await matched(store, first + 1)
    await turns.change(store, [an_end(ended, first)])
    await store.write(job_records.want, [a_want(live, first + 1)])
    await store.close()
    return path


async def copied_to(url: str, path: Path) -> int:
    return await asyncio.to_thread(copy_store, path, url, at=2.0, told=lambda step: None)


async def _read(store: Store) -> list[object]:
    rows = await store.read(job_search.search, JobSearch(), after=0, limit=100)
    ids = [row.job_id for row in rows]
    return [
        store.generation,
        [(row.job_id, row.state, row.site, row.reason, row.ended_at) for row in rows],
        await store.write(job_records.standing, ids),
        await store.read(job_records.bodies, ids),
        await store.read(job_records.attempts, ids[0]),
        await store.read(job_records.notes, ids[1]),
        await store.read(job_records.live_attempts),
        await store.read(identity_records.owners),
    ]


async def test_a_copy_reads_the_same_and_goes_on(path: Path, server: postgresql.Postgresql) -> None:
    with server.empty_schema() as url:
        copied = await copied_to(url, path)
        there = await open_postgresql(url, clock_wall=lambda: 1.0, fatal=pytest.fail)
        here = await open_sqlite(path, clock_wall=lambda: 1.0, fatal=pytest.fail)
        same = await _read(there) == await _read(here)
        kind = await a_class(there)
        records = [await submitted(store, kind, 1, "two") for store in (here, there)]
        notes = await there.write(job_records.want, [a_want(2, records[0].ranges[0][0] - 4)])
        await there.close()
        await here.close()
        with pytest.raises(StoreError, match="in use"):
            await copied_to(url, path)

    assert copied > 20
    assert same
    assert records[0] == records[1]
    assert notes == [False]  # its kill is known


async def test_what_reads_otherwise_is_not_kept(
    path: Path, server: postgresql.Postgresql, monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.empty_schema() as url:
        monkeypatch.setattr(copy, "_BEFORE", {"store": "drop_new_store"})
        with pytest.raises(StoreError):  # counters are there twice
            await copied_to(url, path)
        monkeypatch.undo()
        monkeypatch.setattr(copy, "tables", lambda: [one for one in tables() if one != "note"])
        server.sql(
            "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN new.reason := 'spoilt'; RETURN new; END $$",
            f"CREATE TRIGGER spoil BEFORE INSERT ON {url.rpartition('=')[2]}.job "
            "FOR EACH ROW EXECUTE FUNCTION spoil()",
        )
        with pytest.raises(NotTheSame, match="table job"):
            await copied_to(url, path)
        there = await open_postgresql(url, clock_wall=lambda: 1.0, fatal=pytest.fail)
        owners = await there.read(identity_records.owners)
        await there.close()

    assert owners == []


def test_every_table_is_copied(path: Path) -> None:
    with reading(path) as session:
        rows = session.connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name <> 'migration'"
        ).fetchall()

    assert sorted(tables()) == sorted(row[0] for row in rows)


def test_both_databases_have_the_same_columns(path: Path, server: postgresql.Postgresql) -> None:
    """A copy takes all columns, so that none of them may be missing on the other side."""
    with server.empty_schema() as url, reading(path) as here:
        there = prepared(url, 1.0)
        try:
            for table in tables():
                raw: Any = there.connection  # knows more than we use
                statement = there.wait(raw.prepare(load("postgresql")[f"all_of_{table}"]))
                columns = {column.name for column in statement.get_attributes()}
                described = here.run(f"all_of_{table}").description
                assert {column[0] for column in described} == columns, table
        finally:
            there.close()


def test_a_column_of_one_database_alone_is_found(path: Path, server: postgresql.Postgresql) -> None:
    with server.empty_schema() as url:
        prepared(url, 1.0).close()
        schema = url.rpartition("=")[2]
        server.sql(f"ALTER TABLE {schema}.note ADD COLUMN more TEXT DEFAULT 'x'")
        with pytest.raises(NotTheSame, match="table note: .*'more': 'x'"):
            copy_store(path, url, at=2.0, told=lambda step: None)
