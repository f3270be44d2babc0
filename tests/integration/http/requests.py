"""A good request for every route, and a token for every kind of caller."""

from dataclasses import dataclass, field

import msgspec

from pilotage.central.http.answers import BYTES, JSON
from pilotage.central.identity.bans.record import NewBan
from pilotage.central.identity.policy import CallerKind
from pilotage.central.identity.sessions.life import BROWSER_IDLE_S
from pilotage.proto import messages, wire
from pilotage.proto.api import jobs
from pilotage.proto.api.bans import BanRequest
from pilotage.proto.api.logins import (
    CodeClaim,
    DeviceStart,
    LoginClaim,
    Renewal,
    SessionEnd,
)
from pilotage.proto.api.outputs import OutputChoice, OutputName
from pilotage.proto.api.pilots import PilotEnd, SecretRequest
from pilotage.proto.api.productions import NewProduction, ProductionAction, ProductionActionName
from pilotage.proto.api.sites import SiteAction, SiteActionName, SiteCheckRequest
from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.api.transformations import (
    NewTransformation,
    TransformationAction,
    TransformationActionName,
)
from pilotage.proto.claims import Role
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.documents.workflow import Step, Workflow
from tests.unit.identity.fake_provider import EC_KID, ec_key, signed

from .stub_jobs import SHA256
from .stub_logins import add_browser
from .stubs import ISSUER, PROVIDER, World

OFFER = messages.Offer(cores=1, cores_free=1, memory_mb=1, memory_free_mb=1, wall_left_s=1.0)
ASK = messages.Turn(gen="g", session=1, ask=messages.Ask(n=1, offer=OFFER))
REPORT = messages.Report(job=1, epoch=1, attempt_id=1, n=1, what=messages.What.STARTED)
ACTION = jobs.Action(action=jobs.ActionName.KILL, ids=(1,))
CHOICE = OutputChoice(files=(OutputName(job=7, name="a/b.txt"),))
SITE_ACTION = SiteAction(action=SiteActionName.BAN)
PRODUCTION = NewProduction(
    workflow=Workflow(name="chain", steps={"make": Step(job=Job(command=("true",)))})
)
TRANSFORMATION = NewTransformation(
    document=Transformation(name="t", tasks=2, job=Job(command=("true",)))
)
DATA = {
    "find": b'{"query":{"particle":"gamma","run":{">=":20}},"limit":5}',
    "files": b'{"files":[{"did":"ctao:a","bytes":1,"adler32":"00000001"}]}',
    "replicas": b'{"dids":["ctao:a"]}',
    "list": b'{"which":["ctao:a"]}',
    "metadata": b'{"changes":[{"did":"ctao:a","set":{"run":1},"remove":["nsb"]}]}',
    "declare": b'{"replicas":[{"did":"ctao:a","storage":"PIC"}]}',
    "remove": b'{"dids":["ctao:a"]}',
    "datasets": b'{"did":"ctao:set","metadata":{"particle":"gamma"}}',
    "datasets/actions": b'{"dataset":"ctao:set","action":"attach","dids":["ctao:a"]}',
    "keys": b'{"keys":{"run":"number"}}',
    "rules": b'{"copies":1,"storages":["PIC"],"did":"ctao:a"}',
}
CHUNK = messages.LogChunk(job=1, epoch=1, stream=messages.Stream.OUT, offset=0, text="a")

LINE = messages.PilotLine(n=1, ago_s=0.0, event="ended")


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


