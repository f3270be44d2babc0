"""What a bench's central writes to: a file, or a PostgreSQL that is started for it or named."""

import uuid
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

import uvloop

from pilotage.central.operate.servers.postgresql import Postgresql, missing, started
from pilotage.central.operate.store_selection import check_url

from ..machine import children, cpu_s, reaped_cpu_s

if TYPE_CHECKING:  # asyncpg is optional
    from pilotage.central.store.postgresql.driver import PostgresqlConnection

T = TypeVar("T")

POSTGRESQL: Final = "postgresql"
SETTINGS: Final = ("shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=15min")


class NoServer(Exception):
    """There is no database to measure on; the message says what would help."""


@dataclass(frozen=True)
class Server:
    """A PostgreSQL, in which each stage has a schema of its own."""

    url: str
    ours: Postgresql | None = None  # where we have started it

    @contextmanager
    def schema(self) -> Generator[str]:
        """Yield the URL of an empty schema; it is gone afterwards."""
        name = f"bench_{uuid.uuid4().hex[:12]}"
        sign = "&" if "?" in self.url else "?"
        self.say(f"CREATE SCHEMA {name}")
        try:
            yield f"{self.url}{sign}search_path={name}"
        finally:
            self.say(f"DROP SCHEMA {name} CASCADE")

    def say(self, command: str) -> str:
        """Run one command that returns at most one value; return it as a text."""

        async def said(connection: "PostgresqlConnection") -> str:
            found = await connection.fetch(command)
            return str(found[0][0]) if found else ""

        return uvloop.run(with_connection(self.url, said))

    @property
    def settings(self) -> str:
        """Return how the server is set, where we have started it."""
        return "" if self.ours is None else " ".join(SETTINGS)

    def version(self) -> str:
        """Return what the server is, for people."""
        return f"PostgreSQL {self.say('SHOW server_version').split()[0]}"

    def cpu_s(self) -> float | None:
        """Return the CPU time of the server so far, all its processes; None of one elsewhere."""
        if self.ours is None:
            return None
        pid = self.ours.pid
        return cpu_s(pid) + reaped_cpu_s(pid) + sum(map(cpu_s, children(pid)))


async def with_connection(url: str, work: "Callable[[PostgresqlConnection], Awaitable[T]]") -> T:
    """Do work on a connection of its own. Raises NoServer."""
    from pilotage.central.store.postgresql.driver import CONNECT_S, FAULTS, connect

    try:
        connection = await connect(url)
    except FAULTS as why:
        raise NoServer(f"{url}: {str(why) or type(why).__name__}") from why
    try:
        return await work(connection)
    finally:
        await connection.close(timeout=CONNECT_S)


@contextmanager
def server_of(store: str) -> Generator[Server]:
    """Yield the server that `--store` asks for. Raises NoServer, BadSetting."""
    if store != POSTGRESQL:
        check_url(store)
        yield Server(store)
        return
    if why := missing():
        raise NoServer(f"{why} is not installed; or name a server: --store postgresql://…")
    with started(*SETTINGS) as ours:
        yield Server(f"{ours.url().partition('&search_path')[0]}", ours)
