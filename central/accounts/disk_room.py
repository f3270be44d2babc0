"""Refuses new data before the disk of the data directory is full.

The store keeps a reserve for itself. Uploads of users stop at twice the reserve. Submissions and
outputs of jobs stop at the reserve. Small files of jobs, such as the ends of their streams, stop at
half of it. So reports, results, heartbeats and kills always fit.
"""

from collections.abc import AsyncIterator
from typing import Final

from ..errors import NoSpace
from ..observe.events import Log
from ..ports import Clock, Space
from ..store.errors import ReserveReached

LOOK_S: Final = 1.0  # a reading of the free space is cached for this time
EVERY_S: Final = 5.0
# Shares of the reserve that uploads must leave free: of users, of jobs, small ones of jobs.
OF_PEOPLE: Final = 2.0
OF_OUTPUTS: Final = 1.0
OF_SMALL_OUTPUTS: Final = 0.5
IN_STORE: Final = 2  # a byte in the store takes room in its log and in its file
SMALL_BYTES: Final = 262_144
RESERVE_SHARE: Final = 0.025  # share of the disk, the default
RESERVE_BYTES_MAX: Final = 1_000_000_000


class NoDisk:
    """A `Space` of unknown size."""

    async def read(self) -> tuple[int, int] | None:
        """Return None."""
        return None


class DiskRoom:
    """Reads the free space, and refuses new data before the disk is full."""

    def __init__(self, space: Space, clock: Clock, log: Log, *, reserve_mb: float) -> None:
        """`reserve_mb` is in units of 10^6 bytes. 0 means 2.5 % of the disk, at most 1 GB."""
        self._space, self._clock, self._log = space, clock, log
        self._reserve_mb = reserve_mb
        self._logged = False
        self._read_at = float("-inf")
        self._free = self._total = 0
        self._unknown = True

    @property
    def reserve(self) -> int:
        """The number of bytes that the store keeps for itself."""
        if self._reserve_mb:
            return int(self._reserve_mb * 1_000_000)
        return min(int(self._total * RESERVE_SHARE), RESERVE_BYTES_MAX)

    async def run(self) -> None:
        """Read the free space regularly, so that `short` stays current. Ends by cancellation."""
        while True:
            await self.look()
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Read the free space. Log once when it becomes short, and when there is room again."""
        await self._look()
        why = self.short
        if bool(why) is not self._logged:
            self._logged = bool(why)
            self._log("disk_short" if why else "disk_has_room", why=why or "there is room")

    @property
    def takes_new(self) -> bool:
        """Whether submissions are accepted, by the last reading of the disk."""
        return self._unknown or self._free >= self.reserve

    @property
    def short(self) -> str:
        """A message about refused requests, by the last reading of the disk; empty if none are."""
        if self._unknown or self._free >= 2 * self.reserve:
            return ""
        what = "uploads" if self.takes_new else "uploads, outputs and submissions"
        below = self.reserve * (2 if self.takes_new else 1)
        return f"{what} are refused: {_left(self._free, below)}"

    async def check_upload(self, more: int = 0, *, share: float = OF_PEOPLE) -> None:
        """Raise NoSpace if `more` bytes would leave less free space than a share of the reserve."""
        await self._look()
        below = int(self.reserve * share)
        if not self._unknown and self._free - more < below:
            raise NoSpace(f"uploads are refused: {_left(self._free, below)}")

    async def check_new(self, more: int = 0) -> None:
        """Raise ReserveReached if `more` new bytes would use the reserve, which is for reports.

        A byte is stored twice: first in the log, then in the database.
        """
        await self._look()
        below = self.reserve + IN_STORE * more
        if not self._unknown and self._free < below:
            raise ReserveReached(
                f"new data is refused, because the rest of the disk is for reports of jobs: "
                f"{_left(self._free, below)}"
            )
        self._free -= IN_STORE * more  # until the next reading

    async def watched(
        self, chunks: AsyncIterator[bytes], *, share: float = OF_PEOPLE
    ) -> AsyncIterator[bytes]:
        """Yield chunks of an upload while there is room. Raises NoSpace."""
        async for chunk in chunks:
            await self.check_upload(len(chunk), share=share)
            self._free -= len(chunk)  # until the next reading
            yield chunk

    async def _look(self) -> None:
        now = self._clock.monotonic()
        if now - self._read_at < LOOK_S:
            return
        self._read_at = now
        found = await self._space.read()
        self._unknown = found is None
        if found is not None:
            self._free, self._total = found


def _left(free: int, below: int) -> str:
    return f"{free / 1e6:.1f} MB free, {below / 1e6:.1f} MB required; make room"
