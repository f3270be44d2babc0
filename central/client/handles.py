"""Handles of jobs and submissions: they wait, listen, fetch and act."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

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

from .downloads.output_plan import EACH_JOB
from .errors import TimedOut
from .files import Downloaded
from .notebooks.job_tables import JobTable, html_of
from .notebooks.progress_bars import shown_progress
from .submissions.submission_bodies import OnProgress
from .transfers.parallel import OnBytes
from .waiting.job_output import OnPart
from .waiting.outstanding_jobs import Outstanding

if TYPE_CHECKING:
    from .client import AsyncClient


class AsyncJobHandle:
    """A handle of one job. It stores only the id, and asks the central for everything else."""

    def __init__(self, client: "AsyncClient", id: int, submission: int | None = None) -> None:
        self.id, self.client = id, client
        self.submission = submission  # None: not asked yet

    def __repr__(self) -> str:
        return f"<job {self.id}>"

    def __await__(self) -> Generator[Any, None, JobView]:
        return self.wait().__await__()

    async def detail(self) -> JobDetail:
        """Return everything about the job: its view, description, outputs and usage."""
        return await self.client.detail(self.id)

    async def view(self) -> JobView:
        """Return the job as in a list of jobs."""
        return (await self.client.detail(self.id)).view

    async def state(self) -> JobState:
        """Return the current state of the job."""
        return (await self.view()).state

    async def wait(self, timeout_s: float | None = None, *, through_held: bool = False) -> JobView:
        """Wait until the job is Done, Failed or Killed, and return it. Raises TimedOut.

        A Held job raises JobsHeld, with the reason, because it continues only after a person
        releases it. With `through_held` the method waits for that too.
        """
        view = await self.view()
        if view.state in FINAL:
            return view
        awaited = Outstanding([self.id], view.submission, through_held=through_held)
        await self.client.wait_for(awaited, f"job {self.id}", timeout_s)
        return await self.view()

    async def result(self, timeout_s: float | None = None) -> Any:
        """Return what the function of an `Executor` job returned; a list for a job of a `map`.

        It waits for the end. Raises the exception of the function, with its traceback in the job as
        the cause. CallFailed means that there is no result. Works only for your own jobs, because
        unpickling can run any code.
        """
        from .executor.job_results import result_of

        return await result_of(self.client, self.id, timeout_s)

    async def events(self) -> AsyncIterator[Event]:
        """Yield the events of the job from now on, until it has ended."""
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
        """Yield the output of the payload so far; with `follow`, until the job has ended.

        Before the first byte, `on_part` gets the attempt and the number of missing bytes. The pilot
        of a running job sends its last 65,536 bytes. With `follow`, a Held job raises JobsHeld.
        """
        async for piece in self.client.log(self.id, stream, follow=follow, on_part=on_part):
            yield piece

    async def curve(self, *, epoch: int | None = None) -> Curve:
        """Return the usage of an attempt over time (default: the newest one with a curve)."""
        return await self.client.curve(self.id, epoch=epoch)

    async def points(self) -> AsyncIterator[CurvePoint]:
        """Yield the points of the resource curve live, until the job has ended."""
        async for point in self.client.points(self.id):
            yield point

    async def peek(self, *, bytes: int = 4_096, wait_s: float = 15.0) -> Peek:
        """Return the end of both streams of the job; for a running job, as it is now."""
        return await self.client.peek(self.id, bytes=bytes, wait_s=wait_s)

    async def history(self) -> History:
        """Return the history of the job, oldest first."""
        return await self.client.history(self.id)

    async def outputs(self) -> list[OutputView]:
        """Return the kept outputs of the job."""
        return (await self.client.outputs(self.id)).outputs

    async def download(self, name: str, to: Path | str = ".", *, force: bool = False) -> Path:
        """Fetch an output into a file, or into a folder under its own name; return the path.

        Raises FileThere for a file with other bytes, unless `force` is set.
        """
        return await self.client.download(self.id, name, to, force=force)

    async def explain(self) -> Explanation:
        """Return why the job waits."""
        return await self.client.explain(self.id)

    async def kill(self, reason: str = "") -> ActionReply:
        """Kill the job for good."""
        return await self.client.kill([self.id], reason=reason)

    async def hold(self, reason: str = "") -> ActionReply:
        """Hold the job until it is released."""
        return await self.client.hold([self.id], reason=reason)

    async def release(self) -> ActionReply:
        """Release the held job, so that it runs again."""
        return await self.client.release([self.id])

    async def reschedule(self, reason: str = "") -> ActionReply:
        """Run the job again from the start, even if it has ended."""
        return await self.client.reschedule([self.id], reason=reason)

    async def set(
        self, needs: Mapping[str, object] | None = None, *, priority: int | None = None
    ) -> ActionReply:
        """Change the needs and the priority of the job while it is Waiting or Held."""
        return await self.client.set([self.id], needs=needs, priority=priority)

    async def retry(self, needs: Mapping[str, object] | None = None) -> ActionReply:
        """Run the Failed or Held job again, with changed needs."""
        return await self.client.retry([self.id], needs=needs)

    async def delete(self) -> ActionReply:
        """Hide the ended job from lists."""
        return await self.client.delete([self.id])

    async def prioritise(self, priority: int) -> ActionReply:
        """Set the priority, from 0 to 10; higher runs earlier."""
        return await self.client.prioritise(priority, [self.id])


class AsyncSubmissionHandle:
    """A handle of jobs that were submitted together."""

    def __init__(self, client: "AsyncClient", submitted: Submitted) -> None:
        self._client, self._submitted = client, submitted

    def __repr__(self) -> str:
        return f"<submission {self.id} of {self.count} jobs>"

    def _repr_html_(self) -> str:
        return self.html()

    def html(self) -> str:
        """Return what a notebook shows."""
        ranges = [f"{one.first}-{one.first + one.count - 1}" for one in self.ranges]
        ids = ", ".join(ranges)
        return html_of({"submission": [self.id], "jobs": [self.count], "ids": [ids]})

    def __await__(self) -> Generator[Any, None, dict[JobState, int]]:
        return self.wait().__await__()

    @property
    def id(self) -> int:
        """The id of the submission."""
        return self._submitted.submission

    @property
    def count(self) -> int:
        """The number of its jobs."""
        return self._submitted.count

    @property
    def repeated(self) -> bool:
        """Whether the key was used before, so that these are the jobs of the first call."""
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

    async def table(self) -> JobTable:
        """Return all jobs as a table for pandas, polars and notebooks."""
        return JobTable([view async for view in self.views()])

    async def states(self) -> dict[JobState, int]:
        """Count the jobs by state. It reads all jobs."""
        counts: dict[JobState, int] = {}
        async for view in self.views():
            counts[view.state] = counts.get(view.state, 0) + 1
        return counts

    async def wait(
        self,
        timeout_s: float | None = None,
        *,
        progress: OnProgress | Literal[True] | None = None,
        through_held: bool = False,
    ) -> dict[JobState, int]:
        """Wait until all jobs have ended, and count them by state.

        `progress` gets the number of ended jobs; True shows a bar. Raises TimedOut, and JobsHeld if
        all remaining jobs are Held, because they continue only after a person releases them. With
        `through_held` the method waits for that too.
        """
        awaited = Outstanding(self.ids(), self.id, through_held=through_held)
        what = f"submission {self.id}"
        with shown_progress(what, self.count, progress) as move:
            await self._client.wait_for(awaited, what, timeout_s, move)
        return await self.states()

    async def events(self) -> AsyncIterator[Event]:
        """Yield the events of these jobs from now on, without end."""
        async for event in self._client.events(submission=self.id):
            yield event

    async def download(
        self,
        to: Path | str,
        names: Iterable[str] = (),
        *,
        template: str = EACH_JOB,
        force: bool = False,
        on_progress: OnBytes | None = None,
    ) -> Downloaded:
        """Fetch the outputs of the ended jobs into a folder, as `Client.download_all` does."""
        jobs = JobFilter(submission=self.id, include_deleted=True)
        return await self._client.download_all(
            jobs, to, names=names, template=template, force=force, on_progress=on_progress
        )

    async def kill(self, reason: str = "") -> ActionReply:
        """Kill all jobs of the submission for good."""
        return await self._client.kill(list(self.ids()), reason=reason)

    async def hold(self, reason: str = "") -> ActionReply:
        """Hold these jobs until they are released."""
        return await self._client.hold(list(self.ids()), reason=reason)

    async def release(self) -> ActionReply:
        """Release the held jobs, so that they run again."""
        return await self._client.release(list(self.ids()))

    async def reschedule(self, reason: str = "") -> ActionReply:
        """Run all jobs again from the start, even ended ones."""
        return await self._client.reschedule(list(self.ids()), reason=reason)

    async def set(
        self, needs: Mapping[str, object] | None = None, *, priority: int | None = None
    ) -> ActionReply:
        """Change the needs and the priority of these jobs that are Waiting or Held."""
        return await self._client.set(list(self.ids()), needs=needs, priority=priority)

    async def retry(self, needs: Mapping[str, object] | None = None) -> ActionReply:
        """Run the Failed and Held jobs again, with changed needs."""
        return await self._client.retry(list(self.ids()), needs=needs)

    async def delete(self) -> ActionReply:
        """Hide the ended jobs from lists."""
        return await self._client.delete(list(self.ids()))


async def as_completed_async(
    handles: Iterable[AsyncJobHandle], timeout_s: float | None = None
) -> AsyncGenerator[AsyncJobHandle, None]:
    """Yield each handle once its job has ended. All handles belong to one client.

    Each job comes once, even if it is given twice. Raises TimedOut after `timeout_s` seconds, and
    JobsHeld if all remaining jobs are Held.
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
