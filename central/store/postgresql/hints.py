"""LISTEN: another process signals a new submission. Nothing depends on the signals."""

import asyncio
from contextlib import suppress
from typing import Final

from .driver import FAULTS, PostgresqlConnection, connect

CHANNEL: Final = "pilotage_arrival"


class Hints:
    """A connection that listens. It is opened at the first wait, and again after it was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._heard = asyncio.Event()
        self._connection: PostgresqlConnection | None = None

    async def wait(self, within_s: float) -> None:
        """Return at the next signal, or after `within_s` seconds, even if listening fails."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                with suppress(*FAULTS):
                    await self._listen()
                await self._heard.wait()
        self._heard.clear()

    async def _listen(self) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection = None
            opened = await connect(self._url, only_read=True)
            try:
                await opened.add_listener(CHANNEL, self._hear)
            except BaseException:
                opened.terminate()
                raise
            self._connection = opened

    def _hear(self, *_: object) -> None:
        self._heard.set()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None
