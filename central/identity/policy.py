"""Who may do what, and how far: one table for routes and services.

A route declares its action; `http` lets nobody pass whose reach is NONE, and a service cuts what it
reads and changes to the reach. Where a caller's token names a community nothing reaches beyond it.
"""

import enum
from collections.abc import Sequence
from typing import Final

from pilotage.proto.claims import Role

from .callers import Anonymous, AttemptCaller, Caller, PilotCaller, User
from .errors import Forbidden, NoToken


class Reach(enum.IntEnum):
    """How far a right goes. A greater one includes the lesser."""

    NONE = 0
    OWN = 1  # what is the caller's within the token's groups; the pilot's own attempts
    GROUP = 2  # the groups of the caller's token
    COMMUNITY = 3  # the community of the caller's token
    ALL = 4  # whatever there is


class Permission(str, enum.Enum):
    """What a route is for. Every route has one."""

    PUBLIC_READ = "public_read"  # health, keys, the API's description, the pilot's file
    PILOT_JOIN = "pilot_join"  # register, hello, token: the secret is in the body
    PILOT_WORK = "pilot_work"  # turn, ask, report, beat
    LOG_WRITE = "log_write"
    BLOB_READ = "blob_read"
    BLOB_WRITE = "blob_write"
    JOB_SUBMIT = "job_submit"
    JOB_READ = "job_read"  # search, summary, one job, its history, explain
    JOB_OUTPUT = "job_output"  # what it wrote: outputs and logs
    JOB_CONTROL = "job_control"  # kill, hold, release, reschedule, delete, priority
    EVENT_READ = "event_read"
    METRICS_READ = "metrics_read"  # totals over all communities
    USAGE_READ = "usage_read"  # what is used of quotas
    QUOTA_CONTROL = "quota_control"
    SERIES_READ = "series_read"  # how much waits, runs and ended, over time
    PILOT_READ = "pilot_read"  # pilots and sites
    PILOT_LOG = "pilot_log"  # what pilots have logged; of one's own jobs, or of all
    PILOT_CONTROL = "pilot_control"  # drain, kill
    PILOT_SECRET = "pilot_secret"  # make bootstrap secrets
    SITE_CONTROL = "site_control"  # ban, drain, enable and check sites
    TOKEN_ISSUE = "token_issue"
    TOKEN_READ = "token_read"
    TOKEN_REVOKE = "token_revoke"
    DATA_READ = "data_read"  # files, their copies and metadata
    DATA_WRITE = "data_write"  # register, change, remove; of the groups' scopes
    TRANSFORMATION_READ = "transformation_read"
    TRANSFORMATION_CONTROL = "transformation_control"  # add, steer
    PRODUCTION_READ = "production_read"
    PRODUCTION_CONTROL = "production_control"  # add, steer
    WHOAMI = "whoami"


class CallerKind(str, enum.Enum):
    """Columns of the table: a kind of caller, or a person's role."""

    ANONYMOUS = "anonymous"
    READER = "reader"
    USER = "user"
    MANAGER = "manager"
    OPERATOR = "operator"
    ADMIN = "admin"
    PILOT = "pilot"
    ATTEMPT = "attempt"


