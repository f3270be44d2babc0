"""Reads beside the writer: connections that can only read."""

import asyncio
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import aiosqlite

from ..queries import load
from .errors import translated

CONNECTIONS: Final = 2


class Reader:
    """A few read-only connections, each taken for one statement at a time."""

    def __init__(self, connections: Sequence[aiosqlite.Connection]) -> None:
        self._connections = connections
        self._free: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue(len(connections))
        for connection in connections:
            self._free.put_nowait(connection)
        self._sql = load("sqlite")

    @classmethod
    async def open(cls, path: Path) -> "Reader":
        sql = load("sqlite")
        connections: list[aiosqlite.Connection] = []
        uri = await asyncio.to_thread(lambda: path.absolute().as_uri())
        for _ in range(CONNECTIONS):
            connection = await aiosqlite.connect(
                f"{uri}?mode=ro",
                uri=True,
                isolation_level=None,
                cached_statements=256,
            )
            connections.append(connection)
            for statement in ("set_query_only", "set_reader_cache", "set_no_mmap"):
                await connection.execute_fetchall(sql[statement])
        return cls(connections)

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()

    async def rows(self, statement: str, parameters: Mapping[str, object]) -> list[Any]:
        connection = await self._free.get()
        try:
            return list(await connection.execute_fetchall(self._sql[statement], dict(parameters)))
        except sqlite3.Error as why:
            raise translated(why) from why
        finally:
            self._free.put_nowait(connection)

    async def one(self, statement: str, parameters: Mapping[str, object]) -> Any:
        """Return the first row or None."""
        found = await self.rows(statement, parameters)
        return found[0] if found else None
