"""The parts of asyncpg that the store uses. No other module imports asyncpg."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from .servers import Server, Servers, servers_of

CONNECT_S: Final = 10.0  # for all servers of a URL together
COMMAND_S: Final = 60.0  # after this time a statement is given up, and the store is broken
# The server ends a transaction that is idle for this time, because a hanging process would keep its
# locks for ever. A new leader ends the old leader's transactions itself. The transactions of other
# processes would delay the leader.
IDLE_LEADING_MS: Final = "10000"
IDLE_MS: Final = "3000"
STATEMENTS_KEPT: Final = 1_000  # prepared statements on each connection

_asyncpg: Final[Any] = asyncpg  # it has no types

READS: Final = {"default_transaction_read_only": "on"}
# A plan is made once, perhaps while tables are empty, and is used for long. Writes change few rows
# by id, so plans must use the indexes, whatever the size of the tables.
WRITES: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}

# All errors of a call: refusals, lost connections, servers that do not answer, and answers that
# asyncpg does not expect.
FAULTS: Final[tuple[type[Exception], ...]] = (
    _asyncpg.PostgresError,
    _asyncpg.InterfaceError,
    _asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# A value that a parameter cannot take, detected before it is sent.
BadValue: Final[type[Exception]] = _asyncpg.DataError


class Cursor(Protocol):
    """The rows of a statement, read page by page within a transaction."""

    async def fetch(self, n: int) -> list[Any]: ...


class PostgresqlConnection(Protocol):
    """One connection, which runs one statement at a time."""

    async def execute(self, query: str, *args: object) -> str:
        """Return the server's status, as `UPDATE 3`. Without parameters: several statements."""
        ...

    async def executemany(self, command: str, args: Sequence[Sequence[object]]) -> None: ...
    async def fetch(self, query: str, *args: object) -> list[Any]: ...
    async def fetchmany(self, query: str, args: Sequence[Sequence[object]]) -> list[Any]:
        """Run a statement for each row of parameters. Return the rows of all, in order."""
        ...

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Sequence[tuple[object, ...]],
        columns: Sequence[str],
        timeout: float | None = None,
    ) -> str: ...
    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None: ...
    def cursor(self, query: str) -> Awaitable[Cursor]: ...
    async def close(self, *, timeout: float | None = None) -> None: ...
    def terminate(self) -> None: ...
    def is_closed(self) -> bool: ...
    def is_in_transaction(self) -> bool: ...


def application_of(holder: str) -> str:
    """Return the application name of a leader's connections."""
    return f"pilotage {holder}"


async def connect(
    url: str,
    *,
    only_read: bool = False,
    holder: str = "",
    command_s: float | None = COMMAND_S,
    shared_s: float = CONNECT_S,
) -> PostgresqlConnection:
    """Open a connection. Raises `FAULTS`, and ValueError for a wrong URL.

    Of several servers, the primary is chosen; they share the time `shared_s`. The URL's
    `target_session_attrs` is ignored: in asyncpg, read-write refuses read-only sessions. `holder`
    names a leader's process, so that the next leader can end its connections.
    """
    settings = {"application_name": application_of(holder) if holder else "pilotage", "jit": "off"}
    settings |= READS if only_read else WRITES
    if not only_read:
        idle_ms = IDLE_LEADING_MS if holder else IDLE_MS
        settings["idle_in_transaction_session_timeout"] = idle_ms
    options = {
        "command_timeout": command_s,
        "statement_cache_size": STATEMENTS_KEPT,
        "max_cached_statement_lifetime": 0,
        "server_settings": settings,
    }
    servers = servers_of(url)
    if len(servers.order) > 1:
        return await _primary(url, servers, shared_s, options)
    made: PostgresqlConnection = await _asyncpg.connect(
        url, timeout=CONNECT_S, target_session_attrs="any", **options
    )
    return made


async def _primary(
    url: str, servers: Servers, within_s: float, options: Mapping[str, Any]
) -> PostgresqlConnection:
    """Try the servers in turn. Each gets an equal part of the remaining time: a silent server
    leaves time for the others, and fast answers leave more time for a slow server.
    """
    now = asyncio.get_running_loop().time
    until, order = now() + within_s, servers.order
    said: dict[Server, str] = {}
    for number, server in enumerate(order):
        has_answered = False
        try:
            made: PostgresqlConnection = await _asyncpg.connect(
                url,
                host=server.host,
                port=server.port,
                timeout=(until - now()) / (len(order) - number),
                target_session_attrs="primary",
                **options,
            )
            has_answered = True
            return made
        except FAULTS as why:
            said[server] = _why_not(why)
        finally:
            if not has_answered:  # also if the caller gave up
                servers.failed(server)
    # Sorted, so that a repeated log line is recognised as the same.
    each = "; ".join(f"{server}: {said[server]}" for server in sorted(said, key=str))
    raise ConnectionError(f"no server is the primary: {each}")


def _why_not(why: Exception) -> str:
    if isinstance(why, _asyncpg.TargetServerAttributeNotMatched):
        return "it is a standby"
    if isinstance(why, TimeoutError):
        return "it does not answer"
    return str(why) or type(why).__name__
