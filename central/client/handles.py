"""What a submitter holds of jobs: handles that wait, listen, fetch and act."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pilotage.proto.api.explanations import Explanation
from pilotage.proto.api.jobs import (
    ActionReply,
    Curve,
    CurvePoint,
    Event,
    History,
    IdRange,
    JobDetail,
    JobFilter,
    JobView,
    OutputView,
    Peek,
    Submitted,
)
from pilotage.proto.attempts import Stream
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.tasks import time_limit

from .errors import TimedOut
from .submission_bodies import OnProgress
from .waiting.job_output import OnPart
from .waiting.outstanding_jobs import Outstanding

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncJobHandle:
    """One job. It holds the id alone; everything else is asked for when it is needed."""

    def __init__(self, client: "AsyncClient", id: int, submission: int | None = None) -> None:
        self.id, self.client = id, client
        self.submission = submission  # None: not asked yet

    def __repr__(self) -> str:
        return f"<job {self.id}>"

    async def detail(self) -> JobDetail:
        """Return everything of the job: its view, its description, outputs and usage."""
        return await self.client.detail(self.id)

    async def view(self) -> JobView:
        """Return the job as a list shows it."""
        return (await self.client.detail(self.id)).view

    async def state(self) -> JobState:
        """Return where the job stands now."""
        return (await self.view()).state

    async def wait(self, timeout_s: float | None = None, *, through_held: bool = False) -> JobView:
        """Return the job once it is Done, Failed or Killed. Raises TimedOut.

        A job that is Held raises JobsHeld, with the reason: it does not end before somebody
        releases it. `through_held` waits for that too.
        """
        view = await self.view()
        if view.state in FINAL:
            return view
        awaited = Outstanding([self.id], view.submission, through_held=through_held)
        await self.client.wait_for(awaited, f"job {self.id}", timeout_s)
        return await self.view()

    async def events(self) -> AsyncIterator[Event]:
        """Yield what happens to the job from now on, until it has ended."""
        view = await self.view()
        if view.state in FINAL:
            return
        async for event in self.client.events(submission=view.submission):
            if event.job == self.id:
                yield event
                if event.state in FINAL:
                    return
            elif event.kind == "gap" and await self.state() in FINAL:
                return

    async def log(
        self,
        stream: Stream = Stream.OUT,
        *,
        follow: bool = False,
        on_part: OnPart | None = None,
    ) -> AsyncIterator[bytes]:
        """Yield what the payload wrote; with `follow` from its start until the job has ended.

        `on_part` hears before the first byte of which attempt it is and how much was left out.
        Who follows a job that is Held gets JobsHeld.
        """
        async for piece in self.client.log(self.id, stream, follow=follow, on_part=on_part):
            yield piece

    async def curve(self, *, epoch: int | None = None) -> Curve:
        """Return what an attempt used over time: the newest that has a curve, by default."""
        return await self.client.curve(self.id, epoch=epoch)

    async def points(self) -> AsyncIterator[CurvePoint]:
        """Yield the points of the resource curve as they come, until the job has ended."""
        async for point in self.client.points(self.id):
            yield point

    async def peek(self, *, bytes: int = 4_096, wait_s: float = 15.0) -> Peek:
        """Return the last that the job wrote to its streams; while it runs, as it is now."""
        return await self.client.peek(self.id, bytes=bytes, wait_s=wait_s)

    async def history(self) -> History:
        """Return what happened to the job, oldest first."""
        return await self.client.history(self.id)

    async def outputs(self) -> list[OutputView]:
        """Return the files that were kept."""
        return (await self.client.outputs(self.id)).outputs

    async def download(self, name: str, to: Path | str = ".", *, force: bool = False) -> Path:
        """Fetch an output into a file, or into a folder under its own name; return the file.

        Raises FileThere for a file that is there with other bytes, unless `force` is set.
        """
        return await self.client.download(self.id, name, to, force=force)

    async def explain(self) -> Explanation:
        """Return why the job waits."""
        return await self.client.explain(self.id)

    async def kill(self, reason: str = "") -> ActionReply:
        """End the job for good."""
        return await self.client.kill([self.id], reason=reason)

    async def hold(self, reason: str = "") -> ActionReply:
        """Keep the job from running until it is released."""
        return await self.client.hold([self.id], reason=reason)

    async def release(self) -> ActionReply:
        """Let a held job run again."""
        return await self.client.release([self.id])

    async def reschedule(self, reason: str = "") -> ActionReply:
        """Run the job again from the start, also when it has ended."""
        return await self.client.reschedule([self.id], reason=reason)

    async def delete(self) -> ActionReply:
        """Hide a job that has ended from lists."""
        return await self.client.delete([self.id])

    async def prioritise(self, priority: int) -> ActionReply:
        """Set the priority, 0 to 10; higher runs earlier."""
        return await self.client.prioritise(priority, [self.id])


class AsyncSubmissionHandle:
    """Jobs that were submitted together."""

    def __init__(self, client: "AsyncClient", submitted: Submitted) -> None:
        self._client, self._submitted = client, submitted

    def __repr__(self) -> str:
        return f"<submission {self.id} of {self.count} jobs>"

    @property
    def id(self) -> int:
        """Number of the submission."""
        return self._submitted.submission

    @property
    def count(self) -> int:
        """How many jobs it has."""
        return self._submitted.count

    @property
    def repeated(self) -> bool:
        """Whether the key was known, so that these are the jobs of the first call."""
        return self._submitted.repeated

    @property
    def submitted(self) -> Submitted:
        """The central's answer to the submission."""
        return self._submitted

    @property
    def ranges(self) -> list[IdRange]:
        """The ids as ranges, in the order of the jobs."""
        return self._submitted.ids

    def ids(self) -> Iterator[int]:
        """Yield the ids in the order of the jobs."""
        for part in self._submitted.ids:
            yield from range(part.first, part.first + part.count)

    def handles(self) -> "list[AsyncJobHandle]":
        """Return a handle for each job, in order."""
        return [AsyncJobHandle(self._client, id, self.id) for id in self.ids()]

    async def views(self) -> AsyncIterator[JobView]:
        """Yield all jobs of the submission in order of the id."""
        there = JobFilter(submission=self.id, include_deleted=True)
        async for view in self._client.search(there):
            yield view

    async def states(self) -> dict[JobState, int]:
        """Count the jobs by state. It reads all of them."""
        counts: dict[JobState, int] = {}
        async for view in self.views():
            counts[view.state] = counts.get(view.state, 0) + 1
        return counts

    async def wait(
        self,
        timeout_s: float | None = None,
        *,
        progress: OnProgress | None = None,
        through_held: bool = False,
    ) -> dict[JobState, int]:
        """Return how many ended how, once all have. `progress` hears how many have so far.

        Raises TimedOut, and JobsHeld once all others have ended and some are Held, which do not
        go on before somebody releases them; `through_held` waits for that too.
        """
        awaited = Outstanding(self.ids(), self.id, through_held=through_held)
        await self._client.wait_for(awaited, f"submission {self.id}", timeout_s, progress)
        return await self.states()

    async def events(self) -> AsyncIterator[Event]:
        """Yield what happens to these jobs from now on, for ever."""
        async for event in self._client.events(submission=self.id):
            yield event

    async def kill(self, reason: str = "") -> ActionReply:
        """End all jobs of the submission for good."""
        return await self._client.kill(list(self.ids()), reason=reason)

    async def hold(self, reason: str = "") -> ActionReply:
        """Keep these jobs from running until they are released."""
        return await self._client.hold(list(self.ids()), reason=reason)

    async def release(self) -> ActionReply:
        """Let held jobs of the submission run again."""
        return await self._client.release(list(self.ids()))

    async def reschedule(self, reason: str = "") -> ActionReply:
        """Run all jobs again from the start, also those that have ended."""
        return await self._client.reschedule(list(self.ids()), reason=reason)

    async def delete(self) -> ActionReply:
        """Hide the jobs that have ended from lists."""
        return await self._client.delete(list(self.ids()))


async def as_completed_async(
    handles: Iterable[AsyncJobHandle], timeout_s: float | None = None
) -> AsyncGenerator[AsyncJobHandle, None]:
    """Yield each handle once its job has ended. All handles belong to one client.

    A job that is given twice comes once. Raises TimedOut when the next one does not end before
    `timeout_s` is over, and JobsHeld when all that are left are Held.
    """
    by_id = {handle.id: handle for handle in handles}
    if not by_id:
        return
    submissions = {handle.submission for handle in by_id.values()}
    submission = submissions.pop() if len(submissions) == 1 else None
    client = next(iter(by_id.values())).client
    now = asyncio.get_running_loop().time
    until = None if timeout_s is None else now() + timeout_s
    finished = client.ended(Outstanding(by_id, submission))
    left = len(by_id)
    try:
        while left:
            async with time_limit(None if until is None else until - now()):
                id = await anext(finished)
            left -= 1
            yield by_id[id]
    except asyncio.TimeoutError:
        raise TimedOut("as_completed", timeout_s or 0.0, left) from None
    finally:
        await finished.aclose()
