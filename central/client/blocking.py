"""The blocking front. `tests/docs/blocking_client.py` writes it: do not edit it."""

import asyncio
from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

from pilotage.proto.api.accounts import Accounts, AccountsBy, Series, SeriesBy
from pilotage.proto.api.bans import BanMade, BanView
from pilotage.proto.api.data import (
    ChangePage,
    DatasetActionName,
    DatasetView,
    Direction,
    FileCopies,
    FileDetail,
    FileItem,
    FileView,
    ItemsReply,
    KeyList,
    Lineage,
    ReplicaView,
    RuleView,
    UsageRow,
)
from pilotage.proto.api.explanations import Explanation, OfferExplanation
from pilotage.proto.api.failures import Failures, ReportDetail, ReportView
from pilotage.proto.api.health import Health
from pilotage.proto.api.jdl import JdlContext
from pilotage.proto.api.jobs import (
    PAGE_MAX,
    ActionName,
    ActionReply,
    Curve,
    CurvePoint,
    Event,
    History,
    IdRange,
    JobDetail,
    JobFilter,
    JobPage,
    JobView,
    Outputs,
    OutputView,
    Peek,
    Submitted,
    Summary,
    SummaryBy,
)
from pilotage.proto.api.limits import LimitsView
from pilotage.proto.api.logins import Sessions
from pilotage.proto.api.notifications import NotificationsView, NotifyEvent
from pilotage.proto.api.outputs import JobOutputs
from pilotage.proto.api.pilots import (
    PilotEnded,
    PilotLogFilter,
    PilotLogLine,
    PilotView,
    SecretRequest,
    Secrets,
)
from pilotage.proto.api.productions import (
    CwlOutputs,
    NewProduction,
    ProductionActionName,
    ProductionDetail,
    ProductionPreview,
    ProductionReport,
    ProductionView,
)
from pilotage.proto.api.quotas import QuotaChange, UsageView
from pilotage.proto.api.remnants import RemnantView, SweepView
from pilotage.proto.api.rucio import OutboxEntry, RucioList, RucioView
from pilotage.proto.api.sites import Elements, SiteActionName, SiteCheck, SiteDetail, Sites
from pilotage.proto.api.storages import StorageCheck, StorageList, StorageView
from pilotage.proto.api.tokens import TokenIssue, TokenIssued, Tokens, WhoAmI
from pilotage.proto.api.transformations import (
    InputView,
    Preview,
    TaskView,
    TransformationActionName,
    TransformationDetail,
    TransformationView,
)
from pilotage.proto.attempts import Stream
from pilotage.proto.catalogue import FileState, KeyType, ReplicaState
from pilotage.proto.documents.job import Input, When
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from .client import AsyncClient
from .downloads.output_plan import EACH_JOB
from .files import Downloaded, LocalFile
from .graphs import AsyncJobGraph, GraphJob
from .handles import AsyncJobHandle, AsyncSubmissionHandle, as_completed_async
from .loop_thread import LoopThread
from .notebooks.job_tables import JobTable
from .pace import Pace
from .submissions.job_shapes import JobLike, ParameterSet
from .submissions.submission_bodies import OnProgress
from .transfers.parallel import PARALLEL, OnBytes
from .transfers.storing import StoredFile
from .transport import OnRetry
from .waiting.job_output import OnPart
from .workflow_sources import SubmittableWorkflow

if TYPE_CHECKING:
    import httpx


class JobHandle:
    """A handle of one job. It stores only the id, and asks the central for everything else."""

    def __init__(self, core: AsyncJobHandle, loop: LoopThread) -> None:
        self.core, self.loop = core, loop

    @property
    def id(self) -> int:
        """Number of the job."""
        return self.core.id

    def __repr__(self) -> str:
        return repr(self.core)

    def __await__(self) -> Generator[Any, None, JobView]:
        return asyncio.wrap_future(self.loop.start(self.core.wait())).__await__()

    def detail(self) -> JobDetail:
        """Return everything about the job: its view, description, outputs and usage."""
        return self.loop.run(self.core.detail())

    def view(self) -> JobView:
        """Return the job as in a list of jobs."""
        return self.loop.run(self.core.view())

    def state(self) -> JobState:
        """Return the current state of the job."""
        return self.loop.run(self.core.state())

    def wait(self, timeout_s: float | None = None, *, through_held: bool = False) -> JobView:
        """Wait until the job is Done, Failed or Killed, and return it. Raises TimedOut.

        A Held job raises JobsHeld, with the reason, because it continues only after a person
        releases it. With `through_held` the method waits for that too.
        """
        return self.loop.run(self.core.wait(timeout_s, through_held=through_held))

    def result(self, timeout_s: float | None = None) -> Any:
        """Return what the function of an `Executor` job returned; a list for a job of a `map`.

        It waits for the end. Raises the exception of the function, with its traceback in the job as
        the cause. CallFailed means that there is no result. Works only for your own jobs, because
        unpickling can run any code.
        """
        return self.loop.run(self.core.result(timeout_s))

    def events(self) -> Iterator[Event]:
        """Yield the events of the job from now on, until it has ended."""
        return self.loop.iterate(self.core.events())

    def log(
        self, stream: Stream = Stream.OUT, *, follow: bool = False, on_part: OnPart | None = None
    ) -> Iterator[bytes]:
        """Yield the output of the payload so far; with `follow`, until the job has ended.

        Before the first byte, `on_part` gets the attempt and the number of missing bytes. The pilot
        of a running job sends its last 65,536 bytes. With `follow`, a Held job raises JobsHeld.
        """
        return self.loop.iterate(self.core.log(stream, follow=follow, on_part=on_part))

    def curve(self, *, epoch: int | None = None) -> Curve:
        """Return the usage of an attempt over time (default: the newest one with a curve)."""
        return self.loop.run(self.core.curve(epoch=epoch))

    def points(self) -> Iterator[CurvePoint]:
        """Yield the points of the resource curve live, until the job has ended."""
        return self.loop.iterate(self.core.points())

    def peek(self, *, bytes: int = 4096, wait_s: float = 15.0) -> Peek:
        """Return the end of both streams of the job; for a running job, as it is now."""
        return self.loop.run(self.core.peek(bytes=bytes, wait_s=wait_s))

    def history(self) -> History:
        """Return the history of the job, oldest first."""
        return self.loop.run(self.core.history())

    def outputs(self) -> list[OutputView]:
        """Return the kept outputs of the job."""
        return self.loop.run(self.core.outputs())

    def download(self, name: str, to: Path | str = ".", *, force: bool = False) -> Path:
        """Fetch an output into a file, or into a folder under its own name; return the path.

        Raises FileThere for a file with other bytes, unless `force` is set.
        """
        return self.loop.run(self.core.download(name, to, force=force))

    def explain(self) -> Explanation:
        """Return why the job waits."""
        return self.loop.run(self.core.explain())

    def kill(self, reason: str = "") -> ActionReply:
        """Kill the job for good."""
        return self.loop.run(self.core.kill(reason))

    def hold(self, reason: str = "") -> ActionReply:
        """Hold the job until it is released."""
        return self.loop.run(self.core.hold(reason))

    def release(self) -> ActionReply:
        """Release the held job, so that it runs again."""
        return self.loop.run(self.core.release())

    def reschedule(self, reason: str = "") -> ActionReply:
        """Run the job again from the start, even if it has ended."""
        return self.loop.run(self.core.reschedule(reason))

    def set(
        self, needs: Mapping[str, object] | None = None, *, priority: int | None = None
    ) -> ActionReply:
        """Change the needs and the priority of the job while it is Waiting or Held."""
        return self.loop.run(self.core.set(needs, priority=priority))

    def retry(self, needs: Mapping[str, object] | None = None) -> ActionReply:
        """Run the Failed or Held job again, with changed needs."""
        return self.loop.run(self.core.retry(needs))

    def delete(self) -> ActionReply:
        """Hide the ended job from lists."""
        return self.loop.run(self.core.delete())

    def prioritise(self, priority: int) -> ActionReply:
        """Set the priority, from 0 to 10; higher runs earlier."""
        return self.loop.run(self.core.prioritise(priority))


