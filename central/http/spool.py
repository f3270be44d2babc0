"""Large bodies on the disk until they are whole: memory is for those that are worked on."""

import asyncio
import errno
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

from ..errors import NoSpace

HELD_BYTES: Final = 1 << 20  # of one body in memory, before they go to the disk
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Spool:
    """The bytes of one body, whole. A small one never sees the disk."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._held = bytearray()
        self._file: IO[bytes] | None = None

    async def fill(self, parts: AsyncIterator[bytes]) -> None:
        """Take all parts. Raises NoSpace."""
        try:
            async for part in parts:
                self._held += part
                if len(self._held) > HELD_BYTES:
                    await asyncio.to_thread(self._write)
        except OSError as why:
            if why.errno in _FULL:
                raise NoSpace(why.strerror or "") from None
            raise

    async def whole(self) -> bytes:
        """Return all bytes: from here on they are in memory."""
        if self._file is None:
            return bytes(self._held)
        return await asyncio.to_thread(self._read, self._file)

    async def close(self) -> None:
        if self._file is not None:
            await asyncio.to_thread(self._file.close)

    def _write(self) -> None:
        if self._file is None:  # it has no name: no crash leaves anything behind
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        self._file.write(self._held)
        self._held = bytearray()

    def _read(self, file: IO[bytes]) -> bytes:
        file.write(self._held)
        self._held = bytearray()
        file.seek(0)
        return file.read()


@asynccontextmanager
async def spooled(parts: AsyncIterator[bytes], folder: Path | None) -> AsyncGenerator[Spool]:
    """Give a spool that has all of `parts`. Raises NoSpace, and what `parts` raises."""
    spool = Spool(folder)
    try:
        await spool.fill(parts)
        yield spool
    finally:
        await spool.close()
