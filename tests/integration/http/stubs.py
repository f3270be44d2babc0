"""Services that answer something fixed and remember what they were asked."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pilotage.central.accounts.disk_room import DiskRoom
from pilotage.central.app.route_assembly import Services
from pilotage.central.errors import Refused
from pilotage.central.identity import derived_secrets, keys
from pilotage.central.identity.callers import AttemptCaller, PilotCaller, User
from pilotage.central.identity.tokens import TokenIssuer
from pilotage.central.jobs.output.stream_output import StreamContent
from pilotage.central.observe.events import no_log
from pilotage.proto import messages
from pilotage.proto.api import explanations, jobs
from pilotage.proto.api.failures import Failures, ReportDetail, ReportPage, ReportView
from pilotage.proto.api.quotas import QuotaChange, UsageView
from pilotage.proto.api.sites import (
    LimitsView,
    PilotEnd,
    PilotEnded,
    SiteAction,
    SiteCheck,
    SiteCheckRequest,
    SiteDetail,
)
from pilotage.proto.api.storages import StorageList, StorageView
from pilotage.proto.documents.job import Job
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.problems import Code
from tests.fake_central import FakeClock, FakeDisk, FakeRandomness
from tests.memory_store import MemoryStore
from tests.unit.auth.token_store import DATA

from .stub_bans import StubBans
from .stub_data import StubData, StubRules, StubSweeps
from .stub_productions import StubProductions
from .stub_transformations import StubTransformations

ISSUER = "https://central.test"
AUDIENCE = "pilotage"
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
PILOT = jobs.PilotView(
    id="p1",
    community="ctao",
    site="PIC",
    element="local",
    host="n1",
    state=PilotState.RUNNING,
    session=1,
)


async def _bytes(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


@dataclass
class Stub:
    """All services in one; `asked` has (name, caller, what) of each call."""

    asked: list[tuple[str, Any, Any]] = field(default_factory=list[tuple[str, Any, Any]])
    events: asyncio.Queue[jobs.Event] = field(default_factory=lambda: asyncio.Queue(maxsize=100))
    subscribed: int = 0
    is_ready: bool = True
    refusal: Refused | None = None
    bug: Exception | None = None

    def _hear(self, name: str, caller: Any, what: Any) -> None:
        self.asked.append((name, caller, what))
        if self.refusal is not None:
            raise self.refusal
        if self.bug is not None:
            raise self.bug

    # -- submissions ----------------------------------------------------------------------------

    async def submit(
        self, caller: User, body: jobs.Submission, /, *, body_hash: str
    ) -> jobs.Submitted:
        self._hear("submit", caller, (body, body_hash))
        return jobs.Submitted(submission=1, count=len(body.jobs), ids=[])

    async def stream(
        self,
        caller: User,
        header: jobs.Submission,
        lines: AsyncIterator[bytes],
        body_hash: Callable[[], str],
        /,
    ) -> jobs.Submitted:
        read = [line async for line in lines]
        self._hear("stream", caller, (header, read, body_hash()))
        return jobs.Submitted(submission=1, count=len(read), ids=[])

    # -- queries --------------------------------------------------------------------------------

    async def search(
        self, caller: User, filter: jobs.JobFilter, after: int, limit: int, /
    ) -> jobs.JobPage:
        self._hear("search", caller, (filter, after, limit))
        return jobs.JobPage(jobs=[VIEW])

    async def summary(self, caller: User, filter_by: jobs.SummaryBy, /) -> jobs.Summary:
        self._hear("summary", caller, filter_by)
        return jobs.Summary(by=filter_by, total=0, rows=[])

    async def history(self, caller: User, job_id: int, /) -> jobs.History:
        self._hear("history", caller, job_id)
        return jobs.History(job=job_id, occurrences=[])

    async def curve(self, caller: User, job_id: int, epoch: int | None, /) -> jobs.Curve:
        self._hear("curve", caller, (job_id, epoch))
        return jobs.Curve(job=job_id)

    async def peek(
        self, caller: User, job_id: int, /, *, bytes_max: int, wait_s: float
    ) -> jobs.Peek:
        self._hear("peek", caller, (job_id, bytes_max, wait_s))
        return jobs.Peek(job=job_id)

    async def outputs(self, caller: User, job_id: int, /) -> jobs.Outputs:
        self._hear("outputs", caller, job_id)
        return jobs.Outputs(job=job_id, outputs=[])

    async def output(self, caller: User, job_id: int, name: str, /) -> jobs.OutputView:
        self._hear("output", caller, (job_id, name))
        return jobs.OutputView(name=name, size_bytes=4, sha256=SHA256, epoch=1)

    async def log(self, caller: User, job_id: int, stream: messages.Stream, /) -> StreamContent:
        self._hear("log", caller, (job_id, stream))
        return StreamContent(_bytes(b"hel", b"lo"), epoch=2, newest=3, left_out=5)

    # -- control, logs, feed, health ------------------------------------------------------------

    async def act(self, caller: User, action: jobs.Action, /) -> jobs.ActionReply:
        self._hear("act", caller, action)
        return jobs.ActionReply(done=1, unchanged=0)

    async def follow(
        self, caller: User, job_id: int, stream: messages.Stream, /, *, pieces: bool = False
    ) -> StreamContent:
        self._hear("follow", caller, (job_id, stream))
        return StreamContent(_bytes(b"7 4\nlive" if pieces else b"live"), epoch=3, newest=3)

    async def chunk(self, caller: AttemptCaller | PilotCaller, c: messages.LogChunk, /) -> None:
        self._hear("chunk", caller, c)

    async def subscribe(
        self,
        caller: User,
        /,
        *,
        submission: int | None,
        after: int | None,
        encode: Callable[[jobs.Event], bytes],
    ) -> AsyncIterator[bytes]:
        self._hear("subscribe", caller, (submission, after))
        self.subscribed += 1
        try:
            while True:
                yield encode(await self.events.get())
        finally:
            self.subscribed -= 1

    def health(self) -> jobs.Health:
        return jobs.Health(
            status="ok",
            version="0",
            gen="g",
            jobs_waiting=0,
            attempts=0,
            pilots=0,
            bus="down",
            uptime_s=1.0,
        )

    def ready(self) -> jobs.Readiness:
        return jobs.Readiness(ready=self.is_ready, loaded=self.is_ready, store="ok", bus="up")

    async def page(self, requests: Mapping[tuple[str, int], int], /) -> str:
        return f"requests {sum(requests.values())}\n"

    # -- series ---------------------------------------------------------------------------------

    async def series(
        self,
        caller: User,
        /,
        *,
        step_s: int,
        since: float | None,
        by: jobs.SeriesBy,
        site: str,
        type: str,
    ) -> jobs.Series:
        self._hear("series", caller, (step_s, since, by, site, type))
        return jobs.Series(step_s=step_s, at=[], lines=[])

    async def accounts(
        self, caller: User, /, *, by: jobs.AccountsBy, since: float | None, until: float | None
    ) -> jobs.Accounts:
        self._hear("accounts", caller, (by, since, until))
        return jobs.Accounts(by=by, lines=[])

    async def usage(self, caller: User, /) -> UsageView:
        self._hear("usage", caller, None)
        return UsageView(rows=[])

    async def change(self, caller: User, asked: QuotaChange, /) -> UsageView:
        self._hear("change", caller, asked)
        return UsageView(rows=[])

    async def failures(
        self,
        caller: User,
        /,
        *,
        site: str,
        group: str,
        owner: str,
        transformation: int | None,
        since: float | None,
    ) -> Failures:
        self._hear("failures", caller, (site, group, owner, transformation, since))
        return Failures(since="1970-01-01T00:00:00Z", lines=[])

    # -- dispatch -------------------------------------------------------------------------------

    async def turn(self, caller: PilotCaller, m: messages.Turn, /) -> messages.TurnReply:
        self._hear("turn", caller, m)
        return REPLY

    async def beat(self, caller: PilotCaller, m: messages.Beat, /) -> messages.BeatAnswer:
        self._hear("beat", caller, m)
        return messages.BeatAnswer(n=m.n, term=1)


class StubJobs(Stub):
    """`job` and `list` mean several things: each meaning has its class."""

    async def job(self, caller: User, job_id: int, /) -> jobs.JobDetail:
        self._hear("job", caller, job_id)
        return jobs.JobDetail(view=VIEW, job=Job(command=("true",)))


@dataclass
class StubReports:
    stub: Stub

    async def reports(
        self,
        caller: User,
        /,
        *,
        transformation: int | None,
        since: float | None,
        before: int | None,
        limit: int,
    ) -> ReportPage:
        self.stub.asked.append(("reports", caller, (transformation, since, before, limit)))
        return ReportPage(reports=[])

    async def report(self, caller: User, report: int, /) -> ReportDetail:
        self.stub.asked.append(("report", caller, report))
        view = ReportView(
            id=report, at="1970-01-01T00:00:00Z", transformation=5, name="t", cycle=1,
            cause="payload", title="t: 1 failure", saved=1, stuck=0,
        )  # fmt: skip
        return ReportDetail(view=view, text="", report={})


@dataclass
class StubExplainer:
    stub: Stub

    async def job(self, caller: User, job_id: int, /) -> explanations.Explanation:
        self.stub.asked.append(("explain", caller, job_id))
        return explanations.Explanation(job=job_id, state="Waiting", offers=0, fitting=0)

    async def unsubmitted(self, caller: User, job: Job, /) -> explanations.Explanation:
        self.stub.asked.append(("unsubmitted", caller, job))
        return explanations.Explanation(job=None, state="", offers=0, fitting=0)

    async def pilot(self, caller: User, pilot: str, /) -> explanations.OfferExplanation:
        self.stub.asked.append(("explain_pilot", caller, pilot))
        return explanations.OfferExplanation(pilot=pilot, waiting=0, fitting=0)


@dataclass
class StubPilots:
    stub: Stub

    async def register(self, m: messages.Register, /) -> messages.Registered:
        if m.secret == "wrong":
            raise Refused(Code.BAD_TOKEN, "this bootstrap secret is unknown, expired or used")
        return self._registered(1)

    async def hello(self, m: messages.Hello, /) -> messages.Registered:
        return self._registered(2)

    def _registered(self, session: int) -> messages.Registered:
        return messages.Registered(
            pilot="p1",
            community="ctao",
            site="PIC",
            element="local",
            gen="g",
            session=session,
            token="t",
            expires_in_s=60.0,
            renewal_secret="r",
        )

    async def token(self, m: messages.TokenRequest, /) -> messages.TokenReply:
        return messages.TokenReply(token="t", expires_in_s=60.0)

    async def make_secrets(self, caller: User, r: jobs.SecretRequest, /) -> jobs.Secrets:
        self.stub.asked.append(("make_secrets", caller, r))
        return jobs.Secrets(secrets=[])

    async def list(
        self, caller: User, /, *, states: tuple[PilotState, ...], site: str, after: str, limit: int
    ) -> jobs.PilotPage:
        self.stub.asked.append(("pilots", caller, (states, site, after, limit)))
        return jobs.PilotPage(pilots=[PILOT])

    async def get(self, caller: User, pilot: str, /) -> jobs.PilotView:
        self.stub.asked.append(("pilot", caller, pilot))
        return PILOT

    async def drain(self, caller: User, pilot: str, /) -> None:
        self.stub.asked.append(("drain", caller, pilot))

    async def kill(self, caller: User, pilot: str, order: PilotEnd, /) -> PilotEnded:
        self.stub.asked.append(("kill_pilot", caller, (pilot, order)))
        return PilotEnded(pilot=pilot, state=PilotState.DRAINING, told=True)


@dataclass
class StubStorages:
    stub: Stub

    async def all(self, caller: User, /) -> StorageList:
        self.stub.asked.append(("storages", caller, None))
        return StorageList(storages=[])

    async def show(self, caller: User, name: str, /) -> StorageView:
        self.stub.asked.append(("storage", caller, name))
        return StorageView(name=name)


@dataclass
class StubLimits:
    stub: Stub

    async def show(self, caller: User, /) -> LimitsView:
        self.stub.asked.append(("limits", caller, None))
        return LimitsView(shares={}, limits=())

    async def read(self, caller: User, /) -> LimitsView:
        self.stub.asked.append(("read_limits", caller, None))
        return LimitsView(shares={}, limits=())


@dataclass
class StubSites:
    stub: Stub

    async def all(self, caller: User, /) -> jobs.Sites:
        self.stub.asked.append(("sites", caller, None))
        return jobs.Sites(sites=[])

    async def show(self, caller: User, site: str, /) -> SiteDetail:
        self.stub.asked.append(("site", caller, site))
        return _site(site)

    async def act(self, caller: User, site: str, action: SiteAction, /) -> SiteDetail:
        self.stub.asked.append(("site_action", caller, (site, action)))
        return _site(site)


def _site(name: str) -> SiteDetail:
    view = jobs.SiteView(site=name, pilots=0, cores=0, cores_free=0, running=0, done=0, failed=0)
    return SiteDetail(view=view)


@dataclass
class StubElements:
    stub: Stub

    async def elements(self, caller: User, /) -> jobs.Elements:
        self.stub.asked.append(("elements", caller, None))
        return jobs.Elements(elements=[])

    async def check(self, caller: User, site: str, request: SiteCheckRequest, /) -> SiteCheck:
        self.stub.asked.append(("check", caller, (site, request)))
        return SiteCheck(check="c1", site=site, done=False, ok=False)

    async def checked(self, caller: User, name: str, /) -> SiteCheck:
        self.stub.asked.append(("checked", caller, name))
        return SiteCheck(check=name, site="PIC", done=True, ok=True)


@dataclass
class StubPilotLogs:
    stub: Stub

    async def keep(self, caller: PilotCaller, m: messages.PilotLog, /) -> messages.PilotLogKept:
        self.stub.asked.append(("keep_log", caller, m))
        return messages.PilotLogKept(n=1)

    async def read(
        self, caller: User, wanted: jobs.PilotLogFilter, after: int | None, limit: int, /
    ) -> jobs.PilotLogPage:
        self.stub.asked.append(("read_log", caller, (wanted, after, limit)))
        return jobs.PilotLogPage(lines=[], after=0, more=False)


@dataclass
class StubSandbox:
    stub: Stub
    file_bytes_max: int = 1 << 30

    async def put(
        self,
        caller: User | AttemptCaller,
        sha256: str,
        chunks: AsyncIterator[bytes],
        length: int | None,
        /,
    ) -> jobs.Blob:
        content = b"".join([chunk async for chunk in chunks])
        self.stub.asked.append(("put", caller, (sha256, content, length)))
        return jobs.Blob(sha256=sha256, size_bytes=len(content))

    async def missing(
        self, caller: User | AttemptCaller, query: jobs.BlobQuery, /
    ) -> jobs.BlobAnswer:
        self.stub.asked.append(("missing", caller, query))
        return jobs.BlobAnswer(missing=list(query.sha256))

    async def read(
        self, caller: User | AttemptCaller, sha256: str, /
    ) -> tuple[int, AsyncIterator[bytes]]:
        self.stub.asked.append(("read", caller, sha256))
        return 4, _bytes(b"ab", b"cd")


class StubSpace:
    """A disk with as much room as the test says, of 1 GB; None: nobody can tell."""

    free: int | None = None

    async def read(self) -> tuple[int, int] | None:
        return None if self.free is None else (self.free, 1_000_000_000)


@dataclass
class World:
    """A central's face on stubs, with real tokens on a fake clock."""

    stub: StubJobs
    tokens: TokenIssuer
    clock: FakeClock
    services: Services
    disk: FakeDisk
    sandbox: StubSandbox
    space: StubSpace

    def user(self, token: str) -> User:
        caller = self.tokens.caller(token)
        assert isinstance(caller, User)
        return caller

    async def admin_token(self) -> str:
        path = DATA / "admin.token"
        await self.tokens.write_admin_token(path, disk=self.disk)
        return self.disk.files[path].decode().strip()


