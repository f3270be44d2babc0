"""Honest doubles of what the central asks of the world: time, randomness, disk and blobs."""

import asyncio
import base64
import hashlib
import heapq
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

from pilotage.central.errors import BlobMismatch, BlobNotFound, BlobTooLarge, NoSpace

PART_BYTES = 65_536


class FakeClock:
    """Time that moves only when a test moves it."""

    def __init__(self, wall: float = 1_800_000_000.0) -> None:
        self._offset = wall
        self._now = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = 0

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._offset + self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._order += 1
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, self._order, woken))
        await woken

    def move(self, seconds: float) -> None:
        """Let time pass without giving anybody a turn."""
        self._now += seconds

    async def advance(self, seconds: float) -> None:
        """Let time pass, waking every sleeper at its own moment."""
        end = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, woken = heapq.heappop(self._sleepers)
            self._now = max(self._now, at)
            if not woken.done():
                woken.set_result(None)
            await settle()
        self._now = end
        await settle()


async def settle(turns: int = 10) -> None:
    """Give the other tasks some turns of the loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


class FakeRandomness:
    """Repeatable: the same seed gives the same tokens."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def token(self, size: int = 32) -> str:
        return base64.urlsafe_b64encode(self._random.randbytes(size)).rstrip(b"=").decode()

    def uniform(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)


class FakeDisk:
    """Files in memory."""

    def __init__(self) -> None:
        self.files: dict[Path, bytes] = {}

    def read(self, path: Path) -> bytes | None:
        return self.files.get(path)

    def version(self, path: Path) -> tuple[int, ...] | None:
        content = self.files.get(path)
        return None if content is None else (hash(content), len(content))

    def write_secret(self, path: Path, content: bytes) -> None:
        self.files[path] = content

    def make_secret(self, path: Path, content: bytes) -> bytes:
        return self.files.setdefault(path, content)


class FakeBlobs:
    """Blobs in memory, with a disk that can be full."""

    def __init__(self, room_bytes: int = 10**12) -> None:
        self.blobs: dict[str, bytes] = {}
        self.touched: dict[str, float] = {}  # when, by `wall`: without one never long ago
        self.wall: Callable[[], float] = lambda: float("inf")
        self.room_bytes = room_bytes

    async def put(
        self,
        sha256: str,
        chunks: AsyncIterator[bytes],
        *,
        size_max: int,
        admit: Callable[[int], Awaitable[None]] | None = None,
    ) -> int:
        content = bytearray()
        async for chunk in chunks:
            content += chunk
            if len(content) > size_max:
                raise BlobTooLarge(sha256, size_max)
        if sum(map(len, self.blobs.values())) + len(content) > self.room_bytes:
            raise NoSpace("the fake disk is full")
        found = hashlib.sha256(content).hexdigest()
        if found != sha256:
            raise BlobMismatch(sha256, found)
        if admit is not None:
            await admit(len(content))
        self.blobs[sha256] = bytes(content)
        self.touched[sha256] = self.wall()
        return len(content)

    async def missing(self, hashes: list[str]) -> list[str]:
        self.touched |= {one: self.wall() for one in hashes if one in self.blobs}
        return [one for one in hashes if one not in self.blobs]

    async def untouched(self, before: float) -> AsyncIterator[list[str]]:
        yield [one for one in self.blobs if self.touched[one] < before]

    async def remove(self, hashes: list[str], before: float) -> int:
        gone = [one for one in hashes if one in self.blobs and self.touched[one] < before]
        for one in gone:
            del self.blobs[one], self.touched[one]
        return len(gone)

    async def size(self, sha256: str) -> int | None:
        content = self.blobs.get(sha256)
        return None if content is None else len(content)

    async def beginnings(self, hashes: Sequence[str], size: int) -> list[bytes | None]:
        found = [self.blobs.get(one) for one in hashes]
        return [None if one is None else one[:size] for one in found]

    async def read(self, sha256: str) -> AsyncIterator[bytes]:
        content = self.blobs.get(sha256)
        if content is None:
            raise BlobNotFound(sha256)
        for start in range(0, len(content), PART_BYTES):
            yield content[start : start + PART_BYTES]
