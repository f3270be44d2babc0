"""How far the ids have come that a store has given: a store that stands lower was set back.

A database that was restored from a dump, or failed over to a server that had not all of it, reads
like any other one. A central that went on with it would give ids a second time, and take results
of attempts of the lost time for those of others (PROTOCOL C11, C12).
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from ..ports import Clock, Disk
from ..store.errors import StoreError
from ..store.protocol import Store

FILE: Final = "high-water.json"
KEEP_EVERY_S: Final = 5.0
ANSWER_S: Final = 2.0  # of the store: an end that waits for it is not held up for longer

_Ids = dict[str, int]


class SetBack(Exception):
    """The store has given fewer ids than it had. Nothing was changed."""

    def __init__(self, file: Path, name: str, stands: int, stood: int) -> None:
        super().__init__(
            f"it was set back: its next {name} would be {stands}, and {stood} was reached. "
            "Restored by the tools of its database it needs a new generation and new ids first "
            "(docs/operations/postgresql.md); the wrong one is in store.url; or, if all of it may "
            f"be forgotten, remove {file}"
        )


class HighWater:
    """The mark in the data directory."""

    def __init__(self, data: Path, disk: Disk) -> None:
        self._file, self._disk = data / FILE, disk
        self._kept: _Ids = {}

    def check(self, given: Mapping[str, int]) -> None:
        """Compare what the store says with the mark, if there is one. Raises SetBack, OSError.

        A mark that does not read is none: the store is what counts.
        """
        content = self._disk.read(self._file)
        try:
            self._kept = msgspec.json.decode(content, type=_Ids) if content else {}
        except msgspec.DecodeError:
            self._kept = {}
        for name, stood in self._kept.items():
            if given.get(name, 0) < stood:
                raise SetBack(self._file, name, given.get(name, 0), stood)

    def keep(self, given: Mapping[str, int]) -> None:
        """Set the mark to what the store has committed. Raises OSError."""
        if given != self._kept:
            self._disk.write_secret(self._file, msgspec.json.encode(given))
            self._kept = dict(given)

    async def follow(self, store: Store, clock: Clock) -> None:
        """Keep it, for ever. What fails is tried again: the mark is then a little low."""
        while True:
            await clock.sleep(KEEP_EVERY_S)
            await self.bring_up(store)

    async def bring_up(self, store: Store) -> None:
        """Keep it once, as far as that can be done."""
        with suppress(StoreError, OSError, TimeoutError):
            async with asyncio.timeout(ANSWER_S):
                given = await store.ids_given()
            await asyncio.to_thread(self.keep, given)
