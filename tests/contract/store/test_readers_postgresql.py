"""Connections that are read on: one that broke or is silent is never used again."""

import asyncio
import os
import signal
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from pilotage.central.catalogue import record_read as catalogue_read
from pilotage.central.store.errors import StoreError
from pilotage.central.store.postgresql import open_postgresql
from pilotage.central.store.postgresql.session import PostgresqlSession
from pilotage.central.store.readers import READERS, Readers
from pilotage.central.store.session import Session
from tests.services.postgresql import Postgresql

from .conftest import NOW, never

OF_THE_READERS = """
SELECT pid FROM pg_stat_activity WHERE usename = 'guest'
"""
END_OF_GUEST = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'guest'"


class Opened:
    """Opens sessions of a guest, and knows which it has opened."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.sessions: list[PostgresqlSession] = []

    def __call__(self) -> Session:
        self.sessions.append(PostgresqlSession(self._url, only_read=True))
        return self.sessions[-1]

    def closed(self) -> list[bool]:
        return [one.connection.is_closed() for one in self.sessions]


@pytest.fixture
def url(server: Postgresql) -> Iterator[str]:
    """A schema that a guest owns, who may be sent away."""
    server.sql("CREATE ROLE guest LOGIN", "CREATE SCHEMA guests AUTHORIZATION guest")
    yield server.url(schema="guests").replace("//pilotage@", "//guest@")
    server.sql("DROP SCHEMA guests CASCADE", "DROP ROLE guest")


def _one(session: Session) -> int:
    return len(session.rows("moment"))


async def test_connections_that_broke_are_not_used_again(url: str, server: Postgresql) -> None:
    opened = Opened(url)
    readers, together = Readers(opened), threading.Barrier(READERS, timeout=10)

    def both(session: Session) -> int:
        together.wait()
        return _one(session)

    async def all_of_them() -> list[int]:
        async with asyncio.TaskGroup() as tasks:
            reads = [tasks.create_task(readers.run(both)) for _ in range(READERS)]
        return [one.result() for one in reads]

    before = await all_of_them()
    server.sql(END_OF_GUEST)
    after = await all_of_them()  # each dead connection is replaced before anything is read
    closed = opened.closed()
    await asyncio.to_thread(readers.close)

    assert before == after == [1] * READERS
    assert closed == [True] * READERS + [False] * READERS


@pytest.mark.parametrize("own", [StoreError("there is no such dataset"), ValueError("no number")])
async def test_what_a_read_is_refused_costs_no_connection(url: str, own: Exception) -> None:
    opened = Opened(url)
    readers = Readers(opened)

    def refused(session: Session) -> None:
        _one(session)
        raise own

    for _ in range(3):
        with pytest.raises(type(own), match=str(own)):
            await readers.run(refused)
    await readers.run(_one)
    closed = opened.closed()
    await asyncio.to_thread(readers.close)

    assert closed == [False]


async def test_a_connection_that_cannot_be_had_is_an_error_of_the_store(
    url: str, server: Postgresql
) -> None:
    store = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never)
    server.sql("ALTER ROLE guest NOLOGIN")
    with pytest.raises(StoreError, match="not permitted to log in"):
        await store.read(catalogue_read.keys, "ctao")
    server.sql("ALTER ROLE guest LOGIN")

    assert await store.read(catalogue_read.keys, "ctao") == []
    await store.close()


@contextmanager
def silent(server: Postgresql) -> Generator[None]:
    """Let what serves the readers stand still, as on a machine that is gone."""
    pids = [int(line) for line in server.sql(OF_THE_READERS).split()]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


async def test_reads_that_nobody_waits_for_any_more_give_their_silent_connections_up(
    url: str, server: Postgresql
) -> None:
    opened = Opened(url)
    readers, together = Readers(opened), threading.Barrier(READERS, timeout=10)

    def all_at_once(session: Session) -> int:
        together.wait()
        return _one(session)

    async def at_once() -> None:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(READERS):
                tasks.create_task(readers.run(all_at_once))

    await at_once()
    with silent(server):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3), asyncio.TaskGroup() as tasks:
                for _ in range(READERS):
                    tasks.create_task(readers.run(_one))
        async with asyncio.timeout(10):
            found = await readers.run(_one)
    await asyncio.to_thread(readers.close)

    assert found == 1
