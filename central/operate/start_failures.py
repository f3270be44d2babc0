"""Failures of a start: the reason in one line, the exit code, and waiting for disk space.

A full disk at the start does not end the process. When people have freed space, the central starts
by itself.
"""

import errno
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ..observe.events import Log
from ..ports import Clock
from ..store.errors import NotMadeYet, StoreBroken, StoreError, StoreFull
from .files import NO_ROOM

EXIT_WRONG: Final = 2  # a setting or a place is wrong: a restart does not help
EXIT_BROKEN: Final = 70  # the disk or the store failed: a restart may help, or people must act
LOOK_AGAIN_S: Final = 10.0  # interval of checks for free space
DO_STORE: Final = (
    "look at the disk, then run `pilotage doctor --store`;"
    " if the store is damaged, restore a backup (docs/operations/backup.md)"
)
DO_DATABASE: Final = "see docs/operations/postgresql.md"
T = TypeVar("T")


class StartRefused(Exception):
    """The central cannot start with this setting, store or folder. No request was answered."""

    def __init__(self, why: str, code: int = EXIT_WRONG) -> None:
        super().__init__(why)
        self.code = code


class StartDiskFull(Exception):
    """The disk is full, so the start failed. All that it had opened is closed again."""


def not_started(why: Exception, store: str) -> StartRefused | StartDiskFull:
    """Return the meaning of a start's error: wait, or end with an exit code."""
    if _is_full(why):
        return StartDiskFull(str(why))
    if isinstance(why, StoreBroken) or isinstance(why.__cause__, sqlite3.Error):
        do = DO_DATABASE if "://" in store else DO_STORE
        return StartRefused(f"{store}: {why}: {do}", EXIT_BROKEN)
    if isinstance(why, NotMadeYet):  # it may be made by the next try
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
    """Return the result of `begin`, repeated until the disk has space.

    `waits` is called before each pause, with its length in seconds. Raises StartRefused.
    """
    while True:
        try:
            return await begin()
        except StartDiskFull as why:
            log("store_full", why=f"waiting for disk space to start: {why}")
        waits(LOOK_AGAIN_S)
        await clock.sleep(LOOK_AGAIN_S)
