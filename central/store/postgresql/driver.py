"""asyncpg, as far as it is used: the only module that names it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from .servers import Server, Servers, servers_of

CONNECT_S: Final = 10.0  # several servers share it
COMMAND_S: Final = 60.0  # a statement that takes longer is given up, and the store with it
# The server ends a transaction in which nothing comes for so long: whose process stands still would
# hold what it has locked for ever. Whoever leads next ends those of the leader before by itself;
# those of who takes jobs in would hold the leader up.
IDLE_LEADING_MS: Final = "10000"
IDLE_MS: Final = "3000"
STATEMENTS_KEPT: Final = 1_000  # prepared, of each connection

_asyncpg: Final[Any] = asyncpg  # it says nothing of its types

READS: Final = {"default_transaction_read_only": "on"}
# A plan is made once, maybe when tables are empty, and serves for long. What is written touches few
# rows by their ids: these are the ways to them, row by row, however few or many others there are.
WRITES: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}

# All that may come of a call: refusals, a connection that is gone, a server that does not answer or
# says what asyncpg does not expect.
FAULTS: Final[tuple[type[Exception], ...]] = (
    _asyncpg.PostgresError,
    _asyncpg.InterfaceError,
    _asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
# A value that a parameter cannot take, found before it was sent.
BadValue: Final[type[Exception]] = _asyncpg.DataError


class Cursor(Protocol):
    """What a statement gives, page by page, within a transaction."""

    async def fetch(self, n: int) -> list[Any]: ...


class PostgresqlConnection(Protocol):
    """One connection, for one statement at a time."""

    async def execute(self, query: str, *args: object) -> str:
        """Return what the server says, as `UPDATE 3`. Without parameters: several statements."""
        ...

    async def executemany(self, command: str, args: Sequence[Sequence[object]]) -> None: ...
    async def fetch(self, query: str, *args: object) -> list[Any]: ...
    async def fetchmany(self, query: str, args: Sequence[Sequence[object]]) -> list[Any]:
        """Run a statement for each row of parameters; return what all of them return, in order."""
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
    """Return what the connections of one that leads are called on the server."""
    return f"pilotage {holder}"


async def connect(
    url: str,
    *,
    only_read: bool = False,
    holder: str = "",
    command_s: float | None = COMMAND_S,
    shared_s: float = CONNECT_S,
) -> PostgresqlConnection:
    """Open a connection. Raises what `FAULTS` names, and ValueError for a wrong URL.

    Of several servers it is the one that is no standby; they share `shared_s`. What the URL says of
    `target_session_attrs` is not heard: as asyncpg has it, read-write refuses who only reads.
    `holder` is the process if it leads: whoever leads after it ends its connections by that name.
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
    """Ask one after the other. Each has its part of what is left: one that is silent leaves the
    others theirs, and those that answer at once leave all of it to one that is slow.
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
            if not has_answered:  # or the caller has waited long enough
                servers.failed(server)
    # Sorted: who repeats it tells it when it changes.
    each = "; ".join(f"{server}: {said[server]}" for server in sorted(said, key=str))
    raise ConnectionError(f"none of the servers leads: {each}")


def _why_not(why: Exception) -> str:
    if isinstance(why, _asyncpg.TargetServerAttributeNotMatched):
        return "it is a standby"
    if isinstance(why, TimeoutError):
        return "it does not answer"
    return str(why) or type(why).__name__