class SubmissionHandle:
    """A handle of jobs that were submitted together."""

    def __init__(self, core: AsyncSubmissionHandle, loop: LoopThread) -> None:
        self.core, self.loop = core, loop

    def __repr__(self) -> str:
        return repr(self.core)

    def _repr_html_(self) -> str:
        return self.html()

    def html(self) -> str:
        """Return what a notebook shows."""
        return self.core.html()

    def __await__(self) -> Generator[Any, None, dict[JobState, int]]:
        return asyncio.wrap_future(self.loop.start(self.core.wait())).__await__()

    @property
    def id(self) -> int:
        """The id of the submission."""
        return self.core.id

    @property
    def count(self) -> int:
        """The number of its jobs."""
        return self.core.count

    @property
    def repeated(self) -> bool:
        """Whether the key was used before, so that these are the jobs of the first call."""
        return self.core.repeated

    @property
    def submitted(self) -> Submitted:
        """The central's answer to the submission."""
        return self.core.submitted

    @property
    def ranges(self) -> list[IdRange]:
        """The ids as ranges, in the order of the jobs."""
        return self.core.ranges

    def ids(self) -> Iterator[int]:
        """Yield the ids in the order of the jobs."""
        return self.core.ids()

    def handles(self) -> list[JobHandle]:
        """Return a handle for each job, in order."""
        return [JobHandle(core, self.loop) for core in self.core.handles()]

    def views(self) -> Iterator[JobView]:
        """Yield all jobs of the submission in order of the id."""
        return self.loop.iterate(self.core.views())

    def table(self) -> JobTable:
        """Return all jobs as a table for pandas, polars and notebooks."""
        return self.loop.run(self.core.table())

    def states(self) -> dict[JobState, int]:
        """Count the jobs by state. It reads all jobs."""
        return self.loop.run(self.core.states())

    def wait(
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
        return self.loop.run(
            self.core.wait(timeout_s, progress=progress, through_held=through_held)
        )

    def events(self) -> Iterator[Event]:
        """Yield the events of these jobs from now on, without end."""
        return self.loop.iterate(self.core.events())

    def download(
        self,
        to: Path | str,
        names: Iterable[str] = (),
        *,
        template: str = EACH_JOB,
        force: bool = False,
        on_progress: OnBytes | None = None,
    ) -> Downloaded:
        """Fetch the outputs of the ended jobs into a folder, as `Client.download_all` does."""
        return self.loop.run(
            self.core.download(to, names, template=template, force=force, on_progress=on_progress)
        )

    def kill(self, reason: str = "") -> ActionReply:
        """Kill all jobs of the submission for good."""
        return self.loop.run(self.core.kill(reason))

    def hold(self, reason: str = "") -> ActionReply:
        """Hold these jobs until they are released."""
        return self.loop.run(self.core.hold(reason))

    def release(self) -> ActionReply:
        """Release the held jobs, so that they run again."""
        return self.loop.run(self.core.release())

    def reschedule(self, reason: str = "") -> ActionReply:
        """Run all jobs again from the start, even ended ones."""
        return self.loop.run(self.core.reschedule(reason))

    def set(
        self, needs: Mapping[str, object] | None = None, *, priority: int | None = None
    ) -> ActionReply:
        """Change the needs and the priority of these jobs that are Waiting or Held."""
        return self.loop.run(self.core.set(needs, priority=priority))

    def retry(self, needs: Mapping[str, object] | None = None) -> ActionReply:
        """Run the Failed and Held jobs again, with changed needs."""
        return self.loop.run(self.core.retry(needs))

    def delete(self) -> ActionReply:
        """Hide the ended jobs from lists."""
        return self.loop.run(self.core.delete())


class JobGraph:
    """Jobs that wait for each other. Nothing is sent before `submit`."""

    def __init__(self, core: AsyncJobGraph, loop: LoopThread) -> None:
        self.core, self.loop = core, loop

    def __repr__(self) -> str:
        return repr(self.core)

    def add(self, job: JobLike, after: Iterable[GraphJob] = (), *, when: When = "ok") -> GraphJob:
        """Add a job that starts after other jobs of the graph, and return it.

        `when` is `ok`: they are Done; `any`: they have ended; or `fail`: they have ended, and at
        least one has failed.
        """
        return self.core.add(job, after, when=when)

    def link(self, job: GraphJob, after: Iterable[GraphJob], *, when: When = "ok") -> None:
        """Let a job start after more jobs of the graph."""
        self.core.link(job, after, when=when)

    def submit(
        self,
        *,
        key: str | None = None,
        name: str = "",
        group: str = "",
        running_max: int = 0,
        progress: OnProgress | None = None,
    ) -> SubmissionHandle:
        """Submit all jobs together, parents before their children. The arguments are as in
        `Client.submit`.

        Raises ValueError, with the names of the jobs, if some of them wait for each other.
        """
        return SubmissionHandle(
            self.loop.run(
                self.core.submit(
                    key=key, name=name, group=group, running_max=running_max, progress=progress
                )
            ),
            self.loop,
        )


def as_completed(
    handles: Iterable[JobHandle], timeout_s: float | None = None
) -> Iterator[JobHandle]:
    """Yield each handle once its job has ended. All handles belong to one client.

    Each job comes once, even if it is given twice. Raises TimedOut after `timeout_s` seconds, and
    JobsHeld if all remaining jobs are Held.
    """
    by_id = {handle.id: handle for handle in handles}
    if not by_id:
        return
    some = next(iter(by_id.values()))
    cores = [handle.core for handle in by_id.values()]
    for core in some.loop.iterate(as_completed_async(cores, timeout_s)):
        yield by_id[core.id]


class Client:
    """A client of a central.

    Without arguments it finds the central and the token as in `credentials`. Without an answer it
    retries a request for `patience_s` seconds, and calls `on_retry` before each retry.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        data: Path | None = None,
        patience_s: float = 30.0,
        on_retry: OnRetry | None = None,
        http: "httpx.AsyncBaseTransport | None" = None,
        pace: Pace | None = None,
    ) -> None:
        self.loop = LoopThread()
        self.core = AsyncClient(
            url, token, data=data, patience_s=patience_s, on_retry=on_retry, http=http, pace=pace
        )

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The URL of the central."""
        return self.core.url

    def close(self) -> None:
        """Close the connections. The client and its handles cannot be used afterwards."""
        self.loop.run(self.core.close())
        self.loop.close()

    def submit(
        self,
        jobs: JobLike | Iterable[JobLike] | None = None,
        *,
        template: JobLike | None = None,
        parameters: Iterable[ParameterSet] | None = None,
        key: str | None = None,
        name: str = "",
        group: str = "",
        running_max: int = 0,
        notify: Iterable[NotifyEvent | str] | str = "",
        progress: OnProgress | None = None,
    ) -> SubmissionHandle:
        """Submit jobs, all or none, and return once they are durable.

        Give either `jobs` (one or many), or a `template` with one job for each entry of
        `parameters`. The same `key` again gives the same jobs; without a key each call has its own,
        which also covers its retries. Long lists and iterators are streamed, and `progress` gets
        the number of sent jobs. `group` is for jobs without a group. At most `running_max` of the
        jobs run at once; 0: no limit. `notify` lists events to be notified of, such as `end,fail`.

        A path in `inputs` is a local file to upload, and a text in `outputs` a pattern.
        """
        return SubmissionHandle(
            self.loop.run(
                self.core.submit(
                    jobs,
                    template=template,
                    parameters=parameters,
                    key=key,
                    name=name,
                    group=group,
                    running_max=running_max,
                    notify=notify,
                    progress=progress,
                )
            ),
            self.loop,
        )

    def graph(self) -> JobGraph:
        """Return an empty graph of jobs, to which a program adds jobs before it submits all."""
        return JobGraph(self.core.graph(), self.loop)

    def upload(
        self, files: Iterable[LocalFile | Path | str] | LocalFile | Path | str
    ) -> list[Input]:
        """Upload files, or a single one, to the central. Return them as inputs of a job.

        Files that the central has are not sent again. A folder is sent as an archive, which the
        pilot unpacks. Raises Invalid, before anything is sent, if a file is too large.
        """
        return self.loop.run(self.core.upload(files))

    def job(self, id: int) -> JobHandle:
        """Return a handle of a job, without a request to the central."""
        return JobHandle(self.core.job(id), self.loop)

    def submission(self, id: int) -> SubmissionHandle:
        """Return a handle of an earlier submission. It reads the ids. Raises NotFound."""
        return SubmissionHandle(self.loop.run(self.core.submission(id)), self.loop)

    def page(
        self,
        filter: JobFilter | None = None,
        *,
        after: int = 0,
        limit: int = PAGE_MAX,
        since: float = 0.0,
    ) -> JobPage:
        """Return one page of jobs, in order of the id. `after` is the cursor of the last page.

        Jobs that ended before `since` (seconds since 1970) are left out.
        """
        return self.loop.run(self.core.page(filter, after=after, limit=limit, since=since))

    def search(self, filter: JobFilter | None = None) -> Iterator[JobView]:
        """Yield all matching jobs in order of the id."""
        return self.loop.iterate(self.core.search(filter))

    def table(self, filter: JobFilter | None = None) -> JobTable:
        """Return the matching jobs as a table for pandas, polars and notebooks."""
        return self.loop.run(self.core.table(filter))

    def count(self, filter: JobFilter) -> int:
        """Count the matching jobs. It reads all of them."""
        return self.loop.run(self.core.count(filter))

    def summary(self, by: SummaryBy = SummaryBy.STATE) -> Summary:
        """Count the jobs in each state, as a whole or by site, type, group or owner."""
        return self.loop.run(self.core.summary(by))

    def detail(self, job: int) -> JobDetail:
        """Return everything about one job."""
        return self.loop.run(self.core.detail(job))

    def history(self, job: int) -> History:
        """Return the history of a job, oldest first."""
        return self.loop.run(self.core.history(job))

    def explain(self, job: int | JobLike) -> Explanation:
        """Return why a job waits, or whether a job that is not submitted would fit."""
        return self.loop.run(self.core.explain(job))

    def log(
        self,
        job: int,
        stream: Stream = Stream.OUT,
        *,
        follow: bool = False,
        on_part: OnPart | None = None,
    ) -> Iterator[bytes]:
        """Yield the output of the payload so far; with `follow`, until the job has ended.

        Before the first byte, `on_part` gets the attempt and the number of missing bytes. The
        central keeps the last 10^6 bytes of an ended stream. The pilot of a running job sends its
        last 65,536 bytes, within 15 s. With `follow`, a Held job raises JobsHeld.
        """
        return self.loop.iterate(self.core.log(job, stream, follow=follow, on_part=on_part))

    def curve(self, job: int, *, epoch: int | None = None) -> Curve:
        """Return the usage of an attempt over time (default: the newest one with a curve)."""
        return self.loop.run(self.core.curve(job, epoch=epoch))

    def points(self, job: int) -> Iterator[CurvePoint]:
        """Yield the points of the resource curve of a job live, until the job has ended."""
        return self.loop.iterate(self.core.points(job))

    def peek(self, job: int, *, bytes: int = 4096, wait_s: float = 15.0) -> Peek:
        """Return the end of both streams of a job; for a running job, as it is now.

        `wait_s` is the time in seconds that its pilot has to send it.
        """
        return self.loop.run(self.core.peek(job, bytes=bytes, wait_s=wait_s))

    def kill(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Kill jobs for good. A running job ends when its pilot confirms it."""
        return self.loop.run(self.core.kill(ids, filter=filter, expected=expected, reason=reason))

    def hold(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Hold jobs until they are released."""
        return self.loop.run(self.core.hold(ids, filter=filter, expected=expected, reason=reason))

    def release(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Release held jobs, so that they run again."""
        return self.loop.run(
            self.core.release(ids, filter=filter, expected=expected, reason=reason)
        )

    def reschedule(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Run jobs again from the start, even ended ones."""
        return self.loop.run(
            self.core.reschedule(ids, filter=filter, expected=expected, reason=reason)
        )

    def delete(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Hide ended jobs from lists."""
        return self.loop.run(self.core.delete(ids, filter=filter, expected=expected, reason=reason))

    def prioritise(
        self,
        priority: int,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
    ) -> ActionReply:
        """Set the priority of unfinished jobs, from 0 to 10; higher runs earlier."""
        return self.loop.run(self.core.prioritise(priority, ids, filter=filter, expected=expected))

    def set(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        needs: Mapping[str, object] | None = None,
        priority: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Change the needs and the priority of Waiting and Held jobs.

        `needs` has the names of a job file: {"memory": "8GB", "sites": ["PIC"]}. A size or time
        can be a factor: {"wall": "x1.5"}.
        """
        return self.loop.run(
            self.core.set(
                ids, filter=filter, expected=expected, needs=needs, priority=priority, reason=reason
            )
        )

    def retry(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        needs: Mapping[str, object] | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Run Failed and Held jobs again, with changed needs: see `set`."""
        return self.loop.run(
            self.core.retry(ids, filter=filter, expected=expected, needs=needs, reason=reason)
        )

    def act(
        self,
        action: ActionName,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        priority: int | None = None,
        reason: str = "",
        key: str | None = None,
        needs: Mapping[str, object] | None = None,
        dry_run: bool = False,
    ) -> ActionReply:
        """Carry out an action on jobs with these ids, or on all jobs that match the filter.

        With a filter exactly `expected` jobs must match, else it raises CountChanged and does
        nothing. Without `expected` it counts them first. The same `key` again gives the same answer
        and does nothing; without a key each call has its own, which also covers its retries. A dry
        run answers what would be done, and does nothing.
        """
        return self.loop.run(
            self.core.act(
                action,
                ids,
                filter=filter,
                expected=expected,
                priority=priority,
                reason=reason,
                key=key,
                needs=needs,
                dry_run=dry_run,
            )
        )

    def events(self, *, submission: int | None = None, after: int | None = None) -> Iterator[Event]:
        """Yield events live. `after` is the number of the last event that you have seen.

        After a broken connection it continues with the event after the last one. An event of kind
        `gap` means that events were lost: read the jobs again.
        """
        return self.loop.iterate(self.core.events(submission=submission, after=after))

    def health(self) -> Health:
        """Return the health of the central."""
        return self.loop.run(self.core.health())

    def outputs(self, job: int) -> Outputs:
        """Return the files that a job kept."""
        return self.loop.run(self.core.outputs(job))

    def download(self, job: int, name: str, to: Path | str = ".", *, force: bool = False) -> Path:
        """Fetch an output into a file, or into a folder under its own name; return the path.

        The hash is verified: BadDownload means that nothing was written. A file with the same bytes
        stays. Raises FileThere for a file with other bytes, unless `force` is set.
        """
        return self.loop.run(self.core.download(job, name, to, force=force))

    def outputs_of(self, jobs: JobFilter | Iterable[int]) -> Iterator[JobOutputs]:
        """Yield jobs with the files that they kept, in order of the id. Unknown ids are omitted."""
        return self.loop.iterate(self.core.outputs_of(jobs))

    def download_all(
        self,
        jobs: JobFilter | Iterable[int],
        to: Path | str,
        *,
        names: Iterable[str] = (),
        template: str = EACH_JOB,
        force: bool = False,
        on_progress: OnBytes | None = None,
    ) -> Downloaded:
        """Fetch the outputs of ended jobs into a folder.

        `names` are names or patterns. `template` names the files, by default in a folder for each
        job; it may use {job}, {index} (place in the submission, from 1), {name}, and parameters.
        Nothing is written if two outputs clash (FilesClash) or if a file exists with other bytes
        (FileThere), unless `force` is set. Files with the same bytes stay, so a repeated call
        fetches only what lacks.
        """
        return self.loop.run(
            self.core.download_all(
                jobs, to, names=names, template=template, force=force, on_progress=on_progress
            )
        )

    def archive_all(
        self,
        jobs: JobFilter | Iterable[int],
        file: Path | str,
        *,
        names: Iterable[str] = (),
        template: str = EACH_JOB,
        force: bool = False,
        on_progress: OnBytes | None = None,
    ) -> Downloaded:
        """Fetch the outputs of ended jobs into a .tar.zst, .tar.gz or .tar, as `download_all` does.

        An existing archive raises FileThere, unless `force` is set. The order is that of the jobs.
        """
        return self.loop.run(
            self.core.archive_all(
                jobs, file, names=names, template=template, force=force, on_progress=on_progress
            )
        )

    def download_output(self, job: int, view: OutputView, target: Path) -> Path:
        """Fetch a listed output into a file. Raises FileThere for a file with other bytes."""
        return self.loop.run(self.core.download_output(job, view, target))

    def download_blob(self, sha256: str, target: Path) -> Path:
        """Fetch an uploaded input into a file. Raises FileThere for a file with other bytes."""
        return self.loop.run(self.core.download_blob(sha256, target))

    def series(
        self,
        *,
        step_s: int = 60,
        since: float | None = None,
        by: SeriesBy = SeriesBy.SITE,
        site: str = "",
        type: str = "",
    ) -> Series:
        """Return how many jobs waited, ran and ended, and their usage, in slots of `step_s`.

        `step_s` is 10, 60 or 600. `since` is in seconds since 1970 (default: as early as one answer
        can hold).
        """
        return self.loop.run(
            self.core.series(step_s=step_s, since=since, by=by, site=site, type=type)
        )

    def accounts(
        self,
        *,
        by: AccountsBy = AccountsBy.OWNER,
        since: float | None = None,
        until: float | None = None,
    ) -> Accounts:
        """Return what jobs have used in whole days, since the first day."""
        return self.loop.run(self.core.accounts(by=by, since=since, until=until))

    def usage(self) -> UsageView:
        """Return the usage and the limits of the quotas that the token may see."""
        return self.loop.run(self.core.usage())

    def set_quota(self, change: QuotaChange) -> UsageView:
        """Set or remove the quota of a community, a group or an owner; return the usage."""
        return self.loop.run(self.core.set_quota(change))

    def failures(
        self,
        *,
        site: str = "",
        group: str = "",
        owner: str = "",
        transformation: int | None = None,
        since: float | None = None,
    ) -> Failures:
        """Return failed attempts by class and site, since `since` (default: the last day)."""
        return self.loop.run(
            self.core.failures(
                site=site, group=group, owner=owner, transformation=transformation, since=since
            )
        )

    def failure_reports(
        self, *, transformation: int | None = None, since: float | None = None, most: int = 100
    ) -> list[ReportView]:
        """Return the newest reports of failover, newest first."""
        return self.loop.run(
            self.core.failure_reports(transformation=transformation, since=since, most=most)
        )

    def failure_report(self, report: int) -> ReportDetail:
        """Return one report of failover, with its text."""
        return self.loop.run(self.core.failure_report(report))

    def pilots(self, *, states: Iterable[PilotState] = (), site: str = "") -> Iterator[PilotView]:
        """Yield the pilots in order of their name."""
        return self.loop.iterate(self.core.pilots(states=states, site=site))

    def pilot(self, id: str) -> PilotView:
        """Return one pilot."""
        return self.loop.run(self.core.pilot(id))

    def explain_pilot(self, id: str) -> OfferExplanation:
        """Return why a pilot gets no job: the waiting jobs that each clause excludes."""
        return self.loop.run(self.core.explain_pilot(id))

    def pilot_log(
        self, filter: PilotLogFilter | None = None, *, last: int | None = None, follow: bool = False
    ) -> Iterator[PilotLogLine]:
        """Yield log lines of pilots: the `last` lines, or all lines since `since` of the filter.

        With `follow` it also yields new lines, without end. Users who are not operators must name a
        job.
        """
        return self.loop.iterate(self.core.pilot_log(filter, last=last, follow=follow))

    def drain(self, pilot: str) -> None:
        """Let a pilot finish its jobs, take no more, and end."""
        self.loop.run(self.core.drain(pilot))

    def kill_pilot(self, pilot: str, *, reason: str = "") -> PilotEnded:
        """End a pilot now. Its jobs are requeued."""
        return self.loop.run(self.core.kill_pilot(pilot, reason=reason))

    def secrets(self, request: SecretRequest) -> Secrets:
        """Make one-use secrets with which pilots register."""
        return self.loop.run(self.core.secrets(request))

    def sites(self) -> Sites:
        """Return the sites with their pilots, cores and jobs."""
        return self.loop.run(self.core.sites())

    def site(self, name: str) -> SiteDetail:
        """Return everything about one site."""
        return self.loop.run(self.core.site(name))

    def limits(self) -> LimitsView:
        """Return the shares and limits in force."""
        return self.loop.run(self.core.limits())

    def read_limits(self) -> LimitsView:
        """Reload shares and limits from the settings file of the central, and return them.

        Raises Invalid if the file is wrong; the old values then stay in force.
        """
        return self.loop.run(self.core.read_limits())

    def storages(self) -> StorageList:
        """Return all storages."""
        return self.loop.run(self.core.storages())

    def check_storage(self, storage: str) -> StorageCheck:
        """Try a storage with tokens as jobs get them. This may take minutes."""
        return self.loop.run(self.core.check_storage(storage))

    def storage(self, name: str) -> StorageView:
        """Return one storage."""
        return self.loop.run(self.core.storage(name))

    def rucio_servers(self) -> RucioList:
        """Return the Rucio servers of the community, and how far they are mirrored."""
        return self.loop.run(self.core.rucio_servers())

    def rucio_server(self, name: str) -> RucioView:
        """Return one Rucio server."""
        return self.loop.run(self.core.rucio_server(name))

    def compare_rucio(self, name: str) -> RucioView:
        """Compare all files of a Rucio server with the catalogue soon. Return its state now."""
        return self.loop.run(self.core.compare_rucio(name))

    def act_on_site(
        self,
        name: str,
        action: SiteActionName,
        *,
        element: str = "",
        host: str = "",
        reason: str = "",
        key: str | None = None,
    ) -> SiteDetail:
        """Ban, drain or enable a site, or one of its elements; return its new state.

        With `host`, enable lifts only the suspension of that host. The same `key` again changes
        nothing, at any time; without a key each call has its own, which also covers its retries.
        """
        return self.loop.run(
            self.core.act_on_site(name, action, element=element, host=host, reason=reason, key=key)
        )

    def check_site(
        self, name: str, *, element: str = "", timeout_s: float = 600.0
    ) -> Iterator[SiteCheck]:
        """Submit a probe pilot to each element of a site, and yield the progress of the check.

        The last item is `done`. It comes at the latest when `timeout_s` is over and the remaining
        pilots are cancelled.
        """
        return self.loop.iterate(self.core.check_site(name, element=element, timeout_s=timeout_s))

    def ban(self, person: str, *, issuer: str = "", reason: str = "") -> BanMade:
        """Ban a person from the whole central, and return the ban in force.

        The central refuses the person's requests at once, holds waiting jobs and kills running
        ones. `person` is the name that the central shows, or with `issuer` a subject of it.
        """
        return self.loop.run(self.core.ban(person, issuer=issuer, reason=reason))

    def unban(self, person: str, *, issuer: str = "") -> BanView:
        """Lift the ban of a person. The central releases the jobs that the ban held.

        Killed jobs stay Killed. Raises NotFound if the person is not banned.
        """
        return self.loop.run(self.core.unban(person, issuer=issuer))

    def bans(
        self, *, person: str = "", issuer: str = "", lifted: bool = False
    ) -> Iterator[BanView]:
        """Yield the bans of persons. With `lifted`, include bans that were lifted lately."""
        return self.loop.iterate(self.core.bans(person=person, issuer=issuer, lifted=lifted))

    def elements(self) -> Elements:
        """Return the compute elements to which the central submits, with their problems."""
        return self.loop.run(self.core.elements())

    def issue_token(self, request: TokenIssue) -> TokenIssued:
        """Issue a token. It cannot have more rights than the token of the caller."""
        return self.loop.run(self.core.issue_token(request))

    def tokens(self) -> Tokens:
        """Return the issued tokens, without the secrets."""
        return self.loop.run(self.core.tokens())

    def revoke_token(self, jti: str) -> None:
        """Revoke a token. The central refuses it from now on."""
        self.loop.run(self.core.revoke_token(jti))

    def whoami(self) -> WhoAmI:
        """Return the identity of the caller."""
        return self.loop.run(self.core.whoami())

    def sessions(self) -> Sessions:
        """Return the sessions of people who logged in, newest first."""
        return self.loop.run(self.core.sessions())

    def end_session(self, session: str) -> None:
        """End a session. The central refuses its tokens from now on."""
        self.loop.run(self.core.end_session(session))

    def find_files(
        self,
        query: Mapping[str, Any] | None = None,
        *,
        states: Iterable[FileState] = (FileState.AVAILABLE,),
    ) -> Iterator[FileView]:
        """Yield the files whose metadata meet a query, such as `{"run": {">=": 20}}`."""
        return self.loop.iterate(self.core.find_files(query, states=states))

    def file(self, did: str) -> FileDetail:
        """Return a file with its copies and datasets."""
        return self.loop.run(self.core.file(did))

    def register_files(self, files: Iterable[FileItem | Mapping[str, Any]]) -> ItemsReply:
        """Register files. Each file is accepted or refused by itself. Repeating changes nothing."""
        return self.loop.run(self.core.register_files(files))

    def replicas(self, dids: Iterable[str]) -> dict[str, list[ReplicaView]]:
        """Return the copies of these files. Unknown files are omitted."""
        return self.loop.run(self.core.replicas(dids))

    def set_metadata(
        self, dids: Iterable[str], metadata: Mapping[str, Any], *, remove: Iterable[str] = ()
    ) -> ItemsReply:
        """Set metadata keys of files, and remove other keys."""
        return self.loop.run(self.core.set_metadata(dids, metadata, remove=remove))

    def declare_replicas(
        self,
        dids: Iterable[str],
        storage: str,
        *,
        state: ReplicaState = ReplicaState.BAD,
        reason: str = "",
    ) -> ItemsReply:
        """Declare the state of copies. A file is Lost when its last good copy is corrupt."""
        return self.loop.run(self.core.declare_replicas(dids, storage, state=state, reason=reason))

    def remove_files(self, dids: Iterable[str]) -> ItemsReply:
        """Remove files from the catalogue. Their names stay taken.

        Their bytes are removed after `data.sweep_after_s`, from storages with `deletes: true`.
        """
        return self.loop.run(self.core.remove_files(dids))

    def file_changes(self, since: int = 0, *, limit: int = PAGE_MAX) -> ChangePage:
        """Return the files that changed after change number `since`, in order.

        Continue with the number of the last one.
        """
        return self.loop.run(self.core.file_changes(since, limit=limit))

    def lineage(
        self, did: str, direction: Direction = Direction.UP, *, limit: int = 100
    ) -> Lineage:
        """Return the jobs that produced a file (up), or the jobs that read it (down)."""
        return self.loop.run(self.core.lineage(did, direction, limit=limit))

    def make_dataset(self, did: str, metadata: Mapping[str, Any] | None = None) -> DatasetView:
        """Make a dataset. Files that are registered into it inherit its metadata."""
        return self.loop.run(self.core.make_dataset(did, metadata))

    def datasets(self) -> Iterator[DatasetView]:
        """Yield datasets in order of their names."""
        return self.loop.iterate(self.core.datasets())

    def act_on_dataset(
        self, dataset: str, action: DatasetActionName, dids: Iterable[str] = ()
    ) -> ItemsReply:
        """Open or close a dataset, or attach or detach files."""
        return self.loop.run(self.core.act_on_dataset(dataset, action, dids))

    def add_rule(
        self,
        storages: Iterable[str],
        *,
        did: str = "",
        query: Mapping[str, Any] | None = None,
        copies: int = 1,
    ) -> RuleView:
        """Keep `copies` copies of a file, of a dataset, or of the files that meet a query."""
        return self.loop.run(self.core.add_rule(storages, did=did, query=query, copies=copies))

    def rules(self) -> list[RuleView]:
        """Return all rules with their progress."""
        return self.loop.run(self.core.rules())

    def rule(self, id: int) -> RuleView:
        """Return one rule."""
        return self.loop.run(self.core.rule(id))

    def drop_rule(self, id: int) -> None:
        """Drop a rule. The copies stay."""
        self.loop.run(self.core.drop_rule(id))

    def retry_rule(self, id: int) -> RuleView:
        """Retry the failed copies of a rule, including stuck ones."""
        return self.loop.run(self.core.retry_rule(id))

    def sweep(self) -> SweepView:
        """Return counts of bytes that no catalogue entry needs: waiting, removed and failed."""
        return self.loop.run(self.core.sweep())

    def remnants(self, *, storage: str = "", all: bool = False) -> Iterator[RemnantView]:
        """Yield bytes that no catalogue entry needs: those due for removal, or `all`."""
        return self.loop.iterate(self.core.remnants(storage=storage, all=all))

    def outbox(self, *, clashes: bool = False) -> Iterator[OutboxEntry]:
        """Yield outputs that wait for a Rucio server, or those that it can never take."""
        return self.loop.iterate(self.core.outbox(clashes=clashes))

    def metadata_keys(self) -> KeyList:
        """Return all metadata keys with their types."""
        return self.loop.run(self.core.metadata_keys())

    def add_metadata_keys(self, keys: Mapping[str, KeyType]) -> KeyList:
        """Add metadata keys with their types."""
        return self.loop.run(self.core.add_metadata_keys(keys))

    def put_file(
        self,
        path: Path | str,
        did: str,
        *,
        storage: str = "",
        metadata: Mapping[str, Any] | None = None,
        datasets: Iterable[str] = (),
    ) -> FileDetail:
        """Store a local file on a storage, register it, and return its catalogue entry.

        Without `storage` it uses a default storage. Repeating changes nothing: a name with the same
        bytes stays as it is.
        """
        return self.loop.run(
            self.core.put_file(path, did, storage=storage, metadata=metadata, datasets=datasets)
        )

    def put_files(
        self,
        sources: Iterable[Path | str],
        target: str,
        *,
        recursive: bool = False,
        storage: str = "",
        metadata: Mapping[str, Any] | None = None,
        datasets: Iterable[str] = (),
        parallel: int = PARALLEL,
        on_progress: OnBytes | None = None,
    ) -> Iterator[StoredFile]:
        """Store local files, register each once it is whole, and yield it.

        Sources are files, patterns, and folders if `recursive`. The target is the name of a single
        file, or ends with `/` or `:` and stands before the names. Repeating skips stored files.

        Raises Invalid, FilesClash or NoStorage before the first byte is sent. Other failures do not
        stop the rest; they are raised at the end as NotStored.
        """
        return self.loop.iterate(
            self.core.put_files(
                sources,
                target,
                recursive=recursive,
                storage=storage,
                metadata=metadata,
                datasets=datasets,
                parallel=parallel,
                on_progress=on_progress,
            )
        )

    def get_file(
        self, did: str, to: Path | str, *, force: bool = False, on_progress: OnBytes | None = None
    ) -> Path:
        """Fetch a file into a folder or to a path, verify its checksums, and return the path.

        A text `to` that ends with `/` is a folder, which is made if it does not exist.
        A local file with the same bytes stays. Raises NoCopy, and FileThere for a local file with
        other bytes, unless `force` is set.
        """
        return self.loop.run(self.core.get_file(did, to, force=force, on_progress=on_progress))

    def get_files(
        self,
        names: Iterable[str],
        to: Path | str,
        *,
        query: Mapping[str, Any] | None = None,
        dataset: str = "",
        recursive: bool = False,
        force: bool = False,
        parallel: int = PARALLEL,
        on_progress: OnBytes | None = None,
    ) -> Iterator[Path]:
        """Fetch files into a folder, verify their checksums, and yield their paths.

        They are the files with these names or patterns of names, of the dataset, and those that
        meet the query. With `recursive` they keep the folders of their names; `SCOPE:FOLDER/` then
        means all files below. Repeating skips whole files, and continues partial ones.

        Raises FilesClash, FileThere and NotFound before the first byte. Failures of copies do not
        stop the others; they are raised at the end as NoCopy.
        """
        return self.loop.iterate(
            self.core.get_files(
                names,
                to,
                query=query,
                dataset=dataset,
                recursive=recursive,
                force=force,
                parallel=parallel,
                on_progress=on_progress,
            )
        )

    def get_found(
        self, query: Mapping[str, Any], to: Path | str, *, force: bool = False
    ) -> Iterator[Path]:
        """Fetch all files that meet a query into a folder, as `get_files` does."""
        return self.loop.iterate(self.core.get_found(query, to, force=force))

    def list_files(self, which: str) -> Iterator[FileCopies]:
        """Yield files with their copies: those of a dataset, or with a name or pattern of names.

        `SCOPE:` and `SCOPE:FOLDER/` stand for all files below. Raises NotFound if nothing has this
        name; a pattern may fit no file.
        """
        return self.loop.iterate(self.core.list_files(which))

    def data_usage(self, of: str = "") -> list[UsageRow]:
        """Return the files and bytes of a scope or a dataset (default: of each scope).

        A row without a storage counts each file once; the others count readable copies.
        """
        return self.loop.run(self.core.data_usage(of))

    def add_transformation(
        self,
        document: Transformation | Mapping[str, Any],
        *,
        start: bool = True,
        derived_from: int = 0,
    ) -> TransformationDetail:
        """Add a transformation. The same document again gives the same transformation.

        A mapping has the form of a file, with `needs` as a list.
        """
        return self.loop.run(
            self.core.add_transformation(document, start=start, derived_from=derived_from)
        )

    def preview_transformation(self, document: Transformation | Mapping[str, Any]) -> Preview:
        """Return the files that a transformation would take, and their groups."""
        return self.loop.run(self.core.preview_transformation(document))

    def transformations(
        self, *, states: Iterable[TransformationState] = ()
    ) -> Iterator[TransformationView]:
        """Yield transformations in order of their id."""
        return self.loop.iterate(self.core.transformations(states=states))

    def transformation(self, named: str | int) -> TransformationDetail:
        """Return everything about one transformation."""
        return self.loop.run(self.core.transformation(named))

    def transformation_files(
        self, named: str | int, *, states: Iterable[InputState] = ()
    ) -> Iterator[InputView]:
        """Yield the input files of a transformation in order of their registration."""
        return self.loop.iterate(self.core.transformation_files(named, states=states))

    def transformation_tasks(
        self, named: str | int, *, states: Iterable[TaskState] = ()
    ) -> Iterator[TaskView]:
        """Yield the tasks of a transformation in order of their number."""
        return self.loop.iterate(self.core.transformation_tasks(named, states=states))

    def wait_for_transformation(
        self, named: str | int, *, timeout_s: float | None = None, through_held: bool = False
    ) -> TransformationView:
        """Wait until a transformation has ended or is stuck, and return it.

        With `through_held` the method waits until it has ended. A transformation with inputs ends
        only after a person completes or stops it. Raises TimedOut; the transformation continues.
        """
        return self.loop.run(
            self.core.wait_for_transformation(named, timeout_s=timeout_s, through_held=through_held)
        )

    def act_on_transformation(
        self,
        named: str | int,
        action: TransformationActionName | str,
        *,
        reason: str = "",
        files: Iterable[str] = (),
        all: bool = False,
    ) -> TransformationDetail:
        """Pause, resume, flush or otherwise steer a transformation; return its new state.

        Replay, reset and refuse need `files`, as scope:name; reset also takes `all`. Replay is not
        retried, because it would process the files again: without an answer, check the files.
        """
        return self.loop.run(
            self.core.act_on_transformation(named, action, reason=reason, files=files, all=all)
        )

    def extend_transformation(
        self, named: str | int, more: int = 0, *, reason: str = ""
    ) -> TransformationDetail:
        """Add tasks; a transformation with inputs looks for inputs again instead.

        Retries of the call add the tasks once.
        """
        return self.loop.run(self.core.extend_transformation(named, more, reason=reason))

    def submit_production(
        self,
        flow: SubmittableWorkflow,
        *,
        name: str = "",
        title: str = "",
        priority: int | None = None,
        start: bool = True,
        reuse: bool = True,
        correct: bool = False,
    ) -> ProductionDetail:
        """Run a workflow on pilots. The same workflow with the same name is the same production.

        The method first uploads the files that the steps name. `name` replaces the name of the
        workflow. Without `reuse` all tasks run, even those with known results. `correct` replaces
        the definition of the production of this name: steps that differ run again.
        """
        return self.loop.run(
            self.core.submit_production(
                flow,
                name=name,
                title=title,
                priority=priority,
                start=start,
                reuse=reuse,
                correct=correct,
            )
        )

    def preview_production(
        self,
        flow: SubmittableWorkflow,
        *,
        name: str = "",
        title: str = "",
        priority: int | None = None,
        correct: bool = False,
    ) -> ProductionPreview:
        """Return the numbers of tasks and files of a workflow, with the files of the catalogue.

        With `correct` it may replace the definition of the production of this name.
        """
        return self.loop.run(
            self.core.preview_production(
                flow, name=name, title=title, priority=priority, correct=correct
            )
        )

    def add_production(self, production: NewProduction) -> ProductionDetail:
        """Add a production. Its files must have been uploaded."""
        return self.loop.run(self.core.add_production(production))

    def rerun_production(
        self, named: str | int, name: str, *, start: bool = True
    ) -> ProductionDetail:
        """Run the definition of a production again under another name, with all files."""
        return self.loop.run(self.core.rerun_production(named, name, start=start))

    def productions(self, *, states: Iterable[ProductionState] = ()) -> Iterator[ProductionView]:
        """Yield productions in order of their id."""
        return self.loop.iterate(self.core.productions(states=states))

    def production(self, named: str | int) -> ProductionDetail:
        """Return everything about one production."""
        return self.loop.run(self.core.production(named))

    def production_outputs(self, named: str | int) -> CwlOutputs:
        """Return the outputs of a production that runs a CWL document, and how it ended.

        While it runs, `status` is empty.
        """
        return self.loop.run(self.core.production_outputs(named))

    def wait_for_outputs(self, named: str | int, *, timeout_s: float | None = None) -> CwlOutputs:
        """Wait until the run of a CWL document has ended, and return its outputs.

        If its production ended before, `status` is empty. Raises TimedOut; the run continues.
        """
        return self.loop.run(self.core.wait_for_outputs(named, timeout_s=timeout_s))

    def download_production(self, named: str | int, to: Path | str = ".") -> dict[str, Any]:
        """Fetch the output files of a CWL document into a folder; return the outputs with paths.

        Files of the catalogue stay there. Raises FileThere for a file with other bytes.
        """
        return self.loop.run(self.core.download_production(named, to))

    def production_report(self, named: str | int) -> ProductionReport:
        """Return the report on a production: failures by step, and stuck files."""
        return self.loop.run(self.core.production_report(named))

    def wait_for_production(
        self, named: str | int, *, timeout_s: float | None = None, through_held: bool = False
    ) -> ProductionView:
        """Wait until a production has ended or is stuck, and return it.

        With `through_held` the method waits until it has ended. A production that takes files by a
        query ends only after a person completes it. Raises TimedOut; the production continues.
        """
        return self.loop.run(
            self.core.wait_for_production(named, timeout_s=timeout_s, through_held=through_held)
        )

    def act_on_production(
        self,
        named: str | int,
        action: ProductionActionName | str,
        *,
        step: str | None = None,
        problematic: bool = False,
        anyway: bool = False,
        priority: int | None = None,
        reason: str = "",
    ) -> ProductionDetail:
        """Start, pause, resume, fix or otherwise steer a production; return its new state.

        `step` is for fix and complete, `problematic` for fix, `priority` for priority. Without
        `anyway`, fix is refused if a step that takes all files would run on only some. Complete is
        refused for a step if earlier steps may still make files for it.
        """
        return self.loop.run(
            self.core.act_on_production(
                named,
                action,
                step=step,
                problematic=problematic,
                anyway=anyway,
                priority=priority,
                reason=reason,
            )
        )

    def extend_production(
        self,
        named: str | int,
        step: str | None = None,
        more: int = 0,
        *,
        anyway: bool = False,
        reason: str = "",
    ) -> ProductionDetail:
        """Add tasks to a step, or let a step that takes files look for files again.

        Without `anyway` it is refused if a later step that took all files would run on only the
        new ones. Retries of the call add the tasks once.
        """
        return self.loop.run(
            self.core.extend_production(named, step, more, anyway=anyway, reason=reason)
        )

    def jdl_context(self) -> JdlContext:
        """Return what the central says about JDL: platforms, factors, your scope and folder."""
        return self.loop.run(self.core.jdl_context())

    def submit_jdl(
        self,
        source: Path | str,
        *,
        folder: Path | str = ".",
        key: str | None = None,
        group: str = "",
        running_max: int = 0,
        progress: OnProgress | None = None,
    ) -> SubmissionHandle:
        """Submit the jobs of a description in JDL, all or none.

        `source` is a file, or the text itself: a str with `=`. Files of InputSandbox are looked up
        in `folder`. The other arguments are those of `submit`. Raises BadDescription with all
        mistakes; nothing is stored then.
        """
        return SubmissionHandle(
            self.loop.run(
                self.core.submit_jdl(
                    source,
                    folder=folder,
                    key=key,
                    group=group,
                    running_max=running_max,
                    progress=progress,
                )
            ),
            self.loop,
        )

    def notifications(self) -> NotificationsView:
        """Return your addresses, what you will be told, and the last deliveries."""
        return self.loop.run(self.core.notifications())

    def notify(
        self,
        *,
        submission: int | None = None,
        production: str | int = "",
        on: Iterable[NotifyEvent | str] | str = "end,fail",
    ) -> NotificationsView:
        """Be told of a submission or a production: `end`, `fail`, `half`; `none`: of nothing."""
        return self.loop.run(self.core.notify(submission=submission, production=production, on=on))

    def set_notification_addresses(
        self, *, mail: str | None = None, webhook: str | None = None
    ) -> NotificationsView:
        """Set the addresses of your notifications.

        None leaves an address as it is; an empty text removes it.
        """
        return self.loop.run(self.core.set_notification_addresses(mail=mail, webhook=webhook))
