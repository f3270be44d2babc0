"""What `doctor --store` finds in a database: the same as in a file, by other statements."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from pilotage.central.store.audit import (
    CHECKS,
    DIFFERENCES_MAX,
    blob_names,
    differences,
    facts,
    states,
)
from pilotage.central.store.engine import Store
from pilotage.central.store.errors import NewerSchema, StoreBroken, StoreError
from pilotage.central.store.postgresql import open_beside, open_postgresql
from pilotage.central.store.postgresql.check import durability, fit, reading
from pilotage.central.store.postgresql.session import PostgresqlSession
from tests.services.postgresql import Postgresql
from tests.unit.store import test_check, test_check_transformations

SPOILT = test_check.SPOILT
BROKEN = test_check_transformations.BROKEN
# A server that checks everything would take none of what is done here.
UNCHECKED = """
BEGIN;
SET LOCAL session_replication_role = replica;
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT conrelid::regclass AS table, conname FROM pg_constraint
                WHERE contype = 'c' AND connamespace = current_schema()::regnamespace LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.table, one.conname);
    END LOOP;
END $$"""


@pytest.fixture(scope="module")
def jobs(server: Postgresql) -> Iterator[str]:
    """The URL of a store in which each kind of job stands once."""
    yield from _filled(server, "spoilt", test_check.fill)


@pytest.fixture(scope="module")
def transformations(server: Postgresql) -> Iterator[str]:
    """The URL of a store with inputs in all places."""
    yield from _filled(server, "broken", test_check_transformations.fill)


def _filled(
    server: Postgresql, name: str, fill: Callable[[Store], Awaitable[None]]
) -> Iterator[str]:
    url = server.url(schema=name)

    async def made() -> None:
        store = await open_postgresql(url, clock_wall=lambda: 1.0, fatal=pytest.fail)
        await fill(store)
        await store.close()

    server.sql(f"CREATE SCHEMA {name}")
    asyncio.run(made())
    yield url
    server.sql(f"DROP SCHEMA {name} CASCADE")


def found_after(url: str, statement: str) -> list[str]:
    """Return what differs once a statement is run, which is undone then."""
    session = PostgresqlSession(url)
    try:
        session.script(UNCHECKED)
        session.script(statement)
        given = {"limit": DIFFERENCES_MAX}
        return [row[0] for check, _ in CHECKS for row in session.rows(check, given)]
    finally:
        session.roll_back()
        session.close()


@contextmanager
def a_step_to_come(server: Postgresql) -> Generator[None]:
    """A newer release has brought the tables of `jobs` up to date."""
    server.sql("INSERT INTO spoilt.migration VALUES (9000, 'to_come', '', 1.0)")
    try:
        yield
    finally:
        server.sql("DELETE FROM spoilt.migration WHERE number = 9000")


def test_a_store_that_is_right_gives_no_difference(jobs: str, transformations: str) -> None:
    # its pilots are made up; everything else has to fit
    said = ["attempt 3 is live on the unknown pilot pilot-1"]
    for url, right in ((jobs, said), (transformations, [])):
        with reading(url) as session:
            found = dict(differences(session))

        assert len(found) == len(CHECKS)
        assert [text for texts in found.values() for text in texts] == right


@pytest.mark.parametrize("statement", SPOILT)
def test_each_difference_is_named(jobs: str, statement: str) -> None:
    found = found_after(jobs, statement)

    assert any(SPOILT[statement] in text for text in found), found


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_fit_of_transformations_is_named(transformations: str, case: str) -> None:
    statement, said = BROKEN[case]

    assert found_after(transformations, statement) == [said]


def test_a_store_says_of_itself_what_is_in_it(jobs: str) -> None:
    with reading(jobs) as session:
        said, held = facts(session), states(session)

        assert said.jobs == sum(held.values()) == 7
        assert len(said.generation) == 32
        assert list(blob_names(session)) == list(blob_names(session))
        assert "synchronous_commit=on, no replica" in durability(session)


def test_a_look_changes_nothing_and_says_what_it_cannot_read(jobs: str) -> None:
    with pytest.raises(StoreBroken, match="read-only"), reading(jobs) as session:
        session.script("DELETE FROM job")
    with pytest.raises(StoreError, match="does not exist"), reading(jobs) as session:
        session.script("SET search_path = nowhere")
        facts(session)
    with pytest.raises(StoreBroken, match="PostgreSQL at postgresql://"), reading(f"{jobs}&port=1"):
        pytest.fail("it was opened")


@pytest.mark.parametrize("opened", [partial(open_postgresql, clock_wall=lambda: 1.0), open_beside])
async def test_nobody_writes_where_a_commit_is_worth_less(jobs: str, opened: Any) -> None:
    with pytest.raises(StoreBroken, match="synchronous_commit=off: committed rows"):
        await opened(f"{jobs}&synchronous_commit=off", fatal=pytest.fail)


def test_who_waits_to_lead_finds_out_at_once_and_waits_for_what_is_not_there(jobs: str) -> None:
    fit(jobs, time.time())
    fit(f"{jobs}&port=1", 0.0)
    with pytest.raises(StoreBroken, match="synchronous_commit=off"):
        fit(f"{jobs}&synchronous_commit=off", time.time())
    with pytest.raises(StoreBroken, match=r"clock differs by \+3600 s from PostgreSQL"):
        fit(jobs, time.time() + 3_600)


def test_who_is_of_an_older_release_does_not_wait_to_lead(server: Postgresql, jobs: str) -> None:
    with a_step_to_come(server), pytest.raises(NewerSchema, match="schema 9000"):
        fit(jobs, time.time())


def test_all_that_is_read_at_once_is_of_one_moment(server: Postgresql, jobs: str) -> None:
    """As the counts of the jobs, and from which moment on new ones are looked for."""
    with reading(jobs) as session:
        session.begin_read()
        before = session.rows("migrations"), session.one("moment")
        with a_step_to_come(server):
            after = session.rows("migrations"), session.one("moment")
            session.roll_back()
            anew = session.rows("migrations")

    assert after == before
    assert len(anew) == len(before[0]) + 1