#     method, path as the table has it        the path to call                      the body
GOOD: dict[tuple[str, str], tuple[str, bytes]] = {
    ("POST", "/v1/pilots/register"): ("", wire.encode(messages.Register("s", "n"))),
    ("POST", "/v1/pilots/hello"): ("", wire.encode(messages.Hello("p1", "r", "n"))),
    ("POST", "/v1/pilots/token"): ("", wire.encode(messages.TokenRequest("p1", "r"))),
    ("POST", "/v1/turn"): ("", wire.encode(ASK)),
    ("POST", "/v1/ask"): ("", wire.encode(ASK)),
    ("POST", "/v1/report"): ("", wire.encode(messages.Turn("g", 1, reports=(REPORT,)))),
    ("POST", "/v1/beat"): ("", wire.encode(messages.Beat("g", 1, 1))),
    ("POST", "/v1/log"): ("", wire.encode(CHUNK)),
    ("POST", "/v1/pilots/log"): ("", wire.encode(messages.PilotLog("g", 1, (LINE,)))),
    ("GET", "/v1/pilots/logs"): ("/v1/pilots/logs?host=wn1&grep=ended&since=1.5&limit=5", b""),
    ("POST", "/v1/blobs/missing"): ("", _json(jobs.BlobQuery(sha256=(SHA256,)))),
    ("PUT", "/v1/blobs/{sha256}"): (f"/v1/blobs/{SHA256}", b"abcd"),
    ("GET", "/v1/blobs/{sha256}"): (f"/v1/blobs/{SHA256}", b""),
    ("POST", "/v1/submissions"): ("", b'{"key":"k","jobs":[{"command":["true"]}]}'),
    ("GET", "/v1/jobs"): ("/v1/jobs?state=Waiting&state=Held&limit=5", b""),
    ("GET", "/v1/jdl"): ("", b""),
    ("GET", "/v1/jobs/summary"): ("/v1/jobs/summary?by=site", b""),
    ("POST", "/v1/jobs/actions"): ("", _json(ACTION)),
    ("POST", "/v1/jobs/explain"): ("", _json(Job(command=("true",)))),
    ("GET", "/v1/jobs/{job_id}"): ("/v1/jobs/7", b""),
    ("GET", "/v1/jobs/{job_id}/history"): ("/v1/jobs/7/history", b""),
    ("GET", "/v1/jobs/{job_id}/curve"): ("/v1/jobs/7/curve?epoch=2", b""),
    ("GET", "/v1/jobs/{job_id}/peek"): ("/v1/jobs/7/peek?bytes=100&wait_s=1", b""),
    ("GET", "/v1/jobs/{job_id}/explain"): ("/v1/jobs/7/explain", b""),
    ("GET", "/v1/jobs/outputs"): ("/v1/jobs/outputs?submission=1&limit=10", b""),
    ("POST", "/v1/jobs/outputs"): ("", _json(CHOICE)),
    ("GET", "/v1/jobs/{job_id}/outputs"): ("/v1/jobs/7/outputs", b""),
    ("GET", "/v1/jobs/{job_id}/outputs/{name:path}"): ("/v1/jobs/7/outputs/a/b.txt", b""),
    ("GET", "/v1/jobs/{job_id}/logs/{stream}"): ("/v1/jobs/7/logs/stdout", b""),
    ("GET", "/v1/events"): ("/v1/events?after=5", b""),
    ("GET", "/metrics"): ("", b""),
    ("GET", "/v1/series"): ("/v1/series?step=60&by=type&since=1000.5", b""),
    ("GET", "/v1/accounts"): ("/v1/accounts?by=day", b""),
    ("GET", "/v1/usage"): ("", b""),
    ("POST", "/v1/quotas"): ("", b'{"kind":"community","community":"ctao","jobs":5}'),
    ("GET", "/v1/failures"): ("/v1/failures?site=PIC&transformation=5&since=1.5", b""),
    ("GET", "/v1/notifications"): ("", b""),
    ("POST", "/v1/notifications"): ("", b'{"submission":7,"on":["end","half"]}'),
    ("POST", "/v1/notifications/addresses"): ("", b'{"webhook":"https://example.org/hook"}'),
    ("GET", "/v1/failures/reports"): ("/v1/failures/reports?transformation=5&limit=5", b""),
    ("GET", "/v1/failures/reports/{report}"): ("/v1/failures/reports/7", b""),
    ("GET", "/v1/pilots"): ("/v1/pilots?state=Running&site=PIC", b""),
    ("POST", "/v1/pilots/secrets"): ("", _json(SecretRequest(site="PIC"))),
    ("GET", "/v1/pilots/{pilot}"): ("/v1/pilots/p1", b""),
    ("GET", "/v1/pilots/{pilot}/explain"): ("/v1/pilots/p1/explain", b""),
    ("POST", "/v1/pilots/{pilot}/drain"): ("/v1/pilots/p1/drain", b""),
    ("POST", "/v1/pilots/{pilot}/kill"): (
        "/v1/pilots/p1/kill",
        _json(PilotEnd(reason="r")),
    ),
    ("GET", "/v1/sites"): ("", b""),
    ("GET", "/v1/sites/{site}"): ("/v1/sites/PIC", b""),
    ("GET", "/v1/limits"): ("", b""),
    ("POST", "/v1/limits/read"): ("", b""),
    ("GET", "/v1/rucio"): ("", b""),
    ("GET", "/v1/rucio/{rucio}"): ("/v1/rucio/main", b""),
    ("POST", "/v1/rucio/{rucio}/compare"): ("/v1/rucio/main/compare", b""),
    ("GET", "/v1/data/outbox"): ("/v1/data/outbox?state=Clash&after=7&limit=5", b""),
    ("GET", "/v1/storages"): ("", b""),
    ("GET", "/v1/storages/{storage}"): ("/v1/storages/pic-disk", b""),
    ("POST", "/v1/storages/{storage}/check"): ("/v1/storages/pic-disk/check", b""),
    ("POST", "/v1/sites/{site}/actions"): ("/v1/sites/PIC/actions", _json(SITE_ACTION)),
    **{("POST", f"/v1/data/{part}"): ("", body) for part, body in DATA.items()},
    ("GET", "/v1/data/files"): ("/v1/data/files?did=ctao:a/b.h5", b""),
    ("GET", "/v1/data/changes"): ("/v1/data/changes?since=7&limit=5", b""),
    ("GET", "/v1/data/usage"): ("/v1/data/usage?scope=ctao&after=ctao:a", b""),
    ("GET", "/v1/data/lineage"): ("/v1/data/lineage?did=ctao:a&direction=down", b""),
    ("GET", "/v1/data/datasets"): ("/v1/data/datasets?after=ctao:a&limit=5", b""),
    ("GET", "/v1/data/keys"): ("", b""),
    ("GET", "/v1/data/rules"): ("", b""),
    ("GET", "/v1/data/rules/{rule}"): ("/v1/data/rules/7", b""),
    ("DELETE", "/v1/data/rules/{rule}"): ("/v1/data/rules/7", b""),
    ("GET", "/v1/data/sweep"): ("", b""),
    ("GET", "/v1/data/sweep/remnants"): (
        "/v1/data/sweep/remnants?storage=PIC&all=true&after=7&limit=5",
        b"",
    ),
    ("POST", "/v1/data/rules/{rule}/retry"): ("/v1/data/rules/7/retry", b""),
    ("POST", "/v1/transformations"): ("", _json(TRANSFORMATION)),
    ("GET", "/v1/transformations"): ("/v1/transformations?state=Active&after=3&limit=5", b""),
    ("GET", "/v1/transformations/{transformation}"): ("/v1/transformations/7", b""),
    ("GET", "/v1/transformations/{transformation}/files"): (
        "/v1/transformations/dl1/files?state=Stuck&after=5:0",
        b"",
    ),
    ("GET", "/v1/transformations/{transformation}/tasks"): (
        "/v1/transformations/7/tasks?state=Failed&after=3",
        b"",
    ),
    ("POST", "/v1/transformations/{transformation}/actions"): (
        "/v1/transformations/7/actions",
        _json(TransformationAction(action=TransformationActionName.PAUSE)),
    ),
    ("POST", "/v1/productions"): ("", _json(PRODUCTION)),
    ("GET", "/v1/productions"): ("/v1/productions?state=Active&after=3&limit=5", b""),
    ("GET", "/v1/productions/{production}"): ("/v1/productions/7", b""),
    ("GET", "/v1/productions/{production}/report"): ("/v1/productions/chain/report", b""),
    ("GET", "/v1/productions/{production}/outputs"): ("/v1/productions/chain/outputs", b""),
    ("POST", "/v1/productions/{production}/actions"): (
        "/v1/productions/7/actions",
        _json(ProductionAction(action=ProductionActionName.PAUSE)),
    ),
    ("POST", "/v1/sites/{site}/check"): (
        "/v1/sites/PIC/check",
        _json(SiteCheckRequest(timeout_s=60)),
    ),
    ("GET", "/v1/checks/{check}"): ("/v1/checks/c1", b""),
    ("GET", "/v1/elements"): ("", b""),
    ("POST", "/v1/tokens"): ("", _json(TokenIssue(subject="{who}", community="{community}"))),
    ("GET", "/v1/tokens"): ("", b""),
    ("DELETE", "/v1/tokens/{jti}"): ("/v1/tokens/{own}", b""),
    ("POST", "/v1/bans"): ("", _json(BanRequest(person="eve", reason="r"))),
    ("GET", "/v1/bans"): ("/v1/bans?person=eve&lifted=true&after=3&limit=5", b""),
    ("DELETE", "/v1/bans/{ban}"): ("/v1/bans/7", b""),
    ("GET", "/v1/whoami"): ("", b""),
    ("GET", "/v1/login/providers"): ("", b""),
    ("POST", "/v1/login/device"): ("", _json(DeviceStart(host="laptop"))),
    ("POST", "/v1/login/poll"): ("", _json(LoginClaim(login="l"))),
    ("POST", "/v1/login/code"): ("", _json(CodeClaim(code="c", verifier="v" * 43))),
    ("POST", "/v1/login/renew"): ("", _json(Renewal(renewal="r", nonce="n" * 16))),
    ("POST", "/v1/login/end"): ("", _json(SessionEnd(renewal="r"))),
    ("GET", "/v1/sessions"): ("/v1/sessions?limit=5", b""),
    ("DELETE", "/v1/sessions/{session}"): ("/v1/sessions/s1", b""),
    ("GET", "/auth/start"): ("/auth/start?to=/portal", b""),
    ("GET", "/auth/callback/{provider}"): ("/auth/callback/iam?state=s&code=c", b""),
    ("POST", "/auth/logout"): ("", b""),
    ("POST", "/v1/attempts/token"): (
        "",
        _json(messages.PayloadTokenRequest(job=7, epoch=1, name="default")),
    ),
    ("POST", "/v1/data/tokens"): (
        "",
        b'{"job":7,"epoch":1,"storage":"pic","operation":"read","paths":["ctao/a"]}',
    ),
    ("GET", "/.well-known/jwks.json"): ("", b""),
    ("GET", "/elements/.well-known/openid-configuration"): ("", b""),
    ("GET", "/elements/jwks.json"): ("", b""),
    ("GET", "/"): ("", b""),
    ("GET", "/health"): ("", b""),
    ("GET", "/ready"): ("", b""),
    ("GET", "/openapi.json"): ("", b""),
    ("GET", "/pilot.pyz"): ("", b""),
    ("GET", "/pilot.pyz.sig"): ("", b""),
    ("GET", "/pilot.pem"): ("", b""),
    ("GET", "/pilot.json"): ("", b""),
    ("GET", "/pilot.sh"): ("", b""),
    ("GET", "/client"): ("", b""),
    ("GET", "/client/{name}"): ("/client/x.whl", b""),
}


