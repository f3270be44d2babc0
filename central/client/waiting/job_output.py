"""Reading the output of a job: so far, or from one attempt to the next until the job has ended.

Live output travels on the message bus, so pieces may be lost, and the end of an attempt may arrive
before its last output. The output that the central keeps with the result completes it.

If the connection breaks and another process becomes the leader, its output starts at the current
position of the pilot. Each piece has its offset, so no bytes are yielded twice, and missing bytes
are reported.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from pilotage.proto.api.jobs import JobDetail, Peek
from pilotage.proto.attempts import Stream
from pilotage.proto.job_states import ACTIVE, FINAL, JobState
from pilotage.proto.pieces import MEDIA, Pieces

from ..errors import BadAnswer, JobsHeld, TooManyRequests, Unavailable, Unreachable
from ..pace import Pace, pauses

if TYPE_CHECKING:
    import httpx

    from ..transport import Transport

IDLE_S: Final = 300.0  # silence of an output after which to connect again
LIVE_BYTES: Final = 65_536  # of each stream of a running job, at most, without following it
LIVE_S: Final = 15.0  # that the pilot of a running job has to send them
_LOOK_LONGEST_S: Final = 1.0
_TAIL_BYTES: Final = 4_096  # last yielded bytes, to compare with the kept output
_NOT_NOW: Final = (Unreachable, Unavailable, TooManyRequests)


@dataclass(frozen=True)
class OutputPart:
    """The origin of the next bytes: the output of one attempt."""

    attempt: int  # 0: no attempt has kept output
    newest: int  # the newest attempt of the job
    left_out: int = 0  # missing bytes before the first one
    is_live: bool = False  # the attempt runs, and its pilot has sent the bytes
    is_late: bool = False  # the pilot of the running attempt has not sent everything in time


OnPart = Callable[[OutputPart], None]


def part_of(headers: Mapping[str, str]) -> OutputPart:
    """Return the origin of the bytes in an answer. Older centrals do not send it."""

    def number(name: str) -> int:
        word = headers.get(name, "")
        return int(word) if word.isdecimal() else 0

    return OutputPart(
        attempt=number("pilotage-attempt"),
        newest=number("pilotage-newest-attempt"),
        left_out=number("pilotage-left-out"),
    )


def log_path(job: int, stream: Stream) -> str:
    """Return the path of a stream of a job."""
    return f"/v1/jobs/{job:d}/logs/{Stream(stream).value}"


class ReconnectPolicy:
    """The retries of a stream that breaks."""

    def __init__(self, transport: "Transport", pace: Pace, patience_s: float) -> None:
        self._transport, self._pace, self._patience_s = transport, pace, patience_s
        self.goes_well()

    def goes_well(self) -> None:
        """Start a new series of retries, because bytes have arrived."""
        self._since: float | None = None
        self._rests = pauses(self._pace)

    async def broken(self, why: Exception, opened_at: float) -> None:
        """Wait before the next try. Raises `why` if the retries have used up the patience.

        A stream that was open for longer than the patience starts a new series, even without
        bytes: the job may be silent.
        """
        now = self._pace.monotonic()
        if self._since is None or now - opened_at > self._patience_s:
            self.goes_well()
            self._since = now
        pause_s = next(self._rests)
        if now + pause_s > self._since + self._patience_s:
            raise why
        self._transport.repeats(getattr(why, "why", str(why)), pause_s)
        await self._pace.sleep(pause_s)


class JobReader(Protocol):
    """The part of a client that reading needs."""

    async def detail(self, job: int) -> JobDetail: ...
    async def peek(self, job: int, *, bytes: int, wait_s: float) -> Peek: ...


async def so_far(
    source: JobReader,
    transport: "Transport",
    job: int,
    stream: Stream,
    *,
    pace: Pace,
    patience_s: float,
    on_part: OnPart | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the kept output of an attempt. If a newer one runs, yield what it has written so far.

    Of a running attempt, these are the last `LIVE_BYTES` that its pilot sends within `LIVE_S`
    seconds. If it has written nothing, the output of an attempt before it is yielded.
    """

    def kept_bytes(on_part: OnPart) -> AsyncGenerator[bytes, None]:
        return _kept_bytes(
            transport, job, stream, pace=pace, patience_s=patience_s, on_part=on_part
        )

    def tell(part: OutputPart) -> None:
        if on_part is not None:
            on_part(part)

    parts: list[OutputPart] = []
    async with aclosing(kept_bytes(parts.append)) as kept:
        first = await anext(kept, b"")
        part = parts[0]
        if part.attempt < part.newest and stream is not Stream.USAGE:
            now = await source.peek(job, bytes=LIVE_BYTES, wait_s=LIVE_S)
            text, size = _of_stream(now, stream)
            if text and now.epoch > part.attempt and now.live:
                tell(OutputPart(now.epoch, part.newest, size - len(text), True, not now.complete))
                yield text
                return
            if text and now.epoch > part.attempt:  # the attempt has ended in between
                async with aclosing(kept_bytes(tell)) as again:
                    async for piece in again:
                        yield piece
                return
            part = replace(part, is_late=not now.complete)
        tell(part)
        if first:
            yield first
        async for piece in kept:
            yield piece