def build() -> World:
    clock, disk, randomness = FakeClock(), FakeDisk(), FakeRandomness(1)
    tokens = TokenIssuer(
        signing=keys.load(DATA, disk=disk, clock=clock, randomness=randomness),
        derived=derived_secrets.load(DATA, disk=disk, randomness=randomness),
        store=MemoryStore(clock_wall=clock.wall),
        clock=clock,
        randomness=randomness,
        issuer=ISSUER,
        audience=AUDIENCE,
    )
    stub = StubJobs()
    sandbox, space = StubSandbox(stub), StubSpace()
    by_name: dict[str, Any] = {
        "submissions": stub,
        "queries": stub,
        "looking": stub,
        "control": stub,
        "pilots": StubPilots(stub),
        "sites": StubSites(stub),
        "limits": StubLimits(stub),
        "storages": StubStorages(stub),
        "data": StubData(stub),
        "rules": StubRules(stub),
        "sweeps": StubSweeps(stub),
        "elements": StubElements(stub),
        "pilot_logs": StubPilotLogs(stub),
        "dispatch": stub,
        "sandbox": sandbox,
        "logs": stub,
        "feed": stub,
        "explainer": StubExplainer(stub),
        "series": stub,
        "quotas": stub,
        "room": DiskRoom(space, clock, no_log, reserve_mb=100.0),
        "tokens": tokens,
        "bans": StubBans(stub),
        "transformations": StubTransformations(stub),
        "productions": StubProductions(stub),
        "reports": StubReports(stub),
        "health": stub,
        "metrics": stub,
    }
    services = Services(**by_name)
    return World(stub, tokens, clock, services, disk, sandbox, space)
