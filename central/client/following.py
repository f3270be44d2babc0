"""Following what a job writes, from one attempt to the next, until the job has ended.

Live output is a hint like all that travels on the bus: pieces may be lost, and the end of an
attempt may arrive before its last words. So what was kept with the result has the last word.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pilotage.proto.api import JobDetail
from pilotage.proto.job_states import ACTIVE, FINAL, JobState
from pilotage.proto.messages import KEPT_BYTES, Stream

from .errors import JobsHeld
from .pace import Pace, pauses

_LOOK_LONGEST_S = 1.0


@dataclass(frozen=True)
class Part:
    """What the bytes that come next are: the output of one attempt."""

    attempt: int  # 0: nothing was kept of any
    newest: int  # the job's newest attempt
    left_out: int = 0  # bytes that were not kept, before the first


OnPart = Callable[[Part], None]


def part_of(headers: Mapping[str, str]) -> Part:
    """Return what the central says of the bytes that it sends; an older one says nothing."""

    def number(name: str) -> int:
        word = headers.get(name, "")
        return int(word) if word.isdecimal() else 0

    return Part(
        attempt=number("pilotage-attempt"),
        newest=number("pilotage-newest-attempt"),
        left_out=number("pilotage-left-out"),
    )


class Source(Protocol):
    """What following needs of a client."""

    async def detail(self, job: int) -> JobDetail: ...

    def pieces(
        self, job: int, stream: Stream, *, follow: bool, on_part: OnPart | None = None
    ) -> AsyncIterator[bytes]: ...


async def follow(
    source: Source, job: int, stream: Stream, pace: Pace, on_part: OnPart | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield the output of each attempt that runs while we look, or that has ended already.

    Raises JobsHeld when the job is Held.
    """
    shown = -1  # the epoch whose output has been yielded
    rests = pauses(pace, longest_s=_LOOK_LONGEST_S)
    while True:
        view = (await source.detail(job)).view
        if view.state in ACTIVE and view.epoch != shown:
            seen = bytearray()
            async for piece in source.pieces(job, stream, follow=True, on_part=on_part):
                seen += piece[: KEPT_BYTES - len(seen)]
                yield piece
            async for piece in _rest(source, job, stream, bytes(seen)):
                yield piece
            shown, rests = view.epoch, pauses(pace, longest_s=_LOOK_LONGEST_S)
        elif view.state in FINAL:
            if view.epoch != shown:
                async for piece in source.pieces(job, stream, follow=False, on_part=on_part):
                    yield piece
            return
        elif view.state is JobState.HELD:
            raise JobsHeld({job: view.reason})
        else:
            await pace.sleep(next(rests))


async def _rest(
    source: Source, job: int, stream: Stream, seen: bytes
) -> AsyncGenerator[bytes, None]:
    """Yield what was kept beyond what was seen; nothing where the two do not begin alike."""
    kept = b"".join([piece async for piece in source.pieces(job, stream, follow=False)])
    if len(kept) > len(seen) and kept.startswith(seen):
        yield kept[len(seen) :]
