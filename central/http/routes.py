"""All routes of the central, in one table: what they are for, what they take and give."""

import re
from dataclasses import dataclass
from typing import Any, Final

from pilotage.proto import api, api_sites, api_transformations, messages
from pilotage.proto.job import Job

from ..auth.element_issuer import KEYS_PATH, METADATA_PATH
from ..auth.policy import Action
from . import (
    blobs,
    events,
    health,
    hot,
    jobs,
    pilot_file,
    pilots,
    series,
    sites,
    submissions,
    tokens,
    transformations,
)
from .answers import JSON
from .call import Handler
from .hot import Hot

BYTES: Final = "application/octet-stream"
TEXT: Final = "text/plain"


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method of one path. Exactly one of `handler` and `hot` answers it."""

    method: str
    path: str  # `{name}` stands for one part, `{name:path}` for all that is left
    action: Action
    does: str
    handler: Handler | None = None
    hot: Hot | None = None
    query: type[Any] | None = None
    takes: type[Any] | None = None
    gives: type[Any] | None = None
    takes_media: tuple[str, ...] = (JSON,)
    gives_media: str = JSON

    def fits(self, path: str) -> bool:
        """Say whether `path` is one of this route's."""
        return re.fullmatch(_pattern(self.path), path) is not None


def _pattern(path: str) -> str:
    parts = re.split(r"(\{\w+(?::path)?\})", path)
    return "".join(
        (".+" if part.endswith(":path}") else "[^/]+") if part.startswith("{") else re.escape(part)
        for part in parts
    )


def methods_of(path: str) -> list[str]:
    """Return the methods that `path` has; none: there is no such path."""
    literal = [route for route in ROUTES if route.path == path]
    return sorted({one.method for one in literal or ROUTES if one.fits(path)})


