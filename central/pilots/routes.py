"""Routes of pilots: registration, sessions and logs, and the routes of operators."""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from pilotage.proto.api import jobs
from pilotage.proto.api.pilots import (
    PilotEnd,
    PilotEnded,
    PilotLogFilter,
    PilotLogPage,
    PilotPage,
    PilotView,
    SecretRequest,
    Secrets,
)
from pilotage.proto.ids import ID_MAX
from pilotage.proto.messages import (
    Hello,
    PilotLog,
    PilotLogKept,
    Register,
    Registered,
    TokenReply,
    TokenRequest,
)
from pilotage.proto.pilot_states import PilotState

from ..http.call import Call
from ..http.route import Routes
from ..identity import calls
from ..identity.calls import user
from ..identity.policy import Permission
from ..observe.times import Moment
from .logs import PilotLogService
from .service import PilotService

ROUTES: Final = Routes[PilotService]()
LOG_ROUTES: Final = Routes[PilotLogService]()


class PilotsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A query for a page of pilots."""

    state: tuple[PilotState, ...] = ()
    site: str = ""
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=jobs.PAGE_MAX)] = 100


class PilotLogQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A query for a page of log lines of pilots."""

    pilot: str = ""
    site: str = ""
    host: str = ""
    batch_id: str = ""
    job: Annotated[int, Meta(ge=1, le=ID_MAX)] | None = None
    since: Moment | None = None  # seconds since 1970
    grep: str = ""
    warnings: bool = False
    after: Annotated[int, Meta(ge=0, le=ID_MAX)] | None = None
    limit: Annotated[int, Meta(ge=1, le=jobs.PAGE_MAX)] = 100


@ROUTES.add("POST", "/v1/pilots/register", Permission.PILOT_JOIN)
async def register(pilots: PilotService, call: Call, body: Register) -> Registered:
    """Register a new pilot. The same secret and nonce give the same pilot again."""
    return await pilots.register(body)


@ROUTES.add("POST", "/v1/pilots/hello", Permission.PILOT_JOIN)
async def hello(pilots: PilotService, call: Call, body: Hello) -> Registered:
    """Open the next session of a restarted pilot."""
    return await pilots.hello(body)


@ROUTES.add("POST", "/v1/pilots/token", Permission.PILOT_JOIN)
async def token(pilots: PilotService, call: Call, body: TokenRequest) -> TokenReply:
    """Fetch a new pilot token."""
    return await pilots.token(body)


@ROUTES.add("GET", "/v1/pilots", Permission.PILOT_READ)
async def search(pilots: PilotService, call: Call, query: PilotsQuery) -> PilotPage:
    """Find pilots, in order of name."""
    return await pilots.list(
        user(call), states=query.state, site=query.site, after=query.after, limit=query.limit
    )


@ROUTES.add("POST", "/v1/pilots/secrets", Permission.PILOT_SECRET, creates=True)
async def make_secrets(pilots: PilotService, call: Call, body: SecretRequest) -> Secrets:
    """Make one-use secrets, with which pilots register."""
    return await pilots.make_secrets(user(call), body)


@ROUTES.add("GET", "/v1/pilots/{pilot}", Permission.PILOT_READ)
async def detail(pilots: PilotService, call: Call) -> PilotView:
    """Show one pilot."""
    return await pilots.get(user(call), call.path("pilot"))


@ROUTES.add("POST", "/v1/pilots/{pilot}/drain", Permission.PILOT_CONTROL)
async def drain(pilots: PilotService, call: Call) -> None:
    """Let a pilot finish its attempts and take no more."""
    await pilots.drain(user(call), call.path("pilot"))


@ROUTES.add("POST", "/v1/pilots/{pilot}/kill", Permission.PILOT_CONTROL)
async def kill(pilots: PilotService, call: Call, body: PilotEnd) -> PilotEnded:
    """End a pilot now. Its attempts are stopped and requeued."""
    return await pilots.kill(user(call), call.path("pilot"), body)


@LOG_ROUTES.add("POST", "/v1/pilots/log", Permission.PILOT_WORK)
async def keep_log(logs: PilotLogService, call: Call, body: PilotLog) -> PilotLogKept:
    """Store lines of a pilot's log. They are durable when answered."""
    return await logs.keep(calls.pilot(call), body)


@LOG_ROUTES.add("GET", "/v1/pilots/logs", Permission.PILOT_LOG)
async def read_log(logs: PilotLogService, call: Call, query: PilotLogQuery) -> PilotLogPage:
    """Find log lines of pilots by pilot, job, host, batch id, time or word."""
    wanted = PilotLogFilter(
        pilot=query.pilot,
        site=query.site,
        host=query.host,
        batch_id=query.batch_id,
        job=query.job,
        since=query.since,
        grep=query.grep,
        warnings=query.warnings,
    )
    return await logs.read(user(call), wanted, query.after, query.limit)
