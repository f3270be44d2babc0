"""The page on roles: the policy table as it is drawn, and what its words mean."""

import inspect
from collections.abc import Iterator
from typing import Final

from pilotage.central.auth.policy import TABLE, Action, Reach, Who
from pilotage.central.http.routes import ROUTES

ROLES: Final = {
    Who.READER: "looks: jobs, pilots and sites of the community, but no outputs and logs",
    Who.USER: "submits jobs, and does with the own ones whatever can be done",
    Who.MANAGER: "the same for the jobs of the token's groups, or of the whole community where it "
    "names none",
    Who.OPERATOR: "the same for all jobs; makes secrets for pilots, drains pilots",
    Who.ADMIN: "everything, tokens included",
    Who.PILOT: "works: asks, reports, beats. Its token comes from its registration",
    Who.ATTEMPT: "a running attempt: fetches its inputs, stores its outputs, sends its log. The "
    "token holds for one job and epoch, until the attempt is over",
    Who.ANONYMOUS: "no token",
}
REACHES: Final = {
    Reach.NONE: "not at all",
    Reach.OWN: "what is the caller's: own jobs, own tokens; a pilot's or attempt's own work",
    Reach.GROUP: "the groups that the caller's token names",
    Reach.COMMUNITY: "the community of the caller's token",
    Reach.ALL: "whatever there is; no further than its community, if the token names one",
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
        f"| `{action.value}` | {_routes(action)} |\n" for action in Action
    )
    yield inspect.cleandoc(TEXT) + "\n"


TEXT: Final = """
    ## Tokens

    A token names a person by issuer and subject, a community, groups and one role. Nobody hands out
    more than they have: not a stronger role, not another community, not other groups. Jobs belong
    to a group, so a token that is made without naming groups has those of its maker; a manager's
    has none, which is the whole community. `pilotage token issue NAME --role user --save FILE`
    makes one, `pilotage token list` shows them without their secrets, `pilotage token revoke ID`
    makes one worthless at once.

    A file that was uploaded is read by whoever knows its SHA-256: the hash is in nobody's hands but
    of those who have the file, or may see the job that names it.
"""


def callers(action: Action) -> list[Who]:
    """Return who may do this at all."""
    return [who for who in Who if TABLE[who, action] is not Reach.NONE]


def _grid() -> str:
    head = "| | " + " | ".join(who.value for who in Who) + " |\n"
    rule = "|---|" + "---|" * len(Who) + "\n"
    rows = (
        f"| `{action.value}` | " + " | ".join(_word(TABLE[who, action]) for who in Who) + " |\n"
        for action in Action
    )
    return head + rule + "".join(rows)


def _word(reach: Reach) -> str:
    return "–" if reach is Reach.NONE else reach.name.lower()


def _routes(action: Action) -> str:
    return ", ".join(f"`{one.method} {one.path}`" for one in ROUTES if one.action is action)
