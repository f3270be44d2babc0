"""Data files before the start: each from the first copy with the right size and checksums.

The central sets the order: near copies come first. A copy that is unavailable is tried again after
all others. A copy that is missing, or wrong twice, is not tried again.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Optional

from pilotage.proto.storages import BadCopy, Copy, DataFile

from .storages import (
    ADLER32,
    SHA256,
    CopyChecksums,
    CopyLocation,
    CopyMissing,
    CopyTooLong,
    Storage,
    StorageRefused,
    StorageUnavailable,
    verified_by,
)

READINGS: Final = 2  # of a copy before it is declared bad

# Fetches one copy into a file; raises the errors of storages.Storage.get.
Get = Callable[[Copy, Path, int], Awaitable[CopyChecksums]]
# Waits before another round, given its number and the reason. False: the time is over.
Wait = Callable[[int, str], Awaitable[bool]]


class CopiesUnusable(Exception):
    """No copy could be fetched. `for_good`: another node could not fetch one either."""

    def __init__(self, why: str, *, for_good: bool) -> None:
        super().__init__(why)
        self.for_good = for_good


@dataclass
class FetchResult:
    """The results of the copies of one file."""

    file: DataFile
    bad: list[BadCopy] = field(default_factory=list[BadCopy])
    whys: dict[str, str] = field(default_factory=dict[str, str])  # by storage: the last error
    gone: int = 0  # copies that are bad or missing, for every node
    source: str = ""  # the storage of the good copy

    async def run(self, to: Path, get: Get, wait: Wait) -> CopyChecksums:
        """Fetch the file. Raises CopiesUnusable, and OSError for the local file."""
        if self.file.gone:
            raise CopiesUnusable(f"{self.file.did}: {self.file.gone}", for_good=True)
        left, rounds = list(self.file.copies), 0
        while left:
            again: list[Copy] = []
            for copy in left:
                try:
                    found = await self._good(copy, to, get)
                except StorageUnavailable as why:
                    self.whys[copy.storage] = str(why)
                    again.append(copy)
                    continue
                if found is not None:
                    self.source = copy.storage
                    return found
            left, rounds = again, rounds + 1
            if left and not await wait(rounds, self._why()):
                break
        for_good = 0 < self.gone == len(self.file.copies)
        raise CopiesUnusable(f"{self.file.did}: {self._why()}", for_good=for_good)

    async def _good(self, copy: Copy, to: Path, get: Get) -> Optional[CopyChecksums]:
        """Return the checksums of a good copy; None for one that should not be tried again."""
        wrong = ""
        for _ in range(READINGS):
            try:
                found = await get(copy, to, self.file.size_bytes)
            except CopyMissing as why:
                # The central reads "is not there" (failure_class.py).
                self._lost(copy, f"it is not there: {why}")
                return None
            except StorageRefused as why:
                self.whys[copy.storage] = str(why)
                return None
            except CopyTooLong as why:
                wrong = str(why)
                continue
            wrong = difference(self.file, found)
            if not wrong:
                return found
        self.bad.append(BadCopy(self.file.did, copy.storage, copy.path, wrong))
        self._lost(copy, wrong)
        return None

    def _lost(self, copy: Copy, why: str) -> None:
        self.whys[copy.storage] = why
        self.gone += 1

    def _why(self) -> str:
        if not self.file.copies:
            return "this site can reach no known copy"
        return "; ".join(f"{storage}: {why}" for storage, why in self.whys.items())


def difference(file: DataFile, found: CopyChecksums) -> str:
    """Return how a copy differs from the catalogue; empty: it does not differ.

    The found values are not shown, because the file may belong to another user.
    """
    # The central reads these words (failure_class.py).
    if found.size_bytes != file.size_bytes:
        return f"it does not have the {file.size_bytes} bytes that the file has"
    needed = verified_by(file.adler32, file.sha256)
    for name in (ADLER32, SHA256):
        should, is_ = getattr(file, name), getattr(found, name)
        if should and should != is_ and (is_ or name == needed):
            return f"its {name} is not that of the file, {should}"
    return ""


def place_of(copy: Copy, file: DataFile) -> CopyLocation:
    """Return the place of a copy of a file."""
    needed = verified_by(file.adler32, file.sha256)
    return CopyLocation(copy.url, copy.path, copy.options, verified_by=needed)


class NotSent(StorageRefused):
    """Nothing was sent to the storage, so an upload has left nothing there."""

    is_sent = False


def driver(drivers: Mapping[str, Storage], kind: str) -> Storage:
    """Return the driver of a type of storage. Raises StorageRefused."""
    found = drivers.get(kind)
    if found is None:
        known = ", ".join(sorted(drivers))
        raise NotSent(f"this pilot does not support storages of the type {kind!r}, only {known}")
    return found
