"""A store of SQLite that is copied into PostgreSQL reads the same there, and goes on."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilotage.central.identity import record as identity_records
from pilotage.central.jobs import record as job_records, record_search as job_search
from pilotage.central.jobs.records import Search
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

COLUMNS_HERE = "SELECT name FROM pragma_table_xinfo(?)"
COLUMNS_THERE = """
    SELECT table_name, column_name FROM information_schema.columns
     WHERE table_schema = current_schema()
"""


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
    rows = await store.read(job_search.search, Search(), after=0, limit=100)
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


def test_every_column_is_copied(path: Path) -> None:
    """What was copied is compared by the statements that it was read by: those miss no column."""
    with reading(path) as session:
        connection = session.connection
        kept = {
            table: [row[0] for row in connection.execute(COLUMNS_HERE, (table,))]
            for table in tables()
        }

    assert _sorted(_columns_read(path)) == _sorted(kept)


def test_every_column_is_compared(path: Path, server: postgresql.Postgresql) -> None:
    """By its place, so that the columns of both databases stand in one order."""
    kept: dict[str, list[str]] = {table: [] for table in tables()}
    read: dict[str, list[str]] = {}
    with server.empty_schema() as url:
        session = prepared(url, 1.0)
        try:
            raw: Any = session.connection  # knows more than we use
            for table, column in session.wait(raw.fetch(COLUMNS_THERE)):
                if table in kept:  # who leads, and what arrives, are not copied
                    kept[table].append(column)
            for table in tables():
                statement = session.wait(raw.prepare(load("postgresql")[f"all_of_{table}"]))
                read[table] = [column.name for column in statement.get_attributes()]
        finally:
            session.close()

    assert _sorted(read) == _sorted(kept)
    assert read == _columns_read(path)


def _columns_read(path: Path) -> dict[str, list[str]]:
    """Return what is read of each table of SQLite, in the order in which it is."""
    with reading(path) as session:
        return {
            table: [column[0] for column in session.run(f"all_of_{table}").description]
            for table in tables()
        }


def _sorted(columns: dict[str, list[str]]) -> dict[str, list[str]]:
    return {table: sorted(names) for table, names in columns.items()}
