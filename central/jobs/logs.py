"""Live output of payloads: travels only while somebody follows (≤ 64 kB/s a job)."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator

from pilotage.proto.messages import Attempt, LogChunk, Stream

from .leases import LeaseTable, Phase
from .outbound import Outbound

BEHIND_MAX = 256  # chunks a slow follower may be behind before it sees a gap


class LiveLogs:
    """Joins those who follow a job's output to the chunks that its pilot sends."""

    def __init__(self, leases: LeaseTable, outbound: Outbound) -> None:
        self._leases, self._outbound = leases, outbound
        self._followers: defaultdict[int, set[_Follower]] = defaultdict(set)

    def followed(self, job: int) -> bool:
        """Whether anybody follows this job's output."""
        return job in self._followers

    def chunk(self, chunk: LogChunk) -> None:
        """Hand a chunk to its followers; dropped when there are none."""
        lease = self._leases.find(chunk.job, chunk.epoch)
        if lease is None or chunk.job not in self._followers:
            return
        for follower in self._followers[chunk.job]:
            if follower.epoch == chunk.epoch:
                follower.offer(chunk)

    def ended(self, job: int, epoch: int) -> None:
        """No more output comes of this attempt."""
        for follower in self._followers.get(job, ()):
            if follower.epoch == epoch:
                follower.end()

    async def live(self, job: int, stream: Stream) -> AsyncIterator[bytes]:
        """Yield a running attempt's output from its beginning as it comes, until it ends.

        Where bytes were lost on the way, a line says how many.
        """
        lease = self._leases.of_job(job)
        if lease is None or lease.phase is not Phase.LIVE:
            return
        follower = _Follower(lease.epoch, stream)
        self._followers[job].add(follower)
        attempt = Attempt(lease.job, lease.epoch)
        self._outbound.follow(lease.kind.community, lease.pilot, attempt)
        try:
            async for text in follower.texts():
                yield text
        finally:
            self._followers[job].discard(follower)
            if not self._followers[job]:
                del self._followers[job]


class _Follower:
    """One reader of one stream of one attempt."""

    def __init__(self, epoch: int, stream: Stream) -> None:
        self.epoch, self._stream = epoch, stream
        self._chunks: deque[LogChunk] = deque(maxlen=BEHIND_MAX)
        self._ready = asyncio.Event()
        self._over = False

    def offer(self, chunk: LogChunk) -> None:
        if chunk.stream is self._stream:
            self._chunks.append(chunk)
            self._ready.set()

    def end(self) -> None:
        self._over = True
        self._ready.set()

    async def texts(self) -> AsyncIterator[bytes]:
        position = 0
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._chunks:
                chunk = self._chunks.popleft()
                text = chunk.text.encode()
                if chunk.offset > position:
                    yield f"\n[{chunk.offset - position} bytes were not sent]\n".encode()
                skip = max(0, position - chunk.offset)
                if skip < len(text) or not text:
                    yield text[skip:]
                position = max(position, chunk.offset + len(text))
            if self._over:
                return
