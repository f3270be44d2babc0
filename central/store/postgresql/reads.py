"""Reads beside the writer: connections that can only read, opened when they are needed."""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from .driver import FAULTS, Connection, connect
from .errors import translated
from .statements import statements

CONNECTIONS: Final = 2
CLOSE_S: Final = 1.0


class Reader:
    """A few connections, each taken for one statement at a time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._free: asyncio.LifoQueue[Connection | None] = asyncio.LifoQueue(CONNECTIONS)
        for _ in range(CONNECTIONS):
            self._free.put_nowait(None)
        self._sql = statements()

    async def close(self) -> None:
        """Close what is open. What is asked afterwards opens connections anew."""
        taken = [await self._free.get() for _ in range(CONNECTIONS)]
        for connection in taken:
            self._free.put_nowait(None)
            if connection is not None:
                try:
                    await connection.close(timeout=CLOSE_S)
                except FAULTS:
                    connection.terminate()

    async def rows(self, statement: str, parameters: Mapping[str, object]) -> list[Any]:
        one = self._sql[statement]
        connection = await self._free.get()
        try:
            if connection is None or connection.is_closed():
                connection = None
                connection = await connect(self._url, only_read=True)
            return await connection.fetch(one.text, *one.arguments(parameters))
        except FAULTS as why:
            if isinstance(why, TimeoutError):
                _let_go(connection)
            raise translated(why) from why
        except asyncio.CancelledError:
            _let_go(connection)
            raise
        finally:
            self._free.put_nowait(connection)

    async def one(self, statement: str, parameters: Mapping[str, object]) -> Any:
        """Return the first row or None."""
        found = await self.rows(statement, parameters)
        return found[0] if found else None


def _let_go(connection: Connection | None) -> None:
    """Give one up that was silent: its machine may be gone, and asyncpg would wait for it."""
    if connection is not None:
        connection.terminate()
