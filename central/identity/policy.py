"""The policy: which callers may do which actions, and their reach. Routes and services use it.

A route declares its action, and `http` refuses callers whose reach is NONE. A service limits its
reads and changes to the reach. If a token names a community, it never reaches beyond that.
"""

import enum
from collections.abc import Sequence
from typing import Final

from pilotage.proto.claims import Role

from .callers import Anonymous, AttemptCaller, Caller, PilotCaller, User
from .errors import Forbidden, NoToken


class Reach(enum.IntEnum):
    """The reach of a right. A greater reach includes the smaller ones."""

    NONE = 0
    OWN = 1  # the caller's objects within the token's groups; a pilot's own attempts
    GROUP = 2  # the groups of the caller's token
    COMMUNITY = 3  # the community of the caller's token
    ALL = 4  # everything


class Permission(str, enum.Enum):
    """The action of a route. Every route has one."""

    PUBLIC_READ = "public_read"  # health, keys, the API's description, the pilot's file
    PILOT_JOIN = "pilot_join"  # register, hello, token: the secret is in the body
    PILOT_WORK = "pilot_work"  # turn, ask, report, beat
    LOG_WRITE = "log_write"
    PAYLOAD_TOKEN = "payload_token"  # tokens of the job's owner, for its payload
    STORAGE_TOKEN = "storage_token"  # credentials for the files of attempts and people
    BLOB_READ = "blob_read"
    BLOB_WRITE = "blob_write"
    JOB_SUBMIT = "job_submit"
    JOB_READ = "job_read"  # search, summary, one job, its history, explain
    JOB_OUTPUT = "job_output"  # outputs and logs of jobs
    JOB_CONTROL = "job_control"  # kill, hold, release, reschedule, delete, priority
    EVENT_READ = "event_read"
    METRICS_READ = "metrics_read"  # totals over all communities
    USAGE_READ = "usage_read"  # usage and limits of quotas
    QUOTA_CONTROL = "quota_control"
    SERIES_READ = "series_read"  # numbers of waiting, running and ended jobs over time
    PILOT_READ = "pilot_read"  # pilots and sites
    PILOT_LOG = "pilot_log"  # logs of pilots
    PILOT_CONTROL = "pilot_control"  # drain, kill
    PILOT_SECRET = "pilot_secret"  # make bootstrap secrets
    SITE_CONTROL = "site_control"  # ban, drain, enable and check sites
    BAN_CONTROL = "ban_control"  # ban persons, lift and list bans
    TOKEN_ISSUE = "token_issue"
    TOKEN_READ = "token_read"
    TOKEN_REVOKE = "token_revoke"
    DATA_READ = "data_read"  # files, their copies and metadata
    DATA_WRITE = "data_write"  # register, change and remove files in the scopes of the groups
    TRANSFORMATION_READ = "transformation_read"
    TRANSFORMATION_CONTROL = "transformation_control"  # add, pause, retry, …
    PRODUCTION_READ = "production_read"
    PRODUCTION_CONTROL = "production_control"  # add, pause, clean, …
    WHOAMI = "whoami"