def _of_stream(found: Peek, stream: Stream) -> tuple[bytes, int]:
    """Return the end of stdout or stderr, and the size of the whole stream."""
    if stream is Stream.ERR:
        return found.stderr.encode(), found.stderr_bytes
    return found.stdout.encode(), found.stdout_bytes


async def _kept_bytes(
    transport: "Transport",
    job: int,
    stream: Stream,
    *,
    pace: Pace,
    patience_s: float,
    on_part: OnPart,
) -> AsyncGenerator[bytes, None]:
    """Yield the kept output of an attempt. Before it, tell the attempt.

    After a broken connection it connects again, and skips the bytes that were yielded.
    """
    path, seen, is_told = log_path(job, stream), 0, False
    patience = ReconnectPolicy(transport, pace, patience_s)
    while True:
        skip, opened_at = seen, pace.monotonic()
        try:
            async with transport.stream(path, idle_s=IDLE_S) as answer:
                if not is_told:
                    on_part(part_of(answer.headers))
                    is_told = True
                async for piece in answer.aiter_bytes():
                    fresh, skip = piece[skip:], max(0, skip - len(piece))
                    if fresh:
                        seen += len(fresh)
                        patience.goes_well()
                        yield fresh
            return
        except _NOT_NOW as why:
            await patience.broken(why, opened_at)


async def follow(
    source: JobReader,
    transport: "Transport",
    job: int,
    stream: Stream,
    *,
    pace: Pace,
    patience_s: float,
    on_part: OnPart | None = None,
) -> AsyncGenerator[bytes, None]:
    """Yield the output of each attempt that runs, or that has ended already.

    Raises JobsHeld if the job is Held.
    """
    shown = _Shown(on_part)
    patience = ReconnectPolicy(transport, pace, patience_s)
    rests = pauses(pace, longest_s=_LOOK_LONGEST_S)
    while True:
        before = shown.place
        view = (await source.detail(job)).view
        if view.state in ACTIVE:
            opened_at = pace.monotonic()
            try:
                async with aclosing(_live(transport, job, stream, view.epoch, shown)) as live:
                    async for text in live:
                        patience.goes_well()
                        yield text
            except _NOT_NOW as why:
                await patience.broken(why, opened_at)
                continue
            patience.goes_well()
        if view.state in ACTIVE or view.state in FINAL:
            least = view.epoch if view.state in ACTIVE else 0
            parts: list[OutputPart] = []
            found = _kept_bytes(
                transport, job, stream, pace=pace, patience_s=patience_s, on_part=parts.append
            )
            async with aclosing(_kept(found, parts, view.epoch, shown, least)) as kept:
                async for text in kept:
                    yield text
        if view.state in FINAL:
            return
        if view.state is JobState.HELD:
            raise JobsHeld({job: view.reason})
        if shown.place != before:
            rests = pauses(pace, longest_s=_LOOK_LONGEST_S)
            continue
        await pace.sleep(next(rests))