# A manager whose token names groups reaches these, one without the whole community.
DRAWN: Final = """
                anonymous  reader     user       manager    operator   admin      pilot      attempt
public_read     all        all        all        all        all        all        all        all
pilot_join      own        own        own        own        own        own        own        own
pilot_work      -          -          -          -          -          -          own        -
log_write       -          -          -          -          -          -          own        own
blob_read       -          -          own        own        own        own        -          own
blob_write      -          -          own        own        own        own        -          own
job_submit      -          -          own        own        own        own        -          -
job_read        -          community  own        group      all        all        -          -
job_output      -          -          own        group      all        all        -          -
job_control     -          -          own        group      all        all        -          -
event_read      -          community  own        group      all        all        -          -
metrics_read    -          all        -          all        all        all        -          -
usage_read      -          community  own        own        all        all        -          -
quota_control   -          -          -          -          all        all        -          -
series_read     -          community  community  community  all        all        -          -
pilot_read      -          community  community  community  all        all        -          -
pilot_log       -          -          own        group      all        all        -          -
pilot_control   -          -          -          -          all        all        -          -
pilot_secret    -          -          -          -          all        all        -          -
site_control    -          -          -          -          all        all        -          -
data_read       -          community  community  community  all        all        -          -
data_write      -          -          own        group      all        all        -          -
transformation_read     -  community  own        group      all        all        -          -
transformation_control  -  -          own        group      all        all        -          -
production_read -          community  own        group      all        all        -          -
production_control      -  -          own        group      all        all        -          -
token_issue     -          -          own        group      own        all        -          -
token_read      -          own        own        group      own        all        -          -
token_revoke    -          own        own        group      own        all        -          -
whoami          -          own        own        own        own        own        -          -
"""


def _parse(drawn: str) -> dict[tuple[CallerKind, Permission], Reach]:
    head, *lines = drawn.strip().splitlines()
    columns = [CallerKind(word) for word in head.split()]
    words = {"-": Reach.NONE} | {reach.name.lower(): reach for reach in Reach}
    return {
        (who, Permission(action)): words[word]
        for action, *cells in (line.split() for line in lines)
        for who, word in zip(columns, cells, strict=True)
    }


TABLE: Final = _parse(DRAWN)


def who(caller: Caller) -> CallerKind:
    """Return the column of the table that holds for this caller."""
    match caller:
        case User():
            return CallerKind(caller.role.value)
        case PilotCaller():
            return CallerKind.PILOT
        case AttemptCaller():
            return CallerKind.ATTEMPT
        case Anonymous():
            return CallerKind.ANONYMOUS


def reach(caller: Caller, action: Permission) -> Reach:
    """Return how far `caller` may do `action`, with what the token narrows taken into account."""
    right = TABLE[who(caller), action]
    if not isinstance(caller, User):
        return right
    if right is Reach.GROUP and not caller.groups:
        right = Reach.COMMUNITY
    if right is Reach.COMMUNITY and not caller.community:
        return Reach.ALL
    if right is Reach.ALL and caller.community:
        return Reach.COMMUNITY
    return right


def require(caller: Caller, action: Permission) -> Reach:
    """Return the reach, or raise NoToken or Forbidden where there is none."""
    right = reach(caller, action)
    if right is not Reach.NONE:
        return right
    if isinstance(caller, Anonymous):
        raise NoToken
    able = [one.value for one in CallerKind if TABLE[one, action] is not Reach.NONE]
    raise Forbidden(f"{who(caller).value} has not the right {action.value}: {', '.join(able)} have")


def names_of(action: str) -> list[str]:
    """Return the names of the callers who may do `action` at all; none: anybody may."""
    right = Permission(action)
    able = [one.value for one in CallerKind if TABLE[one, right] is not Reach.NONE]
    return [] if CallerKind.ANONYMOUS.value in able else able


def require_for_all(caller: Caller, action: Permission, communities: Sequence[str]) -> None:
    """Raise Forbidden for a token of one community where what it does holds for several.

    Sites are such: who bans one bans it for the pilots of all communities that the central serves.
    """
    if len(communities) > 1 and reach(caller, action) is not Reach.ALL:
        raise Forbidden(
            f"{action.value} holds for all communities of this central, and your token names one: "
            "it takes a token that names none, as an administrator of all of them has and makes"
        )


def covers(giver: Role, given: Role) -> bool:
    """Say whether `giver` has every right of `given`, as far or further."""
    mine, theirs = CallerKind(giver.value), CallerKind(given.value)
    return all(TABLE[mine, action] >= TABLE[theirs, action] for action in Permission)