@dataclass(frozen=True)
class Holder:
    """A kind of caller: its column in the policy, its token, and what the token is called."""

    who: CallerKind
    token: str
    subject: str = ""
    jti: str = ""
    community: str = "ctao"
    spoilt: str = ""  # the code that this token gets where one is looked at
    headers: dict[str, str] = field(default_factory=dict[str, str])
    reads_only: bool = False  # a browser whose page is not ours: it changes nothing


async def holders(world: World) -> dict[str, Holder]:
    """Make a token of every kind. The clock moves: the expired one has to expire."""
    admin = await _admin(world)
    made = {
        "anonymous": Holder(CallerKind.ANONYMOUS, ""),
        "admin": admin,
        "pilot": Holder(
            CallerKind.PILOT, world.tokens.pilot_token("p1", "ctao", "PIC", "local")[0]
        ),
        "attempt": Holder(CallerKind.ATTEMPT, world.tokens.attempt_token(7, 1, 1, "ctao", 3_600)),
        "garbage": Holder(CallerKind.ANONYMOUS, "garbage", spoilt="bad_token"),
    }
    for role in (Role.READER, Role.USER, Role.MANAGER, Role.OPERATOR):
        made[role.value] = await _person(world, admin, role, role.value)
    made["foreign"] = await _person(world, admin, Role.USER, "eve", community="lhcb")
    short = await _person(world, admin, Role.USER, "old", valid_s=60)
    made["expired"] = Holder(CallerKind.ANONYMOUS, short.token, spoilt="expired_token")
    gone = await _person(world, admin, Role.USER, "gone")
    made["revoked"] = Holder(CallerKind.ANONYMOUS, gone.token, spoilt="bad_token")
    await world.tokens.revoke(world.user(admin.token), gone.jti)
    await _browsers(world, admin, made)
    await _outsiders(world, admin, made)
    banned = await _person(world, admin, Role.OPERATOR, "banned")
    made["banned"] = Holder(CallerKind.ANONYMOUS, banned.token, spoilt="banned")
    await _ban(world, ISSUER, "banned")
    world.clock.move(60)
    return made


