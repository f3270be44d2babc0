"""The page on roles: the policy table as it is drawn, and what its words mean."""

import inspect
from collections.abc import Iterator
from typing import Final

from pilotage.central.app.route_assembly import ROUTES
from pilotage.central.identity.policy import TABLE, CallerKind, Permission, Reach

ROLES: Final = {
    CallerKind.READER: "looks: jobs, pilots and sites of the community, but no outputs and logs, "
    "no hashes of files and no values of environment variables",
    CallerKind.USER: "submits jobs, and does with the own ones whatever can be done",
    CallerKind.MANAGER: "the same for the jobs of the token's groups, or of the whole community "
    "where it names none",
    CallerKind.OPERATOR: "the same for all jobs; makes secrets for pilots, drains pilots",
    CallerKind.ADMIN: "everything, tokens included",
    CallerKind.PILOT: "works: asks, reports, beats. Its token comes from its registration",
    CallerKind.ATTEMPT: "a running attempt: fetches its inputs, stores its outputs, sends its log. "
    "The token holds for one job and epoch, until the attempt is over",
    CallerKind.ANONYMOUS: "no token",
}
REACHES: Final = {
    Reach.NONE: "not at all",
    Reach.OWN: "what is the caller's within the groups of the token: own jobs, own tokens; a "
    "pilot's or attempt's own work",
    Reach.GROUP: "the groups that the caller's token names",
    Reach.COMMUNITY: "the community of the caller's token",
    Reach.ALL: "whatever there is; no further than its community, if the token names one (sites: "
    "see below)",
}


def sections() -> Iterator[str]:
    """Yield the page below its title."""
    yield "## Who\n\n| caller | may, in short |\n|---|---|\n" + "".join(
        f"| **{who.value}** | {text} |\n" for who, text in ROLES.items()
    )
    yield "## What, and how far\n\n" + _grid()
    yield "| word | reaches |\n|---|---|\n" + "".join(
        f"| {_word(reach)} | {text} |\n" for reach, text in REACHES.items()
    )
    yield "## Which action a route is\n\n| action | routes |\n|---|---|\n" + "".join(
        f"| `{action.value}` | {_routes(action)} |\n" for action in Permission
    )
    yield inspect.cleandoc(TEXT) + "\n"


TEXT: Final = """
    ## Sites

    A site belongs to no community: a ban or a drain holds for the pilots of all. So where a central
    serves several (`community.others`), `site_control` takes the token of an operator or admin that
    names no community, and others are refused. Whose token names one sees at a site its own pilots,
    and of the hosts that swallow jobs those where it has pilots. With one community alone its own
    operators control the sites.

    ## Tokens

    A token names a person by issuer and subject, a community, groups and one role. Nobody hands out
    more than they have: not a stronger role, not another community, not other groups. Jobs belong
    to a group, so a token that is made without naming groups has those of its maker; a manager's
    has none, which is the whole community. `pilotage token issue NAME --role user --save FILE`
    makes one, `pilotage token list` shows them without their secrets, `pilotage token revoke ID`
    makes one worthless at once. Of one subject at most 10,000 may be there that have not expired.

    The name in a token opens nothing by itself, for a manager may write any name into a token of
    the manager's groups. So a user's token reaches the jobs that are that user's *and* of one of
    its groups, and nobody lists or revokes a token that reaches further than the one at hand, not
    even one of the same name. Whoever leaves a group leaves the jobs there behind with the next
    token: they run on, and are in the hands of the group's managers, the operators and the admins.
    A lost manager's token is revoked with another manager's token, or by an admin. What is done
    with a token is shown under its name; who issued it is in the central's store.

    ## Files and secrets

    An uploaded file belongs to all who have uploaded it, its holders. It is read by them, by those
    who may see their outputs, and by attempts of their jobs. All others get 404, even if they know
    its SHA-256. Hashes are shown only to those who may read the job's outputs
    (`job_output`), as are the values of its environment, where passwords are put. Others who see
    the job, which are readers, get its detail `sealed`: names and sizes of files, with 64 zeros for
    each hash, and names of variables with empty values. The command line is shown whole: no secret
    belongs there.
"""


def callers(action: Permission) -> list[CallerKind]:
    """Return who may do this at all."""
    return [who for who in CallerKind if TABLE[who, action] is not Reach.NONE]


def _grid() -> str:
    head = "| | " + " | ".join(who.value for who in CallerKind) + " |\n"
    rule = "|---|" + "---|" * len(CallerKind) + "\n"
    rows = (
        f"| `{action.value}` | "
        + " | ".join(_word(TABLE[who, action]) for who in CallerKind)
        + " |\n"
        for action in Permission
    )
    return head + rule + "".join(rows)


def _word(reach: Reach) -> str:
    return "–" if reach is Reach.NONE else reach.name.lower()


def _routes(action: Permission) -> str:
    return ", ".join(f"`{one.method} {one.path}`" for one in ROUTES if one.action is action)
