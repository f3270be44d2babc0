"""The services that the faces call, as the faces see them.

`app.py` joins the real ones; tests join stubs. Every method may raise `errors.Refused`.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pilotage.proto import (
    api,
    api_data,
    api_explain,
    api_productions,
    api_quotas,
    api_remnants,
    api_transformations,
    messages,
)
from pilotage.proto.api_failures import Failures, ReportDetail, ReportPage
from pilotage.proto.api_sites import (
    LimitsView,
    PilotEnd,
    PilotEnded,
    SiteAction,
    SiteCheck,
    SiteCheckRequest,
    SiteDetail,
)
from pilotage.proto.api_storages import StorageList, StorageView
from pilotage.proto.job import Job
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from .identity.callers import AttemptCaller, Caller, PilotCaller, User


class Submissions(Protocol):
    async def submit(
        self, caller: User, body: api.Submission, /, *, body_hash: str
    ) -> api.Submitted: ...

    async def stream(
        self,
        caller: User,
        header: api.Submission,
        lines: AsyncIterator[bytes],
        body_hash: Callable[[], str],
        /,
    ) -> api.Submitted:
        """Take one job, or one entry of parameters, a line. The hash is known after the last."""
        ...


class Written(Protocol):
    """The bytes of a stream of a job, and of which attempt they are."""

    @property
    def parts(self) -> AsyncIterator[bytes]: ...
    @property
    def epoch(self) -> int: ...  # 0: nothing is kept of any
    @property
    def newest(self) -> int: ...  # the job's newest attempt
    @property
    def left_out(self) -> int: ...  # bytes before those that are kept


class Queries(Protocol):
    async def search(
        self, caller: User, filter: api.JobFilter, after: int, limit: int, /
    ) -> api.JobPage: ...

    async def summary(self, caller: User, filter_by: api.SummaryBy, /) -> api.Summary: ...
    async def job(self, caller: User, job_id: int, /) -> api.JobDetail: ...
    async def history(self, caller: User, job_id: int, /) -> api.History: ...
    async def outputs(self, caller: User, job_id: int, /) -> api.Outputs: ...
    async def output(self, caller: User, job_id: int, name: str, /) -> api.OutputView: ...

    async def log(self, caller: User, job_id: int, stream: messages.Stream, /) -> Written:
        """Return the kept tail."""
        ...


class Looking(Protocol):
    async def curve(self, caller: User, job_id: int, epoch: int | None, /) -> api.Curve: ...

    async def peek(
        self, caller: User, job_id: int, /, *, bytes_max: int, wait_s: float
    ) -> api.Peek: ...


class Explainer(Protocol):
    async def job(self, caller: User, job_id: int, /) -> api_explain.Explanation: ...
    async def unsubmitted(self, caller: User, job: Job, /) -> api_explain.Explanation: ...
    async def pilot(self, caller: User, pilot: str, /) -> api_explain.OfferExplanation: ...


class Control(Protocol):
    async def act(self, caller: User, action: api.Action, /) -> api.ActionReply: ...


class Pilots(Protocol):
    async def register(self, m: messages.Register, /) -> messages.Registered: ...
    async def hello(self, m: messages.Hello, /) -> messages.Registered: ...
    async def token(self, m: messages.TokenRequest, /) -> messages.TokenReply: ...
    async def make_secrets(self, caller: User, r: api.SecretRequest, /) -> api.Secrets: ...

    async def list(
        self, caller: User, /, *, states: tuple[PilotState, ...], site: str, after: str, limit: int
    ) -> api.PilotPage: ...

    async def get(self, caller: User, pilot: str, /) -> api.PilotView: ...
    async def drain(self, caller: User, pilot: str, /) -> None: ...

    async def kill(self, caller: User, pilot: str, order: PilotEnd, /) -> PilotEnded: ...


class PilotLogs(Protocol):
    async def keep(self, caller: PilotCaller, m: messages.PilotLog, /) -> messages.PilotLogKept: ...

    async def read(
        self, caller: User, wanted: api.PilotLogFilter, after: int | None, limit: int, /
    ) -> api.PilotLogPage:
        """Return lines after a place; without one those from `since` on, or else the newest."""
        ...


class Dispatch(Protocol):
    async def turn(self, caller: PilotCaller, m: messages.Turn, /) -> messages.TurnReply: ...
    async def beat(self, caller: PilotCaller, m: messages.Beat, /) -> messages.BeatAnswer: ...


class Sandbox(Protocol):
    @property
    def file_bytes_max(self) -> int: ...

    async def put(
        self,
        caller: User | AttemptCaller,
        sha256: str,
        chunks: AsyncIterator[bytes],
        length: int | None,
        /,
    ) -> api.Blob: ...

    async def missing(
        self, caller: User | AttemptCaller, query: api.BlobQuery, /
    ) -> api.BlobAnswer: ...

    async def read(
        self, caller: User | AttemptCaller, sha256: str, /
    ) -> tuple[int, AsyncIterator[bytes]]:
        """Return the number of bytes, and the bytes."""
        ...


class LiveLogs(Protocol):
    async def follow(
        self, caller: User, job_id: int, stream: messages.Stream, /, *, pieces: bool = False
    ) -> Written:
        """Return what has come so far and then what comes, until the attempt ends.

        `pieces` say where they begin, as `proto/pieces.py` has them.
        """
        ...

    async def chunk(self, caller: AttemptCaller | PilotCaller, c: messages.LogChunk, /) -> None: ...


class Feed(Protocol):
    def subscribe(
        self,
        caller: User,
        /,
        *,
        submission: int | None,
        after: int | None,
        encode: Callable[[api.Event], bytes],
    ) -> AsyncIterator[bytes]: ...


class Series(Protocol):
    async def series(
        self,
        caller: User,
        /,
        *,
        step_s: int,
        since: float | None,
        by: api.SeriesBy,
        site: str,
        type: str,
    ) -> api.Series: ...

    async def accounts(
        self, caller: User, /, *, by: api.AccountsBy, since: float | None, until: float | None
    ) -> api.Accounts: ...

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
    ) -> Failures: ...


class Quotas(Protocol):
    async def usage(self, caller: User, /) -> api_quotas.UsageView: ...
    async def change(
        self, caller: User, asked: api_quotas.QuotaChange, /
    ) -> api_quotas.UsageView: ...


class Reports(Protocol):
    async def reports(
        self,
        caller: User,
        /,
        *,
        transformation: int | None,
        since: float | None,
        before: int | None,
        limit: int,
    ) -> ReportPage: ...

    async def report(self, caller: User, report: int, /) -> ReportDetail: ...


class Storages(Protocol):
    async def all(self, caller: User, /) -> StorageList: ...
    async def show(self, caller: User, name: str, /) -> StorageView: ...


class Elements(Protocol):
    async def elements(self, caller: User, /) -> api.Elements: ...

    async def check(self, caller: User, site: str, request: SiteCheckRequest, /) -> SiteCheck:
        """Begin to submit probe pilots; `checked` says how far they have come."""
        ...

    async def checked(self, caller: User, name: str, /) -> SiteCheck: ...


class Sites(Protocol):
    async def all(self, caller: User, /) -> api.Sites: ...
    async def show(self, caller: User, site: str, /) -> SiteDetail: ...
    async def act(self, caller: User, site: str, action: SiteAction, /) -> SiteDetail: ...


class Limits(Protocol):
    async def show(self, caller: User, /) -> LimitsView: ...
    async def read(self, caller: User, /) -> LimitsView:
        """Read the file of settings again: shares and limits count from the next match on."""
        ...


class Transformations(Protocol):
    async def add(
        self, caller: User, body: api_transformations.NewTransformation, /
    ) -> api_transformations.TransformationDetail | api_transformations.Preview: ...

    async def list(
        self, caller: User, /, *, states: tuple[TransformationState, ...], after: int, limit: int
    ) -> api_transformations.TransformationPage: ...

    async def show(
        self, caller: User, named: str, /
    ) -> api_transformations.TransformationDetail: ...

    async def files(
        self, caller: User, named: str, /, *, states: tuple[InputState, ...], after: str, limit: int
    ) -> api_transformations.InputPage: ...

    async def tasks(
        self, caller: User, named: str, /, *, states: tuple[TaskState, ...], after: int, limit: int
    ) -> api_transformations.TaskPage: ...

    async def act(
        self, caller: User, named: str, action: api_transformations.TransformationAction, /
    ) -> api_transformations.TransformationDetail: ...


class Productions(Protocol):
    async def add(
        self, caller: User, body: api_productions.NewProduction, /
    ) -> api_productions.ProductionDetail | api_productions.ProductionPreview: ...

    async def list(
        self, caller: User, /, *, states: tuple[ProductionState, ...], after: int, limit: int
    ) -> api_productions.ProductionPage: ...

    async def show(self, caller: User, named: str, /) -> api_productions.ProductionDetail: ...
    async def report(self, caller: User, named: str, /) -> api_productions.ProductionReport: ...

    async def act(
        self, caller: User, named: str, action: api_productions.ProductionAction, /
    ) -> api_productions.ProductionDetail: ...


class Health(Protocol):
    def health(self) -> api.Health: ...
    def ready(self) -> api.Readiness: ...


class Metrics(Protocol):
    async def page(self, requests: Mapping[tuple[str, int], int], /) -> str:
        """Return all metrics; `requests` are those that a face has counted."""
        ...


class Tokens(Protocol):
    async def issue(self, caller: User, r: api.TokenIssue, /) -> api.TokenIssued: ...
    async def list(self, caller: User, /, *, after: str, limit: int) -> api.Tokens: ...
    async def revoke(self, caller: User, jti: str, /) -> None: ...
    def whoami(self, caller: User, /) -> api.WhoAmI: ...
    def jwks(self) -> dict[str, Any]: ...
    def caller(self, bearer: str, /) -> Caller: ...


class Data(Protocol):
    async def find(self, caller: User, r: api_data.FindRequest, /) -> api_data.FilePage: ...

    async def register(
        self, caller: User, r: api_data.RegisterRequest, /
    ) -> api_data.ItemsReply: ...

    async def file(self, caller: User, name: str, /) -> api_data.FileDetail: ...
    async def replicas(self, caller: User, r: api_data.DidsRequest, /) -> api_data.Replicas: ...

    async def set_metadata(
        self, caller: User, r: api_data.MetadataRequest, /
    ) -> api_data.ItemsReply: ...

    async def declare(self, caller: User, r: api_data.DeclareRequest, /) -> api_data.ItemsReply: ...
    async def remove(self, caller: User, r: api_data.DidsRequest, /) -> api_data.ItemsReply: ...

    async def changes(self, caller: User, /, *, since: int, limit: int) -> api_data.ChangePage: ...

    async def lineage(
        self, caller: User, name: str, direction: api_data.Direction, /, *, limit: int
    ) -> api_data.Lineage: ...

    async def make_dataset(
        self, caller: User, r: api_data.DatasetRequest, /
    ) -> api_data.DatasetView: ...

    async def datasets(
        self, caller: User, /, *, after: str, limit: int
    ) -> api_data.DatasetPage: ...

    async def act_on_dataset(
        self, caller: User, r: api_data.DatasetAction, /
    ) -> api_data.ItemsReply: ...

    async def keys(self, caller: User, /) -> api_data.KeyList: ...
    async def add_keys(self, caller: User, r: api_data.KeysRequest, /) -> api_data.KeyList: ...


class Rules(Protocol):
    async def add(self, caller: User, r: api_data.RuleRequest, /) -> api_data.RuleView: ...
    async def all(self, caller: User, /) -> api_data.RuleList: ...
    async def show(self, caller: User, rule_id: int, /) -> api_data.RuleView: ...
    async def drop(self, caller: User, rule_id: int, /) -> None: ...
    async def retry(self, caller: User, rule_id: int, /) -> api_data.RuleView: ...


class Sweeps(Protocol):
    async def counts(self, caller: User, /) -> api_remnants.SweepView: ...

    async def remnants(
        self, caller: User, /, *, storage: str, all: bool, after: int, limit: int
    ) -> api_remnants.RemnantPage: ...


class Room(Protocol):
    async def check_new(self) -> None: ...
    def watched(self, chunks: AsyncIterator[bytes], /) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True)
class Services:
    """All of them, for the faces."""

    submissions: Submissions
    queries: Queries
    looking: Looking
    control: Control
    pilots: Pilots
    sites: Sites
    limits: Limits
    storages: Storages
    data: Data
    rules: Rules
    sweeps: Sweeps
    elements: Elements
    pilot_logs: PilotLogs
    dispatch: Dispatch
    sandbox: Sandbox
    logs: LiveLogs
    feed: Feed
    explainer: Explainer
    series: Series
    quotas: Quotas
    room: Room
    tokens: Tokens
    transformations: Transformations
    productions: Productions
    reports: Reports
    health: Health
    metrics: Metrics
