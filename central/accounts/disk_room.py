"""Whether the disk of the data directory has room for what is new.

The store keeps a reserve for itself. Uploads of people stop at twice the reserve. Submissions and
outputs of jobs stop at the reserve. Small files of jobs, as the ends of their streams, stop at half
of it. So reports, ends, heartbeats and kills always fit.
"""

from collections.abc import AsyncIterator
from typing import Final

from ..errors import NoSpace
from ..observe.events import Log
from ..ports import Clock, Space
from ..store.errors import ReserveReached

LOOK_S: Final = 1.0  # how old a reading of the disk may be
EVERY_S: Final = 5.0
OF_PEOPLE: Final = 2.0  # of the reserve is left by uploads of people
OF_OUTPUTS: Final = 1.0
OF_SMALL_OUTPUTS: Final = 0.5
IN_STORE: Final = 2  # a byte of the store takes room in its log and in its file
SMALL_BYTES: Final = 262_144
RESERVE_SHARE: Final = 0.025  # of the disk, if nothing is set
RESERVE_BYTES_MAX: Final = 1_000_000_000


class NoDisk:
    """A `Space` of unknown size."""

    async def read(self) -> tuple[int, int] | None:
        """Return None."""
        return None


class DiskRoom:
    """Refuses what is new before the disk is full."""

    def __init__(self, space: Space, clock: Clock, log: Log, *, reserve_mb: float) -> None:
        """`reserve_mb`: in 10^6 bytes; 0: 2.5 % of the disk, at most 1 GB."""
        self._space, self._clock, self._log = space, clock, log
        self._reserve_mb = reserve_mb
        self._told = False
        self._read_at = float("-inf")
        self._free = self._total = 0
        self._unknown = True

    @property
    def reserve(self) -> int:
        """Return the bytes that the store keeps for itself."""
        if self._reserve_mb:
            return int(self._reserve_mb * 1_000_000)
        return min(int(self._total * RESERVE_SHARE), RESERVE_BYTES_MAX)

    async def run(self) -> None:
        """Look at the disk from time to time, so that `short` is true. Ends by cancellation."""
        while True:
            await self.look()
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Look at the disk, and log once when it becomes short, and when it has room again."""
        await self._look()
        why = self.short
        if bool(why) is not self._told:
            self._told = bool(why)
            self._log("disk_short" if why else "disk_has_room", why=why or "there is room")

    @property
    def takes_new(self) -> bool:
        """Return whether submissions are taken by the last look at the disk."""
        return self._unknown or self._free >= self.reserve

    @property
    def short(self) -> str:
        """Return what is refused by the last look at the disk, and why; empty: nothing."""
        if self._unknown or self._free >= 2 * self.reserve:
            return ""
        what = "uploads" if self.takes_new else "uploads, outputs and submissions"
        below = self.reserve * (2 if self.takes_new else 1)
        return f"{what} are refused: {_left(self._free, below)}"

    async def check_upload(self, more: int = 0, *, share: float = OF_PEOPLE) -> None:
        """Raise NoSpace if so many bytes more would leave less than a share of the reserve."""
        await self._look()
        below = int(self.reserve * share)
        if not self._unknown and self._free - more < below:
            raise NoSpace(f"uploads are refused: {_left(self._free, below)}")

    async def check_new(self, more: int = 0) -> None:
        """Raise ReserveReached if nothing new is taken: the rest is for what jobs report.

        So many bytes `more` are about to be stored, first in the log and then in the database.
        """
        await self._look()
        below = self.reserve + IN_STORE * more
        if not self._unknown and self._free < below:
            raise ReserveReached(f"the rest is kept for reports: {_left(self._free, below)}")
        self._free -= IN_STORE * more  # as far as the next look

    async def watched(
        self, chunks: AsyncIterator[bytes], *, share: float = OF_PEOPLE
    ) -> AsyncIterator[bytes]:
        """Yield chunks that are written as they come. Raises NoSpace."""
        async for chunk in chunks:
            await self.check_upload(len(chunk), share=share)
            self._free -= len(chunk)  # as far as the next look
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
