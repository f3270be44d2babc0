"""Live output of payloads. Pilots send it only while a user follows (at most 64 kB/s for a job)."""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import aclosing, contextmanager, suppress
from typing import NamedTuple

from pilotage.proto.messages import Attempt, LogChunk, Stream
from pilotage.proto.pieces import piece

from ...identity.callers import User
from ...identity.open_per_person import PersonLimiter
from ...outbound import Outbound
from ..leases import Lease, LeasePhase, LeaseTable

FOLLOWED_MAX = 16  # streams of jobs that one user follows at once
LOOKS_MAX = 16  # looks at running jobs by one user at once, since each waits for a pilot
BEHIND_MAX = 256  # chunks that a slow follower may be behind before it sees a gap
BEHIND_BYTES = 1_000_000  # the same limit in bytes
TAIL_BYTES = 65_536  # kept of each followed stream, for later followers
CUT_BYTES = 3  # a pilot holds back an incomplete character
QUIET_S = 1.5  # after such a pause, a pilot that does not report sizes has sent everything


class LiveLogs:
    """Passes the chunks that pilots send to the followers of a job's output."""

    def __init__(self, leases: LeaseTable, outbound: Outbound) -> None:
        self._leases, self._outbound = leases, outbound
        self._followed: dict[int, _Followed] = {}
        why = f"you already follow {FOLLOWED_MAX} streams of jobs, the maximum: end one of them"
        self._followers = PersonLimiter(FOLLOWED_MAX, why)
        why = f"you already look at {LOOKS_MAX} running jobs, the maximum: wait for an answer"
        self._looks = PersonLimiter(LOOKS_MAX, why)

    def followed(self, job: int) -> bool:
        """Return whether a user follows this job's output."""
        return job in self._followed

    def chunk(self, chunk: LogChunk) -> None:
        """Pass a chunk to its followers. Without followers, drop it."""
        lease, followed = self._leases.find(chunk.job, chunk.epoch), self._followed.get(chunk.job)
        if lease is None or followed is None or followed.epoch != chunk.epoch:
            return
        if self._outbound.up and followed.lacks_beginning(chunk):
            # The previous leader asked the pilot to send, and the pilot continued from there.
            followed.hold(chunk)
            self._ask_pilot(lease)
        else:
            followed.take(chunk)

    def ended(self, job: int, epoch: int) -> None:
        """End the streams of an attempt: it sends no more output."""
        followed = self._followed.get(job)
        if followed is not None and followed.epoch == epoch:
            followed.end()

    def live(
        self, caller: User, job: int, stream: Stream, *, pieces: bool = False
    ) -> AsyncIterator[bytes]:
        """Return a running attempt's output from its beginning, as it arrives, until it ends.

        If bytes were lost on the way, a line says how many. With `pieces`, each part instead says
        where it begins (see `proto/pieces.py`). Raises Refused (TOO_MANY).
        """
        found = self._live(job, stream, _Follower(self._followers.enter(caller)))
        return _placed(found) if pieces else _with_gaps(found)

    async def _live(
        self, job: int, stream: Stream, follower: "_Follower"
    ) -> AsyncGenerator[tuple[int, bytes], None]:
        try:
            lease = self._lease(job)
            if lease is None:
                return
            with self._follow(lease) as followed:
                reader = followed.read(stream, tail=not self._outbound.up)
                try:
                    async for at, text in reader.texts():
                        yield at, text
                finally:
                    followed.readers.discard(reader)
        finally:
            follower.leave()

    async def look(self, caller: User, job: int, *, wait_s: float) -> "OutputTails | None":
        """Return the ends of all streams of a running attempt, after at most `wait_s` seconds.

        Return None if the job is not running. Raises Refused (TOO_MANY).
        """
        lease = self._lease(job)
        if lease is None:
            return None
        leave = self._looks.enter(caller)
        try:
            with self._follow(lease) as followed:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await followed.come()
                ends = {stream: tail.end() for stream, tail in followed.tails.items()}
                return OutputTails(lease, ends, followed.complete)
        finally:
            leave()

    def _lease(self, job: int) -> Lease | None:
        lease = self._leases.of_job(job)
        return lease if lease is not None and lease.phase is LeasePhase.LIVE else None

    @contextmanager
    def _follow(self, lease: Lease) -> Generator["_Followed"]:
        followed = self._followed.get(lease.job)
        if followed is None or followed.epoch != lease.epoch:
            followed = self._followed[lease.job] = _Followed(lease.epoch)
        followed.users += 1
        self._ask_pilot(lease)
        try:
            yield followed
        finally:
            followed.users -= 1
            if not followed.users and self._followed.get(lease.job) is followed:
                del self._followed[lease.job]

    def _ask_pilot(self, lease: Lease) -> None:
        """Ask the pilot to send from the beginning."""
        attempt = Attempt(lease.job, lease.epoch)
        self._outbound.follow(lease.kind.community, lease.pilot, attempt)


class StreamTail(NamedTuple):
    """The last bytes of a stream."""

    data: bytes
    start: int  # bytes of the stream before them
    size: int  # bytes of the whole stream


class OutputTails(NamedTuple):
    """The ends of an attempt's streams at one moment."""

    lease: Lease
    ends: dict[Stream, StreamTail]
    complete: bool  # everything written before the request has arrived