_A = Action
ROUTES: Final = (
    # -- pilots ---------------------------------------------------------------------------------
    Route(
        method="POST",
        path="/v1/pilots/register",
        action=_A.PILOT_JOIN,
        does="First word of a pilot; the same secret and nonce give the same pilot again.",
        handler=pilots.register,
        takes=messages.Register,
        gives=messages.Registered,
    ),
    Route(
        method="POST",
        path="/v1/pilots/hello",
        action=_A.PILOT_JOIN,
        does="A pilot that was restarted opens its next session.",
        handler=pilots.hello,
        takes=messages.Hello,
        gives=messages.Registered,
    ),
    Route(
        method="POST",
        path="/v1/pilots/token",
        action=_A.PILOT_JOIN,
        does="Fetch a new pilot token.",
        handler=pilots.token,
        takes=messages.TokenRequest,
        gives=messages.TokenReply,
    ),
    Route(
        method="POST",
        path="/v1/turn",
        action=_A.PILOT_WORK,
        does="Any reports and at most one ask.",
        hot=hot.turn,
        takes=messages.Turn,
        gives=messages.TurnReply,
    ),
    Route(
        method="POST",
        path="/v1/ask",
        action=_A.PILOT_WORK,
        does="A turn that is one ask.",
        hot=hot.ask,
        takes=messages.Turn,
        gives=messages.TurnReply,
    ),
    Route(
        method="POST",
        path="/v1/report",
        action=_A.PILOT_WORK,
        does="A turn that is reports.",
        hot=hot.report,
        takes=messages.Turn,
        gives=messages.TurnReply,
    ),
    Route(
        method="POST",
        path="/v1/beat",
        action=_A.PILOT_WORK,
        does="A beat that the bus did not answer.",
        hot=hot.beat,
        takes=messages.Beat,
        gives=messages.BeatAnswer,
    ),
    Route(
        method="POST",
        path="/v1/log",
        action=_A.LOG_WRITE,
        does="Live output of a payload that somebody follows.",
        handler=pilots.log,
        takes=messages.LogChunk,
    ),
    Route(
        method="POST",
        path="/v1/pilots/log",
        action=_A.PILOT_WORK,
        does="Lines of a pilot's own log; durable when answered.",
        handler=pilots.keep_log,
        takes=messages.PilotLog,
        gives=messages.PilotLogKept,
    ),
    # -- blobs ----------------------------------------------------------------------------------
    Route(
        method="POST",
        path="/v1/blobs/missing",
        action=_A.BLOB_WRITE,
        does="Which of these blobs are not here yet.",
        handler=blobs.missing,
        takes=api.BlobQuery,
        gives=api.BlobAnswer,
    ),
    Route(
        method="PUT",
        path="/v1/blobs/{sha256}",
        action=_A.BLOB_WRITE,
        does="Store a file under the hash of its bytes; durable when answered.",
        handler=blobs.put,
        takes=bytes,
        takes_media=(BYTES,),
        gives=api.Blob,
    ),
    Route(
        method="GET",
        path="/v1/blobs/{sha256}",
        action=_A.BLOB_READ,
        does="The bytes of a blob.",
        handler=blobs.get,
        gives=bytes,
        gives_media=BYTES,
    ),
    # -- jobs -----------------------------------------------------------------------------------
    Route(
        method="POST",
        path="/v1/submissions",
        action=_A.JOB_SUBMIT,
        does="Submit jobs, all or none; durable and visible when answered.",
        handler=submissions.submit,
        takes=api.Submission,
        takes_media=(JSON, submissions.NDJSON),
        gives=api.Submitted,
    ),
    Route(
        method="GET",
        path="/v1/jobs",
        action=_A.JOB_READ,
        does="Find jobs, page by page in order of the id.",
        handler=jobs.search,
        query=jobs.JobsQuery,
        gives=api.JobPage,
    ),
    Route(
        method="GET",
        path="/v1/jobs/summary",
        action=_A.JOB_READ,
        does="Count jobs by state, site, type, group or owner.",
        handler=jobs.summary,
        query=jobs.SummaryQuery,
        gives=api.Summary,
    ),
    Route(
        method="POST",
        path="/v1/jobs/actions",
        action=_A.JOB_CONTROL,
        does="Kill, hold, release, reschedule, delete jobs, or set their priority.",
        handler=jobs.act,
        takes=api.Action,
        gives=api.ActionReply,
    ),
    Route(
        method="POST",
        path="/v1/jobs/explain",
        action=_A.JOB_READ,
        does="Which pilots would take this job, and why the others would not.",
        handler=jobs.explain_unsubmitted,
        takes=Job,
        gives=api.Explanation,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job_id}",
        action=_A.JOB_READ,
        does="Everything of one job.",
        handler=jobs.detail,
        gives=api.JobDetail,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job_id}/history",
        action=_A.JOB_READ,
        does="What happened to a job, with time and source.",
        handler=jobs.history,
        gives=api.History,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job_id}/explain",
        action=_A.JOB_READ,
        does="Why a job waits.",
        handler=jobs.explain,
        gives=api.Explanation,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job_id}/curve",
        action=_A.JOB_READ,
        does="What an attempt used over time: CPU, memory, disk, processes.",
        handler=jobs.curve,
        query=jobs.CurveQuery,
        gives=api.Curve,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job_id}/peek",
        action=_A.JOB_OUTPUT,
        does="The last that a job wrote; while it runs, as it is now.",
        handler=jobs.peek,
        query=jobs.PeekQuery,
        gives=api.Peek,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job_id}/outputs",
        action=_A.JOB_OUTPUT,
        does="The files that a job left.",
        handler=jobs.outputs,
        gives=api.Outputs,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job_id}/outputs/{name:path}",
        action=_A.JOB_OUTPUT,
        does="The bytes of one of them.",
        handler=jobs.output,
        gives=bytes,
        gives_media=BYTES,
    ),
    Route(
        method="GET",
        path="/v1/jobs/{job_id}/logs/{stream}",
        action=_A.JOB_OUTPUT,
        does="What a payload wrote to stdout or stderr, or usage; with follow=true until it ends. "
        "Of an attempt that has ended the last 10^6 bytes are kept: the header Pilotage-Left-Out "
        "has how many were before them, Pilotage-Attempt whose this is (0: nothing was kept), "
        "Pilotage-Newest-Attempt the job's newest.",
        handler=jobs.log,
        query=jobs.LogQuery,
        gives=str,
        gives_media=TEXT,
    ),
    Route(
        method="GET",
        path="/v1/events",
        action=_A.EVENT_READ,
        does="Changes as they happen, as server-sent events: hints, not the record.",
        handler=events.follow,
        query=events.EventsQuery,
        gives=api.Event,
        gives_media="text/event-stream",
    ),
    Route(
        method="GET",
        path="/v1/series",
        action=_A.SERIES_READ,
        does="How many jobs waited and ran, ended, and what they used, over time.",
        handler=series.series,
        query=series.SeriesQuery,
        gives=api.Series,
    ),
    Route(
        method="GET",
        path="/v1/accounts",
        action=_A.JOB_READ,
        does="What jobs have used, from the first day on, by owner, group, day and more.",
        handler=series.accounts,
        query=series.AccountsQuery,
        gives=api.Accounts,
    ),
    # -- operators ------------------------------------------------------------------------------
    Route(
        method="GET",
        path="/v1/pilots",
        action=_A.PILOT_READ,
        does="Find pilots, page by page in order of the name.",
        handler=pilots.search,
        query=pilots.PilotsQuery,
        gives=api.PilotPage,
    ),
    Route(
        method="POST",
        path="/v1/pilots/secrets",
        action=_A.PILOT_SECRET,
        does="Make one-use secrets with which pilots register.",
        handler=pilots.make_secrets,
        takes=api.SecretRequest,
        gives=api.Secrets,
    ),
    Route(
        method="GET",
        path="/v1/pilots/logs",
        action=_A.PILOT_LOG,
        does="What pilots have logged, by pilot, job, host, batch id, time or a word.",
        handler=pilots.read_log,
        query=pilots.PilotLogQuery,
        gives=api.PilotLogPage,
    ),
    Route(
        method="GET",
        path="/v1/pilots/{pilot}",
        action=_A.PILOT_READ,
        does="One pilot.",
        handler=pilots.detail,
        gives=api.PilotView,
    ),
    Route(
        method="GET",
        path="/v1/pilots/{pilot}/explain",
        action=_A.PILOT_READ,
        does="Why a pilot gets nothing, or what it could run.",
        handler=pilots.explain,
        gives=api.OfferExplanation,
    ),
    Route(
        method="POST",
        path="/v1/pilots/{pilot}/drain",
        action=_A.PILOT_CONTROL,
        does="Let a pilot finish what it holds and take nothing more.",
        handler=pilots.drain,
    ),
    Route(
        method="POST",
        path="/v1/pilots/{pilot}/kill",
        action=_A.PILOT_CONTROL,
        does="End a pilot now; what it holds is stopped and waits again.",
        handler=pilots.kill,
        takes=api_sites.PilotEnd,
        gives=api_sites.PilotEnded,
    ),
    Route(
        method="GET",
        path="/v1/sites",
        action=_A.PILOT_READ,
        does="Sites with their pilots, cores and jobs, bans and shares.",
        handler=sites.sites,
        gives=api.Sites,
    ),
    Route(
        method="GET",
        path="/v1/sites/{site}",
        action=_A.PILOT_READ,
        does="Everything of one site.",
        handler=sites.detail,
        gives=api_sites.SiteDetail,
    ),
    Route(
        method="POST",
        path="/v1/sites/{site}/actions",
        action=_A.SITE_CONTROL,
        does="Ban, drain or enable a site or one of its elements.",
        handler=sites.act,
        takes=api_sites.SiteAction,
        gives=api_sites.SiteDetail,
    ),
    Route(
        method="POST",
        path="/v1/sites/{site}/check",
        action=_A.SITE_CONTROL,
        does="Submit a probe pilot to each element of a site; answered before they have come.",
        handler=sites.check,
        takes=api_sites.SiteCheckRequest,
        gives=api_sites.SiteCheck,
    ),
    Route(
        method="GET",
        path="/v1/checks/{check}",
        action=_A.SITE_CONTROL,
        does="How far the probe pilots of a check have come, step by step.",
        handler=sites.checked,
        gives=api_sites.SiteCheck,
    ),
    Route(
        method="POST",
        path="/v1/transformations",
        action=_A.TRANSFORMATION_CONTROL,
        does="Add a transformation, once for each name; or say what it would do.",
        handler=transformations.add,
        takes=api_transformations.NewTransformation,
        gives=api_transformations.TransformationDetail,
    ),
    Route(
        method="GET",
        path="/v1/transformations",
        action=_A.TRANSFORMATION_READ,
        does="Transformations in order of the id, and how far they are.",
        handler=transformations.several,
        query=transformations.TransformationsQuery,
        gives=api_transformations.TransformationPage,
    ),
    Route(
        method="GET",
        path="/v1/transformations/{transformation}",
        action=_A.TRANSFORMATION_READ,
        does="Everything of one transformation, by id or name.",
        handler=transformations.show,
        gives=api_transformations.TransformationDetail,
    ),
    Route(
        method="GET",
        path="/v1/transformations/{transformation}/files",
        action=_A.TRANSFORMATION_READ,
        does="Its input files, and how each stands.",
        handler=transformations.files,
        query=transformations.InputsQuery,
        gives=api_transformations.InputPage,
    ),
    Route(
        method="GET",
        path="/v1/transformations/{transformation}/tasks",
        action=_A.TRANSFORMATION_READ,
        does="Its tasks and their jobs, in order of the number.",
        handler=transformations.tasks,
        query=transformations.TasksQuery,
        gives=api_transformations.TaskPage,
    ),
    Route(
        method="POST",
        path="/v1/transformations/{transformation}/actions",
        action=_A.TRANSFORMATION_CONTROL,
        does="Pause, resume, extend, flush or otherwise steer a transformation.",
        handler=transformations.act,
        takes=api_transformations.TransformationAction,
        gives=api_transformations.TransformationDetail,
    ),
    Route(
        method="GET",
        path="/v1/elements",
        action=_A.PILOT_READ,
        does="Compute elements that get pilots from the central, and what is wrong with some.",
        handler=sites.elements,
        gives=api.Elements,
    ),
    Route(
        method="GET",
        path="/metrics",
        action=_A.METRICS_READ,
        does="What Prometheus reads; totals over all communities.",
        handler=health.metrics,
        gives=str,
        gives_media=TEXT,
    ),
    # -- tokens ---------------------------------------------------------------------------------
    Route(
        method="POST",
        path="/v1/tokens",
        action=_A.TOKEN_ISSUE,
        does="Make a token for a person; nobody hands out more than they have.",
        handler=tokens.issue,
        takes=api.TokenIssue,
        gives=api.TokenIssued,
    ),
    Route(
        method="GET",
        path="/v1/tokens",
        action=_A.TOKEN_READ,
        does="Tokens that were made, never the tokens themselves.",
        handler=tokens.search,
        gives=api.Tokens,
    ),
    Route(
        method="DELETE",
        path="/v1/tokens/{jti}",
        action=_A.TOKEN_REVOKE,
        does="Refuse a token from now on.",
        handler=tokens.revoke,
    ),
    Route(
        method="GET",
        path="/v1/whoami",
        action=_A.WHOAMI,
        does="What the caller's token says.",
        handler=tokens.whoami,
        gives=api.WhoAmI,
    ),
    # -- for everybody --------------------------------------------------------------------------
    Route(
        method="GET",
        path="/.well-known/jwks.json",
        action=_A.PUBLIC_READ,
        does="The public keys of this central's tokens.",
        handler=tokens.jwks,
        gives=dict[str, Any],
    ),
    Route(
        method="GET",
        path=METADATA_PATH,
        action=_A.PUBLIC_READ,
        does="For sites: the issuer of the tokens that their elements get from this central.",
        handler=tokens.element_issuer,
        gives=dict[str, Any],
    ),
    Route(
        method="GET",
        path=KEYS_PATH,
        action=_A.PUBLIC_READ,
        does="For sites: the public keys of that issuer.",
        handler=tokens.element_keys,
        gives=dict[str, Any],
    ),
    Route(
        method="GET",
        path="/",
        action=_A.PUBLIC_READ,
        does="Where to look first.",
        handler=health.entrance,
        gives=dict[str, str],
    ),
    Route(
        method="GET",
        path="/health",
        action=_A.PUBLIC_READ,
        does="How the central is.",
        handler=health.health,
        gives=api.Health,
    ),
    Route(
        method="GET",
        path="/ready",
        action=_A.PUBLIC_READ,
        does="200 while it takes requests: loaded, and the store can be written.",
        handler=health.ready,
        gives=api.Readiness,
    ),
    Route(
        method="GET",
        path="/openapi.json",
        action=_A.PUBLIC_READ,
        does="This description.",
        handler=health.openapi,
        gives=dict[str, Any],
    ),
    Route(
        method="GET",
        path="/pilot.pyz",
        action=_A.PUBLIC_READ,
        does="The pilot, one file; its signature in the header pilotage-signature (base64).",
        handler=pilot_file.bundle,
        gives=bytes,
        gives_media="application/zip",
    ),
    Route(
        method="GET",
        path="/pilot.pyz.sig",
        action=_A.PUBLIC_READ,
        does="Ed25519 signature of pilot.pyz, 64 bytes.",
        handler=pilot_file.signature,
        gives=bytes,
        gives_media=BYTES,
    ),
    Route(
        method="GET",
        path="/pilot.pem",
        action=_A.PUBLIC_READ,
        does="Public key that verifies the signature of pilot.pyz.",
        handler=pilot_file.key,
        gives=bytes,
        gives_media="application/x-pem-file",
    ),
    Route(
        method="GET",
        path="/pilot.json",
        action=_A.PUBLIC_READ,
        does="Version, size, hash, signature and key of pilot.pyz.",
        handler=pilot_file.told,
        gives=api.PilotFile,
    ),
    Route(
        method="GET",
        path="/pilot.sh",
        action=_A.PUBLIC_READ,
        does="The script that fetches pilot.pyz on a node, verifies it and runs it.",
        handler=pilot_file.script,
        gives=bytes,
        gives_media="text/x-shellscript",
    ),
)
