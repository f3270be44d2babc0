"""The blocking front. `tests/docs/blocking_client.py` writes it: do not edit it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pilotage.proto.api.data import (
    ChangePage,
    DatasetActionName,
    DatasetView,
    Direction,
    FileDetail,
    FileItem,
    FileView,
    ItemsReply,
    KeyList,
    Lineage,
    ReplicaView,
    RuleView,
)
from pilotage.proto.api.explanations import Explanation, OfferExplanation
from pilotage.proto.api.failures import Failures, ReportDetail, ReportView
from pilotage.proto.api.jobs import (
    PAGE_MAX,
    Accounts,
    AccountsBy,
    ActionName,
    ActionReply,
    Curve,
    CurvePoint,
    Elements,
    Event,
    Health,
    History,
    IdRange,
    JobDetail,
    JobFilter,
    JobPage,
    JobView,
    Outputs,
    OutputView,
    Peek,
    PilotLogFilter,
    PilotLogLine,
    PilotView,
    SecretRequest,
    Secrets,
    Series,
    SeriesBy,
    Sites,
    Submitted,
    Summary,
    SummaryBy,
    TokenIssue,
    TokenIssued,
    Tokens,
    WhoAmI,
)
from pilotage.proto.api.productions import (
    NewProduction,
    ProductionActionName,
    ProductionDetail,
    ProductionPreview,
    ProductionReport,
    ProductionView,
)
from pilotage.proto.api.quotas import QuotaChange, UsageView
from pilotage.proto.api.remnants import RemnantView, SweepView
from pilotage.proto.api.sites import LimitsView, PilotEnded, SiteActionName, SiteCheck, SiteDetail
from pilotage.proto.api.storages import StorageList, StorageView
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
from pilotage.proto.documents.job import Input
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from .client import AsyncClient
from .files import FetchedOutput, LocalFile
from .handles import AsyncJobHandle, AsyncSubmissionHandle, as_completed_async
from .loop_thread import LoopThread
from .pace import Pace
from .submission_bodies import JobLike, OnProgress, Parameters
from .transport import OnRetry
from .waiting.job_output import OnPart
from .workflow_sources import SubmittableWorkflow

if TYPE_CHECKING:
    import httpx


class JobHandle:
    """One job. It holds the id alone; everything else is asked for when it is needed."""

    def __init__(self, core: AsyncJobHandle, loop: LoopThread) -> None:
        self.core, self.loop = core, loop

    @property
    def id(self) -> int:
        """Number of the job."""
        return self.core.id

    def __repr__(self) -> str:
        return repr(self.core)

    def detail(self) -> JobDetail:
        """Return everything of the job: its view, its description, outputs and usage."""
        return self.loop.run(self.core.detail())

    def view(self) -> JobView:
        """Return the job as a list shows it."""
        return self.loop.run(self.core.view())

    def state(self) -> JobState:
        """Return where the job stands now."""
        return self.loop.run(self.core.state())

    def wait(self, timeout_s: float | None = None, *, through_held: bool = False) -> JobView:
        """Return the job once it is Done, Failed or Killed. Raises TimedOut.

        A job that is Held raises JobsHeld, with the reason: it does not end before somebody
        releases it. `through_held` waits for that too.
        """
        return self.loop.run(self.core.wait(timeout_s, through_held=through_held))

    def events(self) -> Iterator[Event]:
        """Yield what happens to the job from now on, until it has ended."""
        return self.loop.iterate(self.core.events())

    def log(
        self, stream: Stream = Stream.OUT, *, follow: bool = False, on_part: OnPart | None = None
    ) -> Iterator[bytes]:
        """Yield what the payload wrote; with `follow` from its start until the job has ended.

        `on_part` hears before the first byte of which attempt it is and how much was left out.
        Who follows a job that is Held gets JobsHeld.
        """
        return self.loop.iterate(self.core.log(stream, follow=follow, on_part=on_part))

    def curve(self, *, epoch: int | None = None) -> Curve:
        """Return what an attempt used over time: the newest that has a curve, by default."""
        return self.loop.run(self.core.curve(epoch=epoch))

    def points(self) -> Iterator[CurvePoint]:
        """Yield the points of the resource curve as they come, until the job has ended."""
        return self.loop.iterate(self.core.points())

    def peek(self, *, bytes: int = 4096, wait_s: float = 15.0) -> Peek:
        """Return the last that the job wrote to its streams; while it runs, as it is now."""
        return self.loop.run(self.core.peek(bytes=bytes, wait_s=wait_s))

    def history(self) -> History:
        """Return what happened to the job, oldest first."""
        return self.loop.run(self.core.history())

    def outputs(self) -> list[OutputView]:
        """Return the files that were kept."""
        return self.loop.run(self.core.outputs())

    def download(self, name: str, to: Path | str = ".", *, force: bool = False) -> Path:
        """Fetch an output into a file, or into a folder under its own name; return the file.

        Raises FileThere for a file that is there with other bytes, unless `force` is set.
        """
        return self.loop.run(self.core.download(name, to, force=force))

    def explain(self) -> Explanation:
        """Return why the job waits."""
        return self.loop.run(self.core.explain())

    def kill(self, reason: str = "") -> ActionReply:
        """End the job for good."""
        return self.loop.run(self.core.kill(reason))

    def hold(self, reason: str = "") -> ActionReply:
        """Keep the job from running until it is released."""
        return self.loop.run(self.core.hold(reason))

    def release(self) -> ActionReply:
        """Let a held job run again."""
        return self.loop.run(self.core.release())

    def reschedule(self, reason: str = "") -> ActionReply:
        """Run the job again from the start, also when it has ended."""
        return self.loop.run(self.core.reschedule(reason))

    def delete(self) -> ActionReply:
        """Hide a job that has ended from lists."""
        return self.loop.run(self.core.delete())

    def prioritise(self, priority: int) -> ActionReply:
        """Set the priority, 0 to 10; higher runs earlier."""
        return self.loop.run(self.core.prioritise(priority))


class SubmissionHandle:
    """Jobs that were submitted together."""

    def __init__(self, core: AsyncSubmissionHandle, loop: LoopThread) -> None:
        self.core, self.loop = core, loop

    def __repr__(self) -> str:
        return repr(self.core)

    @property
    def id(self) -> int:
        """Number of the submission."""
        return self.core.id

    @property
    def count(self) -> int:
        """How many jobs it has."""
        return self.core.count

    @property
    def repeated(self) -> bool:
        """Whether the key was known, so that these are the jobs of the first call."""
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

    def states(self) -> dict[JobState, int]:
        """Count the jobs by state. It reads all of them."""
        return self.loop.run(self.core.states())

    def wait(
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
        return self.loop.run(
            self.core.wait(timeout_s, progress=progress, through_held=through_held)
        )

    def events(self) -> Iterator[Event]:
        """Yield what happens to these jobs from now on, for ever."""
        return self.loop.iterate(self.core.events())

    def kill(self, reason: str = "") -> ActionReply:
        """End all jobs of the submission for good."""
        return self.loop.run(self.core.kill(reason))

    def hold(self, reason: str = "") -> ActionReply:
        """Keep these jobs from running until they are released."""
        return self.loop.run(self.core.hold(reason))

    def release(self) -> ActionReply:
        """Let held jobs of the submission run again."""
        return self.loop.run(self.core.release())

    def reschedule(self, reason: str = "") -> ActionReply:
        """Run all jobs again from the start, also those that have ended."""
        return self.loop.run(self.core.reschedule(reason))

    def delete(self) -> ActionReply:
        """Hide the jobs that have ended from lists."""
        return self.loop.run(self.core.delete())


def as_completed(
    handles: Iterable[JobHandle], timeout_s: float | None = None
) -> Iterator[JobHandle]:
    """Yield each handle once its job has ended. All handles belong to one client.

    A job that is given twice comes once. Raises TimedOut when the next one does not end before
    `timeout_s` is over, and JobsHeld when all that are left are Held.
    """
    by_id = {handle.id: handle for handle in handles}
    if not by_id:
        return
    some = next(iter(by_id.values()))
    cores = [handle.core for handle in by_id.values()]
    for core in some.loop.iterate(as_completed_async(cores, timeout_s)):
        yield by_id[core.id]


class Client:
    """A central, as a submitter or an operator sees it.

    Without arguments it finds the central and the token as `credentials` says. `patience_s` is how
    long one request is repeated while there is no answer; `on_retry` hears of each repetition.
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
        """Where the central is."""
        return self.core.url

    def close(self) -> None:
        """Close the connections. Handles of this client are of no use afterwards."""
        self.loop.run(self.core.close())
        self.loop.close()

    def submit(
        self,
        jobs: JobLike | Iterable[JobLike] | None = None,
        *,
        template: JobLike | None = None,
        parameters: Iterable[Parameters] | None = None,
        key: str | None = None,
        name: str = "",
        group: str = "",
        running_max: int = 0,
        progress: OnProgress | None = None,
    ) -> SubmissionHandle:
        """Submit jobs, all or none, and return once they are durable.

        Either `jobs` (one or many), or a `template` with one job for each entry of `parameters`.
        The same `key` again gives the same jobs; without one each call has its own, which covers
        the repetitions of this call. Long lists, and what is no list, are streamed; `progress`
        hears how many jobs have been sent. `group` is for jobs that name none.
        At most `running_max` of the jobs run at once; with 0 that is not limited.
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
                    progress=progress,
                )
            ),
            self.loop,
        )

    def upload(self, files: Iterable[LocalFile | Path | str]) -> list[Input]:
        """Bring files to the central and return what a job says of them.

        Only what is not there yet travels. A folder goes as an archive that is unpacked.
        """
        return self.loop.run(self.core.upload(files))

    def job(self, id: int) -> JobHandle:
        """Return a handle of a job; nothing is asked yet."""
        return JobHandle(self.core.job(id), self.loop)

    def submission(self, id: int) -> SubmissionHandle:
        """Return a handle of an earlier submission; its ids are read. Raises NotFound."""
        return SubmissionHandle(self.loop.run(self.core.submission(id)), self.loop)

    def page(
        self, filter: JobFilter | None = None, *, after: int = 0, limit: int = PAGE_MAX
    ) -> JobPage:
        """Return one page of jobs, in order of the id; `after` is the cursor of the page before."""
        return self.loop.run(self.core.page(filter, after=after, limit=limit))

    def search(self, filter: JobFilter | None = None) -> Iterator[JobView]:
        """Yield all jobs that match, in order of the id, page by page."""
        return self.loop.iterate(self.core.search(filter))

    def count(self, filter: JobFilter) -> int:
        """Count the jobs that match by reading them: what an action on a filter expects."""
        return self.loop.run(self.core.count(filter))

    def summary(self, by: SummaryBy = SummaryBy.STATE) -> Summary:
        """Return how many jobs are in which state, as a whole or by site, type, group or owner."""
        return self.loop.run(self.core.summary(by))

    def detail(self, job: int) -> JobDetail:
        """Return everything of one job."""
        return self.loop.run(self.core.detail(job))

    def history(self, job: int) -> History:
        """Return what happened to a job, oldest first."""
        return self.loop.run(self.core.history(job))

    def explain(self, job: int | JobLike) -> Explanation:
        """Return why a job waits, or what a job that is not submitted would meet."""
        return self.loop.run(self.core.explain(job))

    def log(
        self,
        job: int,
        stream: Stream = Stream.OUT,
        *,
        follow: bool = False,
        on_part: OnPart | None = None,
    ) -> Iterator[bytes]:
        """Yield what the payload wrote; with `follow` from its start until the job has ended.

        `on_part` hears before the first byte of which attempt it is and how much was left out: of a
        stream that has ended the last 10^6 bytes are kept. Who follows a job that is Held gets
        JobsHeld: it writes nothing before it is released.
        """
        return self.loop.iterate(self.core.log(job, stream, follow=follow, on_part=on_part))

    def curve(self, job: int, *, epoch: int | None = None) -> Curve:
        """Return what an attempt used over time: the newest that has a curve, by default."""
        return self.loop.run(self.core.curve(job, epoch=epoch))

    def points(self, job: int) -> Iterator[CurvePoint]:
        """Yield the points of a job's resource curve as they come, until the job has ended."""
        return self.loop.iterate(self.core.points(job))

    def peek(self, job: int, *, bytes: int = 4096, wait_s: float = 15.0) -> Peek:
        """Return the last that a job wrote to its streams; while it runs, as it is now.

        `wait_s` is how long its pilot may take to say it.
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
        """End jobs for good. A running payload ends when its pilot says so."""
        return self.loop.run(self.core.kill(ids, filter=filter, expected=expected, reason=reason))

    def hold(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Keep jobs from running until they are released."""
        return self.loop.run(self.core.hold(ids, filter=filter, expected=expected, reason=reason))

    def release(
        self,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
        reason: str = "",
    ) -> ActionReply:
        """Let held jobs run again."""
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
        """Run jobs again from the start, also those that have ended."""
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
        """Hide jobs that have ended from lists."""
        return self.loop.run(self.core.delete(ids, filter=filter, expected=expected, reason=reason))

    def prioritise(
        self,
        priority: int,
        ids: Iterable[int] = (),
        *,
        filter: JobFilter | None = None,
        expected: int | None = None,
    ) -> ActionReply:
        """Set the priority of jobs that have not ended, 0 to 10; higher runs earlier."""
        return self.loop.run(self.core.prioritise(priority, ids, filter=filter, expected=expected))

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
    ) -> ActionReply:
        """Carry out an action on these ids, or on all that match the filter.

        With a filter nothing is done unless exactly `expected` jobs match (CountChanged); without
        `expected` they are counted first. The same `key` again gives the same answer and does
        nothing; without one each call has its own, which covers the repetitions of this call.
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
            )
        )

    def events(self, *, submission: int | None = None, after: int | None = None) -> Iterator[Event]:
        """Yield what happens, as it happens; `after` is the number of the last event seen.

        A broken connection is made anew, from the last event on. An event of kind `gap` says that
        some were lost: read the jobs that matter again.
        """
        return self.loop.iterate(self.core.events(submission=submission, after=after))

    def series(
        self,
        *,
        step_s: int = 60,
        since: float | None = None,
        by: SeriesBy = SeriesBy.SITE,
        site: str = "",
        type: str = "",
    ) -> Series:
        """Return how much waited, ran, ended and was used: 10 s, 60 s or 600 s a slot.

        `since` is in seconds since 1970; without it, as far back as one answer holds.
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
        """Return what jobs have used, from the first day on; whole days."""
        return self.loop.run(self.core.accounts(by=by, since=since, until=until))

    def usage(self) -> UsageView:
        """Return what is used of quotas, with the limits, as far as the token reaches."""
        return self.loop.run(self.core.usage())

    def set_quota(self, change: QuotaChange) -> UsageView:
        """Set or remove the quota of a community, a group or an owner; return what is used."""
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
        """Return what attempts failed of, by class and site; without `since` of the last day."""
        return self.loop.run(
            self.core.failures(
                site=site, group=group, owner=owner, transformation=transformation, since=since
            )
        )

    def failure_reports(
        self, *, transformation: int | None = None, since: float | None = None, most: int = 100
    ) -> list[ReportView]:
        """Return the newest reports of failover, the newest first."""
        return self.loop.run(
            self.core.failure_reports(transformation=transformation, since=since, most=most)
        )

    def failure_report(self, report: int) -> ReportDetail:
        """Return one report of failover, also as text."""
        return self.loop.run(self.core.failure_report(report))

    def issue_token(self, request: TokenIssue) -> TokenIssued:
        """Issue a token. Nobody hands out more than they have."""
        return self.loop.run(self.core.issue_token(request))

    def tokens(self) -> Tokens:
        """Return the tokens that were issued, without the tokens themselves."""
        return self.loop.run(self.core.tokens())

    def revoke_token(self, jti: str) -> None:
        """Make a token worthless from now on."""
        self.loop.run(self.core.revoke_token(jti))

    def whoami(self) -> WhoAmI:
        """Return as whom this client speaks."""
        return self.loop.run(self.core.whoami())

    def health(self) -> Health:
        """Return how the central is."""
        return self.loop.run(self.core.health())

    def outputs(self, job: int) -> Outputs:
        """Return the files that a job kept."""
        return self.loop.run(self.core.outputs(job))

    def download(self, job: int, name: str, to: Path | str = ".", *, force: bool = False) -> Path:
        """Fetch an output into a file, or into a folder under its own name; return the file.

        The hash is checked; nothing is left behind when it is wrong. A file that is there with the
        same bytes stays. Raises FileThere for one with other bytes, unless `force` is set.
        """
        return self.loop.run(self.core.download(job, name, to, force=force))

    def download_all(
        self,
        jobs: Iterable[int],
        to: Path | str,
        *,
        names: Iterable[str] = (),
        by_job: bool = False,
        force: bool = False,
    ) -> Iterator[FetchedOutput]:
        """Fetch the outputs of jobs into one folder, and yield each.

        With `names` only outputs of these names. With `by_job` each job has a folder of its own,
        named by its id. Nothing is written if two outputs clash (FilesClash), if a job has not kept
        a name (NotFound), or if a file is there with other bytes (FileThere) and no `force`.
        """
        return self.loop.iterate(
            self.core.download_all(jobs, to, names=names, by_job=by_job, force=force)
        )

    def pilots(self, *, states: Iterable[PilotState] = (), site: str = "") -> Iterator[PilotView]:
        """Yield pilots in order of their name."""
        return self.loop.iterate(self.core.pilots(states=states, site=site))

    def pilot(self, id: str) -> PilotView:
        """Return one pilot."""
        return self.loop.run(self.core.pilot(id))

    def explain_pilot(self, id: str) -> OfferExplanation:
        """Say why a pilot gets nothing: clause by clause the waiting jobs that it cannot run."""
        return self.loop.run(self.core.explain_pilot(id))

    def pilot_log(
        self, filter: PilotLogFilter | None = None, *, last: int | None = None, follow: bool = False
    ) -> Iterator[PilotLogLine]:
        """Yield what pilots have logged: the `last` lines, or with `since` all from then on.

        With `follow` also what comes, for ever. Who may see no more than jobs names one.
        """
        return self.loop.iterate(self.core.pilot_log(filter, last=last, follow=follow))

    def drain(self, pilot: str) -> None:
        """Let a pilot finish what it holds, and ask for nothing more."""
        self.loop.run(self.core.drain(pilot))

    def kill_pilot(self, pilot: str, *, reason: str = "") -> PilotEnded:
        """End a pilot now: it stops what it holds, and its jobs wait again."""
        return self.loop.run(self.core.kill_pilot(pilot, reason=reason))

    def secrets(self, request: SecretRequest) -> Secrets:
        """Make one-use secrets with which pilots register."""
        return self.loop.run(self.core.secrets(request))

    def sites(self) -> Sites:
        """Return what each site offers and has done."""
        return self.loop.run(self.core.sites())

    def site(self, name: str) -> SiteDetail:
        """Return everything of one site."""
        return self.loop.run(self.core.site(name))

    def limits(self) -> LimitsView:
        """Return the shares and limits in force."""
        return self.loop.run(self.core.limits())

    def read_limits(self) -> LimitsView:
        """Let the central read shares and limits of its settings' file again, and return them.

        Raises Invalid where the file is wrong: then they stay as they were.
        """
        return self.loop.run(self.core.read_limits())

    def storages(self) -> StorageList:
        """Return all storages."""
        return self.loop.run(self.core.storages())

    def storage(self, name: str) -> StorageView:
        """Return one storage."""
        return self.loop.run(self.core.storage(name))

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
        """Ban, drain or enable a site, or one of its elements; return what it is then.

        With `host`, enable lifts what is held against that host of the site alone. The same `key`
        again says nothing anew, however late it comes; without one each call has its own, which
        covers the repetitions of this call.
        """
        return self.loop.run(
            self.core.act_on_site(name, action, element=element, host=host, reason=reason, key=key)
        )

    def check_site(
        self, name: str, *, element: str = "", timeout_s: float = 600.0
    ) -> Iterator[SiteCheck]:
        """Submit a probe pilot to each element of a site; yield how far they have come.

        Ends with one that is done, after `timeout_s` and what taking the pilots back takes.
        """
        return self.loop.iterate(self.core.check_site(name, element=element, timeout_s=timeout_s))

    def elements(self) -> Elements:
        """Return the compute elements that get pilots from the central, and their troubles."""
        return self.loop.run(self.core.elements())

    def find_files(
        self,
        query: Mapping[str, Any] | None = None,
        *,
        states: Iterable[FileState] = (FileState.AVAILABLE,),
    ) -> Iterator[FileView]:
        """Yield files whose metadata meet a query, such as `{"run": {">=": 20}}`."""
        return self.loop.iterate(self.core.find_files(query, states=states))

    def file(self, did: str) -> FileDetail:
        """Return a file with its copies and datasets."""
        return self.loop.run(self.core.file(did))

    def register_files(self, files: Iterable[FileItem | Mapping[str, Any]]) -> ItemsReply:
        """Register files, each by itself; to repeat it changes nothing."""
        return self.loop.run(self.core.register_files(files))

    def replicas(self, dids: Iterable[str]) -> dict[str, list[ReplicaView]]:
        """Return the copies of those files that are there."""
        return self.loop.run(self.core.replicas(dids))

    def set_metadata(
        self, dids: Iterable[str], metadata: Mapping[str, Any], *, remove: Iterable[str] = ()
    ) -> ItemsReply:
        """Set keys of files, and remove some."""
        return self.loop.run(self.core.set_metadata(dids, metadata, remove=remove))

    def declare_replicas(
        self,
        dids: Iterable[str],
        storage: str,
        *,
        state: ReplicaState = ReplicaState.BAD,
        reason: str = "",
    ) -> ItemsReply:
        """Say how copies are: a file whose last good one is bad is lost."""
        return self.loop.run(self.core.declare_replicas(dids, storage, state=state, reason=reason))

    def remove_files(self, dids: Iterable[str]) -> ItemsReply:
        """Take files out of the catalogue; their names stay taken.

        Their bytes go later (`data.sweep_after_s`), from storages whose files say `deletes: true`.
        """
        return self.loop.run(self.core.remove_files(dids))

    def file_changes(self, since: int = 0, *, limit: int = PAGE_MAX) -> ChangePage:
        """Return files that have changed after a number, in order; ask again after the last."""
        return self.loop.run(self.core.file_changes(since, limit=limit))

    def lineage(
        self, did: str, direction: Direction = Direction.UP, *, limit: int = 100
    ) -> Lineage:
        """Return the jobs that a file came of (up), or that read it (down)."""
        return self.loop.run(self.core.lineage(did, direction, limit=limit))

    def make_dataset(self, did: str, metadata: Mapping[str, Any] | None = None) -> DatasetView:
        """Make a dataset; files that are registered into it have its metadata too."""
        return self.loop.run(self.core.make_dataset(did, metadata))

    def datasets(self) -> Iterator[DatasetView]:
        """Yield datasets in order of their names."""
        return self.loop.iterate(self.core.datasets())

    def act_on_dataset(
        self, dataset: str, action: DatasetActionName, dids: Iterable[str] = ()
    ) -> ItemsReply:
        """Open or close a dataset, attach or detach files."""
        return self.loop.run(self.core.act_on_dataset(dataset, action, dids))

    def add_rule(
        self,
        storages: Iterable[str],
        *,
        did: str = "",
        query: Mapping[str, Any] | None = None,
        copies: int = 1,
    ) -> RuleView:
        """Keep so many copies of a file, of a dataset, or of what meets a query."""
        return self.loop.run(self.core.add_rule(storages, did=did, query=query, copies=copies))

    def rules(self) -> list[RuleView]:
        """Return all rules, and how far they are."""
        return self.loop.run(self.core.rules())

    def rule(self, id: int) -> RuleView:
        """Return one rule."""
        return self.loop.run(self.core.rule(id))

    def drop_rule(self, id: int) -> None:
        """Drop a rule; copies stay."""
        self.loop.run(self.core.drop_rule(id))

    def retry_rule(self, id: int) -> RuleView:
        """Try copies anew that have failed, those that are stuck too."""
        return self.loop.run(self.core.retry_rule(id))

    def sweep(self) -> SweepView:
        """Return how many bytes that no file names any more wait, go, went and fail."""
        return self.loop.run(self.core.sweep())

    def remnants(self, *, storage: str = "", all: bool = False) -> Iterator[RemnantView]:
        """Yield bytes that no file names any more and that would go now; or `all` of them."""
        return self.loop.iterate(self.core.remnants(storage=storage, all=all))

    def metadata_keys(self) -> KeyList:
        """Return all metadata keys with their types."""
        return self.loop.run(self.core.metadata_keys())

    def add_metadata_keys(self, keys: Mapping[str, KeyType]) -> KeyList:
        """Make keys with their types before files have them."""
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
        """Store a file of this machine on a storage, register it, return what the catalogue has.

        Without a storage one is taken to which outputs go by default. To repeat it changes nothing:
        a name that is there with the same bytes stays as it is.
        """
        return self.loop.run(
            self.core.put_file(path, did, storage=storage, metadata=metadata, datasets=datasets)
        )

    def get_file(self, did: str, to: Path | str, *, force: bool = False) -> Path:
        """Fetch a file, checked, into a folder or as a file; return where it is.

        A file that is there with the same bytes stays. Raises NoCopy, and FileThere for one with
        other bytes, unless `force` lets it be replaced.
        """
        return self.loop.run(self.core.get_file(did, to, force=force))

    def get_found(
        self, query: Mapping[str, Any], to: Path | str, *, force: bool = False
    ) -> Iterator[Path]:
        """Fetch all files that meet a query into a folder, and yield where each is.

        Those that cannot be fetched are told at the end, as NoCopy or FileThere; the others are
        fetched. Raises FilesClash, before any is fetched, if two of them would be one file.
        """
        return self.loop.iterate(self.core.get_found(query, to, force=force))

    def add_transformation(
        self,
        document: Transformation | Mapping[str, Any],
        *,
        start: bool = True,
        derived_from: int = 0,
    ) -> TransformationDetail:
        """Add a transformation. The same document again gives the same transformation.

        A mapping is as in a file, with `needs` as a list.
        """
        return self.loop.run(
            self.core.add_transformation(document, start=start, derived_from=derived_from)
        )

    def preview_transformation(self, document: Transformation | Mapping[str, Any]) -> Preview:
        """Say which files a transformation would take and how it would group them."""
        return self.loop.run(self.core.preview_transformation(document))

    def transformations(
        self, *, states: Iterable[TransformationState] = ()
    ) -> Iterator[TransformationView]:
        """Yield transformations in order of their id."""
        return self.loop.iterate(self.core.transformations(states=states))

    def transformation(self, named: str | int) -> TransformationDetail:
        """Return everything of one transformation."""
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
        """Return a transformation once it is at its end, or goes on only when a person has looked.

        With `through_held` it is waited for even then. One with inputs ends only once somebody
        completes or stops it. Raises TimedOut; it goes on then.
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
        """Pause, resume, flush or otherwise steer a transformation; return what it is then.

        Replay, reset and refuse name `files`, as scope:name; reset also takes `all`. Replay is sent
        once: repeated when its files are Processed it would be one more. Without an answer look.
        """
        return self.loop.run(
            self.core.act_on_transformation(named, action, reason=reason, files=files, all=all)
        )

    def extend_transformation(
        self, named: str | int, more: int = 0, *, reason: str = ""
    ) -> TransformationDetail:
        """Ask for more tasks of one without inputs; one with inputs looks for these again.

        Repeated while there is no answer it asks for no more than once.
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
    ) -> ProductionDetail:
        """Run a workflow on pilots. The same again under its name is the same production.

        Files that its steps name are uploaded before; `name` stands in place of the workflow's.
        """
        return self.loop.run(
            self.core.submit_production(
                flow, name=name, title=title, priority=priority, start=start
            )
        )

    def preview_production(
        self,
        flow: SubmittableWorkflow,
        *,
        name: str = "",
        title: str = "",
        priority: int | None = None,
    ) -> ProductionPreview:
        """Say how many tasks and files a workflow would be, with the files of the catalogue."""
        return self.loop.run(
            self.core.preview_production(flow, name=name, title=title, priority=priority)
        )

    def add_production(self, production: NewProduction) -> ProductionDetail:
        """Add a production, of which all files have been uploaded."""
        return self.loop.run(self.core.add_production(production))

    def rerun_production(
        self, named: str | int, name: str, *, start: bool = True
    ) -> ProductionDetail:
        """Run the definition of a production anew under another name, with all of its files."""
        return self.loop.run(self.core.rerun_production(named, name, start=start))

    def productions(self, *, states: Iterable[ProductionState] = ()) -> Iterator[ProductionView]:
        """Yield productions in order of their id."""
        return self.loop.iterate(self.core.productions(states=states))

    def production(self, named: str | int) -> ProductionDetail:
        """Return everything of one production."""
        return self.loop.run(self.core.production(named))

    def production_report(self, named: str | int) -> ProductionReport:
        """Return how a production went: what failed in which step, what waits for whom."""
        return self.loop.run(self.core.production_report(named))

    def wait_for_production(
        self, named: str | int, *, timeout_s: float | None = None, through_held: bool = False
    ) -> ProductionView:
        """Return a production once it is at its end, or goes on only when a person has looked.

        With `through_held` it is waited for even then. One that takes files of the catalogue by a
        query ends only once somebody completes it. Raises TimedOut; it goes on then.
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
        """Start, pause, resume, fix or otherwise steer a production; return what it is then.

        `step` is for fix and complete, `problematic` for fix, `priority` for priority. Refused,
        unless `anyway`, where a fix would let a step that takes all files run of some alone,
        and where complete names a step while steps that feed it may still make files.
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
        """Ask a step for more tasks; one that takes files looks for these again.

        Refused, unless `anyway`, where a step below has run of all files and would run again of
        the new ones alone. Repeated while there is no answer it asks for no more than once.
        """
        return self.loop.run(
            self.core.extend_production(named, step, more, anyway=anyway, reason=reason)
        )