class _Follower:
    """One answer to one user. It counts until `leave` is called or the object is collected."""

    def __init__(self, left: Callable[[], None]) -> None:
        self.leave = weakref.finalize(self, left)
        self.leave.atexit = False


class _Followed:
    """An attempt with at least one follower."""

    def __init__(self, epoch: int) -> None:
        self.epoch, self.users = epoch, 0
        self.readers: set[_Reader] = set()
        self.tails: dict[Stream, _Tail] = {}
        self._news: set[asyncio.Event] = set()
        self._held: LogChunk | None = None  # held back until the next chunk of the pilot
        self._has_held = self._over = False

    @property
    def complete(self) -> bool:
        """Whether all bytes that existed when following began have arrived."""
        streams = [self.tails.get(stream) for stream in Stream]
        return self._over or all(tail is not None and tail.caught_up for tail in streams)

    def lacks_beginning(self, chunk: LogChunk) -> bool:
        """Return whether the first chunk of a read stream is not the beginning of the stream.

        This asks only once, because a pilot sends only the end of a long stream.
        """
        is_first = chunk.offset > 0 and chunk.stream not in self.tails
        is_read = any(reader.stream is chunk.stream for reader in self.readers)
        return is_first and is_read and not self._has_held

    def hold(self, chunk: LogChunk) -> None:
        self._held, self._has_held = chunk, True

    def take(self, chunk: LogChunk) -> None:
        held = self._held
        if held is not None and held.stream is chunk.stream:
            self._held = None
            if held.offset < chunk.offset:
                self._take(held)
        self._take(chunk)

    def _take(self, chunk: LogChunk) -> None:
        text = chunk.text.encode()  # once for all readers
        self.tails.setdefault(chunk.stream, _Tail()).take(chunk, text)
        for reader in self.readers:
            if reader.stream is chunk.stream:
                reader.offer(chunk.offset, text)
        self._wake()

    def end(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            self._take(held)
        self._over = True
        for reader in self.readers:
            reader.end()
        self._wake()

    def read(self, stream: Stream, *, tail: bool) -> "_Reader":
        """Return a new reader. With `tail`, it begins with the bytes that are here.

        That is for a pilot that cannot be asked to send from the beginning.
        """
        reader, here = _Reader(stream), self.tails.get(stream)
        if tail and here is not None:
            reader.offer(here.start, bytes(here.data))
        if self._over:
            reader.end()
        self.readers.add(reader)
        return reader

    async def come(self) -> None:
        """Wait until all bytes that existed when following began have arrived."""
        news = asyncio.Event()
        self._news.add(news)
        try:
            while not self.complete:
                says_sizes = any(tail.caught_up or tail.reported for tail in self.tails.values())
                async with asyncio.timeout(QUIET_S if self.tails and not says_sizes else None):
                    await news.wait()
                news.clear()
        finally:
            self._news.discard(news)

    def _wake(self) -> None:
        for news in self._news:
            news.set()


class _Tail:
    """The newest bytes of one stream."""

    def __init__(self) -> None:
        self.data, self.start = bytearray(), 0
        self.reported = 0  # size of the stream, as last reported by its pilot
        self.caught_up = False

    def take(self, chunk: LogChunk, text: bytes) -> None:
        end = self.start + len(self.data)
        if chunk.offset > end:  # bytes were lost on the way
            self.data.clear()
            self.start = end = chunk.offset
        self.data += text[end - chunk.offset :]
        end = self.start + len(self.data)
        surplus = max(0, len(self.data) - TAIL_BYTES)
        del self.data[:surplus]
        self.start += surplus
        self.reported = max(self.reported, chunk.size)
        is_empty = not text and not chunk.size
        self.caught_up |= is_empty or 0 < chunk.size <= end + CUT_BYTES

    def end(self) -> StreamTail:
        size = max(self.reported, self.start + len(self.data))
        return StreamTail(bytes(self.data), self.start, size)


class _Reader:
    """One reader of one stream of one attempt."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._pieces: deque[tuple[int, bytes]] = deque()
        self._waiting = 0  # bytes in `_pieces`
        self._ready = asyncio.Event()
        self._over = False

    def offer(self, offset: int, text: bytes) -> None:
        if text:
            self._pieces.append((offset, text))
            self._waiting += len(text)
            while len(self._pieces) > BEHIND_MAX or self._waiting > BEHIND_BYTES:
                self._next()
            self._ready.set()

    def _next(self) -> tuple[int, bytes]:
        piece = self._pieces.popleft()
        self._waiting -= len(piece[1])
        return piece

    def end(self) -> None:
        self._over = True
        self._ready.set()

    async def texts(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield each new text with its offset in the stream."""
        position = 0
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._pieces:
                offset, text = self._next()
                skip = max(0, position - offset)
                if skip < len(text):
                    yield offset + skip, text[skip:]
                position = max(position, offset + len(text))
            if self._over:
                return


async def _placed(texts: AsyncGenerator[tuple[int, bytes], None]) -> AsyncIterator[bytes]:
    async with aclosing(texts):
        async for at, text in texts:
            yield piece(at, text)


async def _with_gaps(texts: AsyncGenerator[tuple[int, bytes], None]) -> AsyncIterator[bytes]:
    position = 0
    async with aclosing(texts):
        async for at, text in texts:
            if at > position:
                yield f"\n[{at - position} bytes were not sent]\n".encode()
            yield text
            position = at + len(text)