# The actions as verb phrases, for refusals.
PHRASES: Final = {
    Permission.PUBLIC_READ: "read public documents",
    Permission.PILOT_JOIN: "register a pilot",
    Permission.PILOT_WORK: "ask for work",
    Permission.LOG_WRITE: "write logs",
    Permission.PAYLOAD_TOKEN: "fetch tokens for payloads",
    Permission.STORAGE_TOKEN: "fetch credentials for storages",
    Permission.BLOB_READ: "download contents",
    Permission.BLOB_WRITE: "upload contents",
    Permission.JOB_SUBMIT: "submit jobs",
    Permission.JOB_READ: "read jobs",
    Permission.JOB_OUTPUT: "read outputs of jobs",
    Permission.JOB_CONTROL: "control jobs",
    Permission.EVENT_READ: "read events",
    Permission.METRICS_READ: "read metrics",
    Permission.USAGE_READ: "read quota usage",
    Permission.QUOTA_CONTROL: "set quotas",
    Permission.SERIES_READ: "read series",
    Permission.PILOT_READ: "read pilots",
    Permission.PILOT_LOG: "read logs of pilots",
    Permission.PILOT_CONTROL: "control pilots",
    Permission.PILOT_SECRET: "make secrets for pilots",
    Permission.SITE_CONTROL: "control sites",
    Permission.BAN_CONTROL: "control bans of persons",
    Permission.TOKEN_ISSUE: "issue tokens",
    Permission.TOKEN_READ: "list tokens",
    Permission.TOKEN_REVOKE: "revoke tokens",
    Permission.DATA_READ: "read the file catalogue",
    Permission.DATA_WRITE: "change the file catalogue",
    Permission.TRANSFORMATION_READ: "read transformations",
    Permission.TRANSFORMATION_CONTROL: "control transformations",
    Permission.PRODUCTION_READ: "read productions",
    Permission.PRODUCTION_CONTROL: "control productions",
    Permission.WHOAMI: "read a user's token",
}


class CallerKind(str, enum.Enum):
    """Columns of the table: the roles of users, and the other kinds of callers."""

    ANONYMOUS = "anonymous"
    READER = "reader"
    USER = "user"
    MANAGER = "manager"
    OPERATOR = "operator"
    ADMIN = "admin"
    PILOT = "pilot"
    ATTEMPT = "attempt"


# `group` for a manager: the groups of the token, or the whole community if it names none.
DRAWN: Final = """
                anonymous  reader     user       manager    operator   admin      pilot      attempt
public_read     all        all        all        all        all        all        all        all
pilot_join      own        own        own        own        own        own        own        own
pilot_work      -          -          -          -          -          -          own        -
log_write       -          -          -          -          -          -          own        own
payload_token   -          -          -          -          -          -          -          own
storage_token   -          own        own        own        own        own        -          own
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
ban_control     -          -          -          -          all        all        -          -
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
    """Return the table column of this caller."""
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
    """Return the reach of `caller` for `action`, with the restrictions of the token applied."""
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
    """Return the reach. Raises NoToken or Forbidden if it is NONE."""
    right = reach(caller, action)
    if right is not Reach.NONE:
        return right
    if isinstance(caller, Anonymous):
        raise NoToken
    able = [one.value for one in CallerKind if TABLE[one, action] is not Reach.NONE]
    name = who(caller).value
    whose = f"your role ({name})" if isinstance(caller, User) else f"this {name} token"
    needed = f"{', '.join(able[:-1])} or {able[-1]}" if len(able) > 1 else able[0]
    raise Forbidden(f"{whose} may not {PHRASES[action]} ({action.value}); {needed} is needed")


def names_of(action: str) -> list[str]:
    """Return the names of the callers who may do `action`. An empty list means everybody."""
    right = Permission(action)
    able = [one.value for one in CallerKind if TABLE[one, right] is not Reach.NONE]
    return [] if CallerKind.ANONYMOUS.value in able else able


def require_for_all(caller: Caller, action: Permission, communities: Sequence[str]) -> None:
    """Raise Forbidden if `action` affects several communities, but the token names only one.

    For example, a ban of a site affects the pilots of all communities of the central.
    """
    if len(communities) > 1 and reach(caller, action) is not Reach.ALL:
        raise Forbidden(
            f"your token names one community, but {action.value} affects all communities of this "
            "central: use a token without a community; an administrator of all communities can "
            "issue one"
        )


def covers(giver: Role, given: Role) -> bool:
    """Return whether `giver` has every right of `given`, with at least the same reach."""
    mine, theirs = CallerKind(giver.value), CallerKind(given.value)
    return all(TABLE[mine, action] >= TABLE[theirs, action] for action in Permission)
