"""Connections that the catalogue is read on: one that broke is never used again."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from pilotage.central.store.errors import StoreBroken, StoreError
from pilotage.central.store.postgresql import open_postgresql
from pilotage.central.store.postgresql.session import PostgresqlSession
from pilotage.central.store.verbs.moments import READERS, Moments
from pilotage.central.store.verbs.session import Session
from tests.services.postgresql import Postgresql

from .conftest import NOW, never

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
    moments, together = Moments(opened), threading.Barrier(READERS, timeout=10)

    def both(session: Session) -> int:
        together.wait()
        return _one(session)

    async def all_of_them() -> list[int]:
        async with asyncio.TaskGroup() as tasks:
            reads = [tasks.create_task(moments.run(both)) for _ in range(READERS)]
        return [one.result() for one in reads]

    before = await all_of_them()
    server.sql(END_OF_GUEST)
    with pytest.raises(StoreBroken):
        await moments.run(_one)
    after = await moments.run(_one)
    closed = opened.closed()
    await asyncio.to_thread(moments.close)

    assert (before, after) == ([1] * READERS, 1)
    assert closed == [True] * READERS + [False]


@pytest.mark.parametrize("own", [StoreError("there is no such dataset"), ValueError("no number")])
async def test_what_a_read_is_refused_costs_no_connection(url: str, own: Exception) -> None:
    opened = Opened(url)
    moments = Moments(opened)

    def refused(session: Session) -> None:
        _one(session)
        raise own

    for _ in range(3):
        with pytest.raises(type(own), match=str(own)):
            await moments.run(refused)
    await moments.run(_one)
    closed = opened.closed()
    await asyncio.to_thread(moments.close)

    assert closed == [False]


async def test_a_connection_that_cannot_be_had_is_an_error_of_the_store(
    url: str, server: Postgresql
) -> None:
    store = await open_postgresql(url, clock_wall=lambda: NOW, fatal=never)
    server.sql("ALTER ROLE guest NOLOGIN")
    with pytest.raises(StoreError, match="not permitted to log in"):
        await store.keys("ctao")
    server.sql("ALTER ROLE guest LOGIN")

    assert await store.keys("ctao") == []
    await store.close()
