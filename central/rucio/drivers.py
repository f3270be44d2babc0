"""The files of Rucio servers and the way to them, as a process has them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ..ports import Clock
from .events import Heard, Listen
from .files import RucioEntry, RucioEvents, RucioFiles
from .http import Connect, RucioApi, RucioAway

LOOK_S: Final = 5.0  # between looks for changed files


def _no_network(name: str, entry: RucioEntry) -> RucioApi:
    raise RucioAway(f"rucio/{name}: this central asks no servers")


async def _no_events(events: RucioEvents, heard: Heard, name: str) -> None:
    await asyncio.Event().wait()


@dataclass(frozen=True)
class RucioDrivers:
    """The servers in force, and the requests to them."""

    files: RucioFiles = field(default_factory=RucioFiles)
    connect: Connect = _no_network
    listen: Listen = _no_events

    def entries(self) -> Mapping[str, RucioEntry]:
        """Return the servers in force, by name."""
        return self.files.book.entries

    def keeps(self, storage: str) -> str:
        """Return what `RucioBook.keeps` returns, of the files in force."""
        return self.files.book.keeps(storage)

    async def follow(self, clock: Clock) -> None:
        """Read changed files, until it is cancelled. A hanging disk blocks this loop only."""
        while self.files.folder is not None:
            await clock.sleep(LOOK_S)
            await asyncio.to_thread(self.files.look)