async def _outsiders(world: World, admin: Holder, made: dict[str, Holder]) -> None:
    """Add people with tokens of a provider: good ones, for another service, by an unknown key."""
    await world.outside.keys.refresh(PROVIDER.issuer)
    now, theirs = int(world.clock.wall()), await _person(world, admin, Role.USER, "of an outsider")
    for name, kid, audience in (
        ("outside token", EC_KID, ISSUER),
        ("outside token for another service", EC_KID, "https://other.test"),
        ("outside token by an unknown key", "unknown", ISSUER),
    ):
        claims = {
            "iss": PROVIDER.issuer,
            "sub": "ada",
            "aud": audience,
            "iat": now,
            "exp": now + 3_600,
            "jti": name,
            "wlcg.groups": ["/ctao/admins"],
        }
        header = {"alg": "ES256", "kid": kid}
        token = signed(header, msgspec.json.encode(claims), ec_key(EC_KID), "ES256")
        is_good = name == "outside token"
        made[name] = Holder(
            CallerKind.ADMIN if is_good else CallerKind.ANONYMOUS,
            token,
            "ada",
            theirs.jti,
            spoilt="" if is_good else "bad_token",
        )


async def _browsers(world: World, admin: Holder, made: dict[str, Holder]) -> None:
    """Add browsers: of our own pages, of other pages, and of sessions that are over."""
    now, ours = world.clock.wall(), {"origin": ISSUER, "x-pilotage": "1"}
    for name, its, ended in (
        ("browser", ours, {}),
        ("form of another site", {"origin": "https://evil.test"}, {}),
        ("script of another site", {"origin": "https://evil.test", "x-pilotage": "1"}, {}),
        ("form without an origin", {}, {}),
        ("two origins", {"origin": ISSUER, "x-pilotage": "1", "Origin": ISSUER}, {}),
        ("idle browser", ours, {"used_at": now - BROWSER_IDLE_S}),
        ("old browser", ours, {"ends_at": now}),
        ("logged out browser", ours, {"ended_at": now, "ended_why": "logged out"}),
    ):
        cookie = name.replace(" ", "-")
        row = await add_browser(world.store, cookie, now, role=Role.ADMIN, **ended)
        token = await _person(world, admin, Role.USER, f"of {name}")
        made[name] = Holder(
            CallerKind.ANONYMOUS if ended else CallerKind.ADMIN,
            "",
            row.subject,
            token.jti,
            spoilt="expired_token" if ended else "",
            headers={"cookie": f"a=b; __Host-pilotage-session={cookie}", **its},
            reads_only=its is not ours,
        )
    row = await add_browser(world.store, "banned", now, role=Role.ADMIN, subject="banned")
    await _ban(world, row.issuer, row.subject)
    theirs = {"cookie": "__Host-pilotage-session=banned", **ours}
    made["banned browser"] = Holder(CallerKind.ANONYMOUS, "", spoilt="banned", headers=theirs)
    stolen = {"cookie": "__Host-pilotage-session=guess", **ours}
    made["guessed cookie"] = Holder(CallerKind.ANONYMOUS, "", spoilt="bad_token", headers=stolen)


