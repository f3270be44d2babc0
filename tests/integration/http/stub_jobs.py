"""Stand for the services of jobs: they note what they are asked."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence

from pilotage.central.dispatch.control import JobControl
from pilotage.central.dispatch.explainer import Explainer
from pilotage.central.dispatch.service import Dispatch
from pilotage.central.dispatch.submissions.submissions import Submissions
from pilotage.central.identity.callers import AttemptCaller, Caller, PilotCaller, User
from pilotage.central.jobs.blobs.sandbox import Sandbox
from pilotage.central.jobs.feed import Feed
from pilotage.central.jobs.output.curve_view import JobInspector
from pilotage.central.jobs.output.followed_output import FollowService
from pilotage.central.jobs.output.stream_output import StreamContent
from pilotage.central.jobs.queries import Queries
from pilotage.proto import messages
from pilotage.proto.api import explanations, jobs
from pilotage.proto.api.jdl import JdlContext
from pilotage.proto.api.outputs import JobOutputs, OutputChoice, OutputsPage
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState

from .stub_calls import Hearing, override

SHA256 = "0" * 64
REPLY = messages.TurnReply(term=1)
VIEW = jobs.JobView(
    id=7,
    submission=1,
    name="",
    type="User",
    community="ctao",
    group="",
    owner="ada",
    state=JobState.WAITING,
)


async def _bytes(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


class StubSubmissions(Hearing, Submissions):
    """Takes any jobs."""

    @override
    async def submit(
        self, caller: User, body: jobs.Submission, *, body_hash: str
    ) -> jobs.Submitted:
        self.hear("submit", caller, (body, body_hash))
        return jobs.Submitted(submission=1, count=len(body.jobs), ids=[])

    @override
    async def stream(
        self,
        caller: User,
        header: jobs.Submission,
        lines: AsyncIterator[bytes],
        body_hash: Callable[[], str],
    ) -> jobs.Submitted:
        read = [line async for line in lines]
        self.hear("stream", caller, (header, read, body_hash()))
        return jobs.Submitted(submission=1, count=len(read), ids=[])


class StubQueries(Hearing, Queries):
    """Knows one job."""

    @override
    async def search(
        self,
        caller: Caller,
        wanted: jobs.JobFilter,
        after: int,
        limit: int,
        *,
        since: float = 0.0,
    ) -> jobs.JobPage:
        self.hear("search", caller, (wanted, after, limit))
        return jobs.JobPage(jobs=[VIEW])

    @override
    def jdl_context(self, caller: User) -> JdlContext:
        self.hear("jdl_context", caller, None)
        return JdlContext()

    @override
    async def summary(self, caller: Caller, filter_by: jobs.SummaryBy) -> jobs.Summary:
        self.hear("summary", caller, filter_by)
        return jobs.Summary(by=filter_by, total=0, rows=[])

    @override
    async def history(self, caller: Caller, job_id: int) -> jobs.History:
        self.hear("history", caller, job_id)
        return jobs.History(job=job_id, occurrences=[])

    @override
    async def outputs(self, caller: Caller, job_id: int) -> jobs.Outputs:
        self.hear("outputs", caller, job_id)
        return jobs.Outputs(job=job_id, outputs=[])

    @override
    async def outputs_of(
        self, caller: Caller, wanted: jobs.JobFilter, after: int, limit: int
    ) -> OutputsPage:
        self.hear("outputs_of", caller, (wanted, after, limit))
        return OutputsPage(jobs=[JobOutputs(view=VIEW)])

    @override
    async def chosen_outputs(self, caller: Caller, choice: OutputChoice) -> list[str | None]:
        self.hear("chosen_outputs", caller, choice)
        return [SHA256 for _ in choice.files]

    @override
    async def output(self, caller: Caller, job_id: int, name: str) -> jobs.OutputView:
        self.hear("output", caller, (job_id, name))
        return jobs.OutputView(name=name, size_bytes=4, sha256=SHA256, epoch=1)

    @override
    async def log(self, caller: Caller, job_id: int, stream: messages.Stream) -> StreamContent:
        self.hear("log", caller, (job_id, stream))
        return StreamContent(_bytes(b"hel", b"lo"), epoch=2, newest=3, left_out=5)

    @override
    async def follow(
        self, caller: Caller, job_id: int, stream: messages.Stream, *, pieces: bool = False
    ) -> StreamContent:
        self.hear("follow", caller, (job_id, stream))
        return StreamContent(_bytes(b"7 4\nlive" if pieces else b"live"), epoch=3, newest=3)

    @override
    async def job(self, caller: Caller, job_id: int) -> jobs.JobDetail:
        self.hear("job", caller, job_id)
        return jobs.JobDetail(view=VIEW, job=Job(command=("true",)))


class StubInspector(Hearing, JobInspector):
    """Shows empty curves and output."""

    @override
    async def curve(self, caller: Caller, job_id: int, epoch: int | None) -> jobs.Curve:
        self.hear("curve", caller, (job_id, epoch))
        return jobs.Curve(job=job_id)

    @override
    async def peek(
        self, caller: Caller, job_id: int, *, bytes_max: int, wait_s: float
    ) -> jobs.Peek:
        self.hear("peek", caller, (job_id, bytes_max, wait_s))
        return jobs.Peek(job=job_id)


class StubControl(Hearing, JobControl):
    """Acts on one job."""

    @override
    async def act(self, caller: Caller, action: jobs.Action) -> jobs.ActionReply:
        self.hear("act", caller, action)
        return jobs.ActionReply(done=1, unchanged=0)


class StubFollow(Hearing, FollowService):
    """Passes two words of output on."""

    @override
    async def follow(
        self, caller: Caller, job_id: int, stream: messages.Stream, *, pieces: bool = False
    ) -> StreamContent:
        self.hear("follow", caller, (job_id, stream))
        return StreamContent(_bytes(b"7 4\nlive" if pieces else b"live"), epoch=3, newest=3)

    @override
    async def chunk(self, caller: AttemptCaller | PilotCaller, c: messages.LogChunk) -> None:
        self.hear("chunk", caller, c)


class StubFeed(Hearing, Feed):
    """Sends the events that a test puts in."""

    @override
    async def subscribe(
        self,
        caller: User,
        *,
        submission: int | None,
        after: int | None,
        encode: Callable[[jobs.Event], bytes],
    ) -> AsyncIterator[bytes]:
        self.hear("subscribe", caller, (submission, after))
        self.calls.subscribed += 1
        try:
            while True:
                yield encode(await self.calls.events.get())
        finally:
            self.calls.subscribed -= 1


class StubDispatch(Hearing, Dispatch):
    """Has no jobs for pilots."""

    @override
    async def turn(self, caller: PilotCaller, m: messages.Turn) -> messages.TurnReply:
        self.hear("turn", caller, m)
        return REPLY

    @override
    async def beat(self, caller: PilotCaller, m: messages.Beat) -> messages.BeatAnswer:
        self.hear("beat", caller, m)
        return messages.BeatAnswer(n=m.n, term=1)


class StubExplainer(Hearing, Explainer):
    """Explains with zeros."""

    @override
    async def job(self, caller: Caller, job_id: int) -> explanations.Explanation:
        self.hear("explain", caller, job_id)
        return explanations.Explanation(job=job_id, state="Waiting", offers=0, fitting=0)

    @override
    async def unsubmitted(self, caller: Caller, job: Job) -> explanations.Explanation:
        self.hear("unsubmitted", caller, job)
        return explanations.Explanation(job=None, state="", offers=0, fitting=0)

    @override
    async def pilot(self, caller: Caller, pilot: str) -> explanations.OfferExplanation:
        self.hear("explain_pilot", caller, pilot)
        return explanations.OfferExplanation(pilot=pilot, waiting=0, fitting=0)


class StubSandbox(Hearing, Sandbox):
    """Has every file, of four bytes."""

    file_bytes_max: int = 1 << 30

    @override
    async def put(
        self,
        caller: Caller,
        sha256: str,
        chunks: AsyncIterator[bytes],
        length: int | None,
    ) -> jobs.Blob:
        content = b"".join([chunk async for chunk in chunks])
        self.hear("put", caller, (sha256, content, length))
        return jobs.Blob(sha256=sha256, size_bytes=len(content))

    @override
    async def missing(self, caller: Caller, query: jobs.BlobQuery, /) -> jobs.BlobAnswer:
        self.hear("missing", caller, query)
        return jobs.BlobAnswer(missing=list(query.sha256))

    @override
    async def read(self, caller: Caller, sha256: str, /) -> tuple[int, AsyncIterator[bytes]]:
        self.hear("read", caller, sha256)
        return 4, _bytes(b"ab", b"cd")

    @override
    async def bundle(self, caller: User, hashes: Sequence[str | None]) -> AsyncGenerator[bytes]:
        self.hear("bundle", caller, hashes)
        for part in (b"4\nab", b"cd"):
            yield part
