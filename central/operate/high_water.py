"""The high-water mark of ids: a store below the mark was set back to an older state.

A database that was restored from a dump, or failed over to a server with older data, looks like any
other. A central on it would assign ids twice, and take results of lost attempts for those of others
(PROTOCOL C11, C12).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from ..jobs import record as job_records
from ..ports import Clock, Disk
from ..store.engine import Store
from ..store.errors import StoreError, StoreFull
from .files import NO_ROOM

FILE: Final = "high-water.json"
KEEP_EVERY_S: Final = 1.0
ANSWER_S: Final = 2.0  # of the store: a stopping process waits no longer

FIRST: Final = 1  # of a new or unused counter

_Ids = dict[str, int]


class SetBack(StoreError):
    """The store has assigned fewer ids than before. Nothing was changed."""

    def __init__(
        self, file: Path, name: str, stands: int, stood: int, *, is_empty: bool = False
    ) -> None:
        first = "It is empty: restore the backup first. " if is_empty else ""
        super().__init__(
            f"it was set back: its next {name} would be {stands}, but {stood} was reached before. "
            f"{first}If it is the wrong database, correct store.url. If the tools of its database "
            "restored it, give it a new generation and new ids first "
            f"(docs/operations/postgresql.md). If its data is not needed, remove {file}"
        )


class HighWater:
    """The mark in the data directory."""

    def __init__(self, data: Path, disk: Disk) -> None:
        self._file, self._disk = data / FILE, disk
        self._kept: _Ids = {}
        self._has_begun = False

    async def check(self, ask: Callable[[], Awaitable[Mapping[str, int] | None]]) -> None:
        """Compare the store's ids with the mark, if there is one. Raises SetBack, OSError.

        `ask` returns None if the store does not answer. An unreadable mark is ignored. The mark is
        read first: the leader may raise it, but never above the store.
        """
        self._kept = self._read()
        given = await ask() if self._kept else None
        if given is None:
            return
        for name, stood in self._kept.items():
            stands = given.get(name, FIRST)
            if stands < stood:
                raise SetBack(self._file, name, stands, stood, is_empty=not given)

    def _read(self) -> _Ids:
        content = self._disk.read(self._file)
        try:
            return msgspec.json.decode(content, type=_Ids) if content else {}
        except msgspec.DecodeError:
            return {}

    def keep(self, given: Mapping[str, int]) -> None:
        """Raise the mark to the store's committed ids; nothing lowers it. Raises OSError."""
        if all(n <= self._kept.get(name, 0) for name, n in given.items()):
            return
        stood = self._read()  # a process that shares the directory may have raised it
        kept = stood | {name: max(n, stood.get(name, n)) for name, n in given.items()}
        self._disk.write_secret(self._file, msgspec.json.encode(kept))
        self._kept = kept

    async def begin(self, store: Store, *, leads: bool = True) -> None:
        """Write the mark before the first answer. Raises StoreError, OSError.

        A process that leads first takes one attempt id. So a store that loses all commits of this
        process is below the mark. If the disk is full, an older mark is enough until `bring_up`.
        """
        self._has_begun = not leads
        try:
            await asyncio.to_thread(self.keep, await self._given(store))
        except (StoreFull, OSError) as why:
            no_room = isinstance(why, StoreFull) or why.errno in NO_ROOM
            if not (no_room and self._kept):
                raise

    async def follow(self, store: Store, clock: Clock) -> None:
        """Keep the mark up to date; retry failures. Ends by cancellation."""
        while True:
            await clock.sleep(KEEP_EVERY_S)
            await self.bring_up(store)

    async def bring_up(self, store: Store) -> None:
        """Write the mark once, if possible."""
        with suppress(StoreError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                given = await self._given(store)
            await asyncio.to_thread(self.keep, given)

    async def _given(self, store: Store) -> Mapping[str, int]:
        if not self._has_begun:
            await store.write(job_records.reserve_attempts, 1)
            self._has_begun = True
        return await store.read(job_records.ids_given)


async def ids_in(url: str) -> Mapping[str, int] | None:
    """Return the ids that a database has assigned; empty without tables, None without an answer.

    For the check before tables are made: a backup cannot be restored into a database with tables.
    """
    from ..store.postgresql import check  # asyncpg is optional

    return await asyncio.to_thread(check.ids_given, url)