async def _ban(world: World, issuer: str, subject: str) -> None:
    at = world.clock.wall()
    await world.tokens.bans.ban(
        NewBan(issuer=issuer, subject=subject, who="oscar", reason="", at=at)
    )


async def _admin(world: World) -> Holder:
    token = await world.admin_token()
    caller = world.user(token)
    return Holder(CallerKind.ADMIN, token, caller.subject, caller.jti)


async def _person(
    world: World,
    admin: Holder,
    role: Role,
    subject: str,
    *,
    community: str = "ctao",
    valid_s: int = 3_600,
) -> Holder:
    wanted = TokenIssue(subject=subject, community=community, role=role, valid_s=valid_s)
    issued = await world.tokens.issue(world.user(admin.token), wanted)
    return Holder(CallerKind(role.value), issued.token, subject, issued.view.jti, community)


def good(method: str, path: str, holder: Holder) -> tuple[str, bytes, str]:
    """Return path, body and media type of a request that is right for this caller."""
    called, body = GOOD[method, path]
    media = BYTES if method == "PUT" else JSON if body else ""
    own = (called or path).replace("{own}", holder.jti or "none")
    body = body.replace(b"{who}", (holder.subject or "x").encode())
    return own, body.replace(b"{community}", holder.community.encode()), media