async def _live(
    transport: "Transport", job: int, stream: Stream, epoch: int, shown: "_Shown"
) -> AsyncGenerator[bytes, None]:
    """Yield the new bytes of one connection."""
    path = log_path(job, stream)
    opened = transport.stream(
        path,
        query=[("follow", "true")],
        headers={"accept": f"{MEDIA}, text/plain;q=0.5"},
        idle_s=IDLE_S,
    )
    async with opened as answer:
        part = part_of(answer.headers)
        # An attempt that starts may have no output yet; the answer is then of an earlier attempt.
        if not shown.begin(part, epoch, least=epoch):
            return
        try:
            async for at, data in _placed(answer, part.left_out):
                for text in shown.fresh(at, data):
                    yield text
        except ValueError as why:
            raise BadAnswer(transport.url, f"GET {path}", str(why)) from None


async def _placed(answer: "httpx.Response", at: int) -> AsyncIterator[tuple[int, bytes]]:
    """Yield bytes with their offsets. For older centrals, the offsets are counted here."""
    if answer.headers.get("content-type", "").startswith(MEDIA):
        pieces = Pieces()
        async for data in answer.aiter_bytes():
            for found in pieces.read(data):
                yield found
        return
    async for data in answer.aiter_bytes():
        yield at, data
        at += len(data)


async def _kept(
    found: AsyncGenerator[bytes, None],
    parts: list[OutputPart],
    epoch: int,
    shown: "_Shown",
    least: int,
) -> AsyncGenerator[bytes, None]:
    """Yield the kept bytes after the yielded ones. If the two differ, yield nothing."""
    at = -1
    async with aclosing(found) as pieces:
        async for data in pieces:
            if at < 0:
                if not shown.begin(parts[0], epoch, least=least):
                    return
                at = parts[0].left_out
            if not shown.agrees(at, data):
                return
            for text in shown.fresh(at, data):
                yield text
            at += len(data)


class _Shown:
    """The yielded output of the current attempt."""

    def __init__(self, on_part: OnPart | None) -> None:
        self._on_part = on_part
        self.attempt = self._at = 0
        self._tail = b""  # the last bytes, without a gap

    @property
    def place(self) -> tuple[int, int]:
        return self.attempt, self._at

    def begin(self, part: OutputPart, epoch: int, *, least: int) -> bool:
        """Return whether to yield the bytes of a part: not if its attempt is older than `least`."""
        has_nothing = part.newest > 0 and part.attempt == 0
        attempt = part.attempt or epoch  # older centrals do not send it
        if has_nothing or attempt < max(least, self.attempt):
            return False
        if attempt > self.attempt:
            self.attempt, self._at, self._tail = attempt, part.left_out, b""
            if self._on_part is not None:
                self._on_part(part)
        return True

    def agrees(self, at: int, data: bytes) -> bool:
        """Return whether bytes agree with the last yielded bytes."""
        first = self._at - len(self._tail)
        low, high = max(at, first), min(at + len(data), self._at)
        return low >= high or data[low - at : high - at] == self._tail[low - first : high - first]

    def fresh(self, at: int, data: bytes) -> Iterator[bytes]:
        """Yield the new ones of these bytes, after a line about missing bytes."""
        if at > self._at:
            is_in_line = self._tail and not self._tail.endswith(b"\n")
            gap = f"[{at - self._at} bytes were not sent]\n".encode()
            yield b"\n" + gap if is_in_line else gap
            self._at, self._tail = at, b""
        text = data[self._at - at :]
        if text:
            self._at += len(text)
            self._tail = (self._tail + text)[-_TAIL_BYTES:]
            yield text
