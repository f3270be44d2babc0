"""Large bodies, kept on the disk until they are whole, to save memory."""

import asyncio
import errno
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Final

from ..errors import NoSpace

HELD_BYTES: Final = 1 << 20  # of one body in memory; the rest is on the disk
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Spool:
    """The bytes of one body. A small body stays in memory."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._held = bytearray()
        self._file: IO[bytes] | None = None

    async def fill(self, parts: AsyncIterator[bytes]) -> None:
        """Store all parts. Raises NoSpace."""
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
        """Return all bytes, which are in memory from then on."""
        if self._file is None:
            return bytes(self._held)
        return await asyncio.to_thread(self._read, self._file)

    async def close(self) -> None:
        if self._file is not None:
            await asyncio.to_thread(self._file.close)

    def _write(self) -> None:
        if self._file is None:  # it has no name, so a crash leaves nothing behind
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
    """Yield a spool that holds all `parts`. Raises NoSpace, and the exceptions of `parts`."""
    spool = Spool(folder)
    try:
        await spool.fill(parts)
        yield spool
    finally:
        await spool.close()
