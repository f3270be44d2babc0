"""Sends the output of attempts that users watch, piece by piece, while they watch."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from pilotage.proto.messages import Assignment, LogChunk, Stream
from pilotage.proto.tasks import Tasks

from ..ports import Clock, Workspace
from .livelog import EVERY_S, SentOffsets, whole_characters
from .transfer import BlobTransfer

SendChunk = Callable[[Assignment, LogChunk], Awaitable[None]]


@dataclass(frozen=True)
class _Watched:
    assignment: Assignment
    following: SentOffsets = field(default_factory=SentOffsets)


class LiveOutput:
    """One task for each watched attempt, none for others."""

    def __init__(
        self, files: BlobTransfer, workspace: Workspace, clock: Clock, send: SendChunk
    ) -> None:
        self._files, self._workspace = files, workspace
        self._clock, self._send = clock, send
        self._watched: dict[int, _Watched] = {}

    def watches(self, attempt_id: int) -> bool:
        return attempt_id in self._watched

    def watch(
        self, assignments: tuple[Assignment, ...], tasks: Tasks, *, anew: frozenset[int]
    ) -> None:
        """Watch these attempts from now on, and no others; those in `anew` from the beginning."""
        wanted = {one.attempt_id: one for one in assignments}
        self._watched = {k: v for k, v in self._watched.items() if k in wanted and k not in anew}
        for attempt_id, assignment in wanted.items():
            if attempt_id not in self._watched:
                self._watched[attempt_id] = watched = _Watched(assignment)
                tasks.start(self._keep_sending(watched), name="live output")

    async def last(self, attempt_id: int) -> None:
        """Send the last output of a payload that has ended."""
        watched = self._watched.get(attempt_id)
        if watched is not None:
            await self._piece(watched, last=True)

    async def _keep_sending(self, watched: _Watched) -> None:
        while self._watched.get(watched.assignment.attempt_id) is watched:
            await self._piece(watched, last=False)
            await self._clock.sleep(EVERY_S)

    async def _piece(self, watched: _Watched, *, last: bool) -> None:
        assignment, following = watched.assignment, watched.following
        folder = self._files.make(assignment.attempt_id)
        for stream in following.turns():
            now = self._clock.now()
            size = self._workspace.size(folder, stream.value)
            piece = following.next_range(stream, size, now)
            if piece is None:
                if not size and following.untold(stream):
                    following.sent(stream, 0, 0, now)
                    await self._say(assignment, stream, 0, "", 0)
                continue
            data = whole_characters(self._workspace.tail(folder, stream.value, *piece), last=last)
            if not data:
                continue
            offset = piece[0]
            following.sent(stream, offset + len(data), len(data), now)
            await self._say(assignment, stream, offset, data.decode("utf-8", "replace"), size)

    async def _say(
        self, assignment: Assignment, stream: Stream, offset: int, text: str, size: int
    ) -> None:
        chunk = LogChunk(assignment.job, assignment.epoch, stream, offset, text, size)
        await self._send(assignment, chunk)
