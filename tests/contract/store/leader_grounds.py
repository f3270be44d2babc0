"""Where the leader row lies, for stories that hold for all of them: the honest fake, a PostgreSQL,
and the server of the simulation, over its network.

A story runs on a loop of the ground: that of the simulation has a clock of its own.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol

from pilotage.central.store.errors import NotLeader, StoreBroken
from pilotage.central.store.leaders import Lead, Leaders
from pilotage.central.store.postgresql import PostgresqlLeaders
from pilotage.central.store.postgresql.session import PostgresqlSession
from tests.fake_leaders import FakeLeaders
from tests.services.postgresql import Postgresql
from tests.simulation.database import Database, RemoteLeaders, Session, asked
from tests.simulation.network import Network, Weather
from tests.simulation.processes import Host, HostLoop, Process

from .conftest import NOW

Commit = Callable[[], Awaitable[None]]  # raises StoreBroken


class Ground(Protocol):
    """A database that several processes share."""

    def run(self, story: Coroutine[Any, Any, None]) -> None: ...

    def process(self) -> Leaders:
        """Return how one more process speaks with it."""
        ...

    async def pass_s(self, seconds: float) -> None:
        """Let so much time pass on the database's clock."""
        ...

    async def begin(self, lead: Lead) -> Commit:
        """Begin a transaction that is fenced; return what commits it. Raises NotLeader."""
        ...


class InMemory:
    def __init__(self) -> None:
        self._now = NOW
        self._leaders = FakeLeaders(lambda: self._now)

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        asyncio.run(story)

    def process(self) -> Leaders:
        return self._leaders

    async def pass_s(self, seconds: float) -> None:
        self._now += seconds

    async def begin(self, lead: Lead) -> Commit:
        async def commit() -> None:
            if not self._leaders.is_held(lead):
                raise NotLeader(lead.holder, lead.term)

        await commit()
        return commit


class OnPostgresql:
    def __init__(self, server: Postgresql, url: str) -> None:
        self._server, self._url = server, url
        self._schema = url.rpartition("search_path=")[2]
        self._leaders: list[Leaders] = []
        self._sessions: list[PostgresqlSession] = []

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        async def whole() -> None:
            try:
                await story
            finally:
                for session in self._sessions:
                    await asyncio.to_thread(session.close)
                for leaders in self._leaders:
                    await leaders.close()

        asyncio.run(whole())

    def process(self) -> Leaders:
        made = PostgresqlLeaders(self._url)
        self._leaders.append(made)
        return made

    async def pass_s(self, seconds: float) -> None:
        by = f"make_interval(secs => {seconds})"
        sql = f"UPDATE {self._schema}.leader SET until = until - {by}"  # noqa: S608
        await asyncio.to_thread(self._server.sql, sql)

    async def begin(self, lead: Lead) -> Commit:
        session = await asyncio.to_thread(PostgresqlSession, self._url, lead=lead)
        self._sessions.append(session)
        await asyncio.to_thread(session.begin)

        def commit() -> None:
            try:
                session.commit()
            except session.faults as why:
                raise session.translated(why) from why

        return lambda: asyncio.to_thread(commit)


class Simulated:
    """Each process is on a host of its own; no two clocks are equally fast."""

    RATES = (0.5, 1.0, 2.0)
    SERVER = 1.25

    def __init__(self) -> None:
        self._loop = HostLoop(limit_s=50_000.0)
        network = Network(self._loop, random.Random(1), Weather(calm=True))
        self._database = Database.on(self._loop, network, Host("db", self.SERVER))
        self._made = 0

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(story)
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    def _process(self) -> Process:
        self._made += 1
        name = f"host{self._made}"
        return Process(self._loop, Host(name, self.RATES[self._made % len(self.RATES)]), name)

    def process(self) -> Leaders:
        return RemoteLeaders(self._database, self._process())

    async def pass_s(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.SERVER)

    async def begin(self, lead: Lead) -> Commit:
        database, session = self._database, Session(self._process())
        await asked(database, session, lambda: database.begin(session, lead))

        def commit() -> None:
            if session.ended or not session.open:
                raise StoreBroken("the server has ended the session")
            database.close(session)

        return lambda: asked(database, session, commit)
