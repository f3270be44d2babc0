"""Data before the start: each file from the first of its copies that is what it should be.

The order is the central's: copies that are near come first. A copy that does not come now is tried
again when all others have been; one whose bytes are wrong twice, or that is not there, is not.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Optional

from pilotage.proto.storages import BadCopy, Copy, DataFile

from .storages import (
    CopyChecksums,
    CopyLocation,
    CopyMissing,
    CopyTooLong,
    Storage,
    StorageRefused,
    StorageUnavailable,
)

READINGS: Final = 2  # of a copy before it is called bad

# Gets one copy into a file; raises what storages.Storage.get does.
Get = Callable[[Copy, Path, int], Awaitable[CopyChecksums]]
# Waits before another round: which, and why. False: it has taken too long already.
Wait = Callable[[int, str], Awaitable[bool]]


class CopiesUnusable(Exception):
    """No copy came. `for_good`: no other node would have more of it."""

    def __init__(self, why: str, *, for_good: bool) -> None:
        super().__init__(why)
        self.for_good = for_good


@dataclass
class FetchResult:
    """What became of the copies of one file."""

    file: DataFile
    bad: list[BadCopy] = field(default_factory=list[BadCopy])
    whys: dict[str, str] = field(default_factory=dict[str, str])  # by storage: the last word
    gone: int = 0  # copies that are bad or not there: so they are for everybody
    source: str = ""  # the storage that it came from

    async def run(self, to: Path, get: Get, wait: Wait) -> CopyChecksums:
        """Bring the file. Raises NotCome, and OSError of the file here."""
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
        """Return the sums of a copy that is right, None for one that is not to be tried again."""
        wrong = ""
        for _ in range(READINGS):
            try:
                found = await get(copy, to, self.file.size_bytes)
            except CopyMissing as why:
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
            return "no copy of it is known that this site sees"
        return "; ".join(f"{storage}: {why}" for storage, why in self.whys.items())


def difference(file: DataFile, found: CopyChecksums) -> str:
    """Say in what a copy differs from what the catalogue says; empty: in nothing.

    What was found is not told: it may be somebody else's file that lies there.
    """
    if found.size_bytes != file.size_bytes:
        return f"it has not the {file.size_bytes} bytes that the file has"
    for name in ("adler32", "sha256"):
        should, is_ = getattr(file, name), getattr(found, name)
        if should and should != is_:
            return f"its {name} is not that of the file, {should}"
    return ""


def place_of(copy: Copy) -> CopyLocation:
    """Return where a copy lies."""
    return CopyLocation(copy.url, copy.path)


def driver(drivers: Mapping[str, Storage], kind: str) -> Storage:
    """Return the driver of a type of storage. Raises Refused."""
    found = drivers.get(kind)
    if found is None:
        known = ", ".join(sorted(drivers))
        raise StorageRefused(f"this pilot knows no storages of the type {kind!r}, only {known}")
    return found
