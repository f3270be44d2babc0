"""A central that cannot start: why, in one line, with the exit code; and what is waited for.

A disk that is full at the start is no reason to end: it takes people to make room, and then nobody
should have to start anything.
"""

import errno
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ..observe.events import Log
from ..ports import Clock
from ..store.errors import NotMadeYet, StoreBroken, StoreError, StoreFull
from .files import NO_ROOM

EXIT_WRONG: Final = 2  # a setting or a place: starting again would not help
EXIT_BROKEN: Final = 70  # the disk or the store failed: only a restart mends it, or people
LOOK_AGAIN_S: Final = 10.0  # between two looks whether there is room
DO_STORE: Final = (
    "look at the disk, then run `pilotage doctor --store`;"
    " if the store is damaged, restore a backup (docs/operations/backup.md)"
)
DO_DATABASE: Final = "see docs/operations/postgresql.md"
T = TypeVar("T")


class StartRefused(Exception):
    """Something that a central needs is not as it must be. Nothing was answered yet."""

    def __init__(self, why: str, code: int = EXIT_WRONG) -> None:
        super().__init__(why)
        self.code = code


class StartDiskFull(Exception):
    """The disk is full, so that a start got nowhere. Whatever it had opened is closed again."""


def not_started(why: Exception, store: str) -> StartRefused | StartDiskFull:
    """Return what an error of a start means: waiting, or the end with a code of its own."""
    if _is_full(why):
        return StartDiskFull(str(why))
    if isinstance(why, StoreBroken) or isinstance(why.__cause__, sqlite3.Error):
        do = DO_DATABASE if "://" in store else DO_STORE
        return StartRefused(f"{store}: {why}: {do}", EXIT_BROKEN)
    if isinstance(why, NotMadeYet):  # it may be, the next time
        return StartRefused(f"{store}: {why}", EXIT_BROKEN)
    if isinstance(why, StoreError):
        return StartRefused(f"{store}: {why}")
    if isinstance(why, OSError) and why.errno == errno.EIO:
        return StartRefused(f"{why}: look at the disk", EXIT_BROKEN)
    return StartRefused(str(why))


def _is_full(why: Exception) -> bool:
    return isinstance(why, StoreFull) or (isinstance(why, OSError) and why.errno in NO_ROOM)


async def once_there_is_room(
    begin: Callable[[], Awaitable[T]], *, clock: Clock, log: Log, waits: Callable[[float], None]
) -> T:
    """Return what `begin` returns, repeated until it finds room.

    `waits` hears before each pause how long it will be. Raises NotStarted.
    """
    while True:
        try:
            return await begin()
        except StartDiskFull as why:
            log("store_full", why=f"waiting for room to start: {why}")
        waits(LOOK_AGAIN_S)
        await clock.sleep(LOOK_AGAIN_S)
