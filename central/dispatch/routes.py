"""Routes of the queue: the pilots' exchange, submissions, actions, explanations, limits."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Final

from pilotage.proto.api import jobs
from pilotage.proto.api.explanations import Explanation, OfferExplanation
from pilotage.proto.api.limits import LimitsView
from pilotage.proto.documents.job import Job
from pilotage.proto.messages import Beat, BeatAnswer, Turn, TurnReply
from pilotage.proto.problems import Code

from ..accounts.disk_room import DiskRoom
from ..decode import decode
from ..errors import Refused
from ..http.answers import JSON, NDJSON
from ..http.body import LARGE_MAX, SMALL_MAX, RequestBody
from ..http.call import Call
from ..http.route import Routes
from ..http.spool import spooled
from ..identity.callers import PilotCaller
from ..identity.calls import user
from ..identity.policy import Permission
from ..jobs.routes import job_id
from .control import JobControl
from .explainer import Explainer
from .limits import LimitService
from .service import Dispatch
from .submissions.submissions import Submissions


@dataclass(frozen=True)
class SubmissionServices:
    """The intake of jobs, and the disk room for incoming bodies."""

    submissions: Submissions
    room: DiskRoom


ROUTES: Final = Routes[Dispatch]()
INTAKE_ROUTES: Final = Routes[SubmissionServices]()
ACTION_ROUTES: Final = Routes[JobControl]()
EXPLAIN_ROUTES: Final = Routes[Explainer]()
LIMIT_ROUTES: Final = Routes[LimitService]()


@ROUTES.add_hot("/v1/turn", Permission.PILOT_WORK, takes=Turn, gives=TurnReply)
def turn(dispatch: Dispatch, caller: PilotCaller, message: Turn) -> Awaitable[TurnReply]:
    """Handle any reports and at most one ask."""
    return dispatch.turn(caller, message)


@ROUTES.add_hot("/v1/ask", Permission.PILOT_WORK, takes=Turn, gives=TurnReply)
def ask(dispatch: Dispatch, caller: PilotCaller, message: Turn) -> Awaitable[TurnReply]:
    """Handle a turn with one ask."""
    if message.ask is None or message.reports:
        why = "$.ask: /v1/ask takes one ask and no reports: send reports to /v1/turn"
        raise Refused(Code.INVALID, why, field="$.ask")
    return dispatch.turn(caller, message)


@ROUTES.add_hot("/v1/report", Permission.PILOT_WORK, takes=Turn, gives=TurnReply)
def report(dispatch: Dispatch, caller: PilotCaller, message: Turn) -> Awaitable[TurnReply]:
    """Handle a turn with reports."""
    if message.ask is not None:
        why = "$.ask: /v1/report takes only reports: send an ask to /v1/turn"
        raise Refused(Code.INVALID, why, field="$.ask")
    return dispatch.turn(caller, message)


@ROUTES.add_hot("/v1/beat", Permission.PILOT_WORK, takes=Beat, gives=BeatAnswer)
def beat(dispatch: Dispatch, caller: PilotCaller, message: Beat) -> Awaitable[BeatAnswer]:
    """Handle a heartbeat that the bus did not answer."""
    return dispatch.beat(caller, message)


@INTAKE_ROUTES.add(
    "POST",
    "/v1/submissions",
    Permission.JOB_SUBMIT,
    needs_leader=False,
    takes=jobs.Submission,
    takes_media=(JSON, NDJSON),
)
async def submit(intake: SubmissionServices, call: Call) -> jobs.Submitted:
    """Submit jobs, all or none. They are durable and visible when answered."""
    media = call.media(JSON, NDJSON)
    body = call.body(LARGE_MAX)
    if media == NDJSON:  # such a body is never held in memory as a whole
        lines = body.lines()
        header = await _header(lines)
        return await intake.submissions.stream(user(call), header, lines, body.sha256)
    if body.length is not None and body.length <= SMALL_MAX:
        return await _submit_whole(intake, call, body, await body.whole())
    caller = user(call)
    # Only complete bodies take slots in memory, so a slow upload delays only its owner.
    async with (
        call.face.turn((caller.issuer, caller.subject, caller.community)),
        spooled(intake.room.watched(body.parts()), call.face.spool_dir) as spool,
        call.face.large,
    ):
        return await _submit_whole(intake, call, body, await spool.whole())


async def _submit_whole(
    intake: SubmissionServices, call: Call, body: RequestBody, content: bytes
) -> jobs.Submitted:
    submission = decode(content, jobs.Submission)
    return await intake.submissions.submit(user(call), submission, body_hash=body.sha256())


async def _header(lines: AsyncIterator[bytes]) -> jobs.Submission:
    async for line in lines:
        header = decode(line, jobs.Submission)
        for name in ("jobs", "parameters"):
            if getattr(header, name):
                why = f"$.{name}: in NDJSON put each of them on a separate line after the first"
                raise Refused(Code.INVALID, why, field=f"$.{name}")
        return header
    raise Refused(Code.MALFORMED, "the body is empty: its first line must be the submission")


@ACTION_ROUTES.add("POST", "/v1/jobs/actions", Permission.JOB_CONTROL)
async def act(control: JobControl, call: Call, body: jobs.Action) -> jobs.ActionReply:
    """Kill, hold, release, reschedule or delete jobs, or set their priority."""
    return await control.act(user(call), body)


@EXPLAIN_ROUTES.add("POST", "/v1/jobs/explain", Permission.JOB_READ)
async def explain_unsubmitted(explainer: Explainer, call: Call, body: Job) -> Explanation:
    """Explain which pilots would take this job, and why others would not."""
    return await explainer.unsubmitted(user(call), body)


@EXPLAIN_ROUTES.add("GET", "/v1/jobs/{job_id}/explain", Permission.JOB_READ)
async def explain(explainer: Explainer, call: Call) -> Explanation:
    """Explain why a job waits."""
    return await explainer.job(user(call), job_id(call))


@EXPLAIN_ROUTES.add("GET", "/v1/pilots/{pilot}/explain", Permission.PILOT_READ)
async def explain_pilot(explainer: Explainer, call: Call) -> OfferExplanation:
    """Explain why a pilot gets no job, or what it could run."""
    return await explainer.pilot(user(call), call.path("pilot"))


@LIMIT_ROUTES.add("GET", "/v1/limits", Permission.PILOT_READ)
async def limits(service: LimitService, call: Call) -> LimitsView:
    """Show shares and limits in force, with the jobs that count for each limit."""
    return await service.show(user(call))


@LIMIT_ROUTES.add("POST", "/v1/limits/read", Permission.SITE_CONTROL)
async def read_limits(service: LimitService, call: Call) -> LimitsView:
    """Reload shares and limits from the settings file."""
    return await service.read(user(call))
