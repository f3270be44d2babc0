"""The page on roles: the policy table, and the meaning of its words."""

import inspect
from collections.abc import Iterator
from typing import Final

from pilotage.central.identity.policy import TABLE, CallerKind, Permission, Reach
from pilotage.proto.claims import Role

from . import structs

ROLES: Final = {
    CallerKind.READER: "sees jobs, pilots and sites of the community, without outputs, logs, "
    "file hashes and values of environment variables",
    CallerKind.USER: "submits jobs and controls them",
    CallerKind.MANAGER: "controls all jobs of the token's groups, or of the community if the "
    "token names no group",
    CallerKind.OPERATOR: "controls all jobs, pilots and sites; makes secrets for pilots",
    CallerKind.ADMIN: "everything, including tokens",
    CallerKind.PILOT: "asks for work, reports and sends heartbeats",
    CallerKind.ATTEMPT: "a running attempt: reads inputs, stores outputs and logs; its token ends "
    "with it",
    CallerKind.ANONYMOUS: "no token",
}
PEOPLE: Final = tuple(who for who in CallerKind if who.value in set(Role))
REACHES: Final = {
    Reach.NONE: "nothing",
    Reach.OWN: "the caller's own jobs, tokens and work, within the groups of the token",
    Reach.GROUP: "the groups of the token",
    Reach.COMMUNITY: "the community of the token",
    Reach.ALL: "everything; only that of its community if the token names one ([sites](#sites) "
    "and [bans](#bans-of-persons) differ)",
}


def sections() -> Iterator[str]:
    """Yield the page below its title."""
    yield "## Who\n\n" + structs.lines(f"**{who.value}**: {text}" for who, text in ROLES.items())
    yield "## Actions\n\n" + _grid()
    yield "Other callers:\n\n" + structs.lines(
        f"**{who.value}**: {_actions(who)}" for who in CallerKind if who not in PEOPLE
    )
    yield "Reach:\n\n" + structs.lines(
        f"**{_word(reach)}**: {text}" for reach, text in REACHES.items()
    )
    yield inspect.cleandoc(TEXT) + "\n"


TEXT: Final = """
    The [HTTP API](http-api.md) names the action of each route. A refusal names the action, too.

    ## Sites

    Bans and drains affect pilots of all communities. If a central serves several
    (`community.others`), `site_control` needs a token of an operator or admin without a community.

    ## Bans of persons

    A ban holds in all communities, too. If a central serves several, `ban_control` needs a token
    without a community. You cannot ban yourself, or the subject `admin` of the central's own
    issuer. Only admins can ban a person with a valid token of the role `admin`.

    ## Tokens

    A token names a subject, a community, groups and one role.

    - `pilotage token issue NAME --role user --save FILE` issues one, `pilotage token list` lists
      them without secrets, and `pilotage token revoke ID` revokes one at once.
    - You cannot issue, list or revoke a token with more rights than yours: no stronger role, no
      other community or groups. An admin may give any groups of the community.
    - Without `--group`, a new token has the groups of its issuer. A manager's token without groups
      holds for the whole community.
    - A name alone gives no rights, because a manager can write any name. A user's token reaches
      only jobs that belong to this user *and* to a group of the token.
    - One subject can have at most 10,000 valid tokens.
    - A subject cannot contain `@http` or `://`: lists show persons of other issuers as
      `SUBJECT@https://ISSUER`.

    ## Files and secrets

    A file belongs to all users who uploaded it. Users who may see their outputs, and attempts of
    their jobs, can read it too. Others get 404.

    Readers see jobs as `sealed`: without hashes and values of environment variables. They see the
    command line, so never put a secret there.
"""


def callers(action: Permission) -> list[CallerKind]:
    """Return who may do this at all."""
    return [who for who in CallerKind if TABLE[who, action] is not Reach.NONE]


def _grid() -> str:
    """Draw the table of people's roles, with actions of the same reach in one row."""
    rows: dict[tuple[Reach, ...], list[Permission]] = {}
    for action in Permission:
        rows.setdefault(tuple(TABLE[who, action] for who in PEOPLE), []).append(action)
    rows.pop((Reach.NONE,) * len(PEOPLE), None)
    head = f"|action|{'|'.join(who.value for who in PEOPLE)}|\n"
    rule = "|---|" + "---|" * len(PEOPLE) + "\n"
    lines = (
        f"|{', '.join(f'`{one.value}`' for one in actions)}|{'|'.join(map(_word, reaches))}|\n"
        for reaches, actions in rows.items()
    )
    return head + rule + "".join(lines)


def _actions(who: CallerKind) -> str:
    """List the actions of a caller that is no person."""
    able = [(action, TABLE[who, action]) for action in Permission]
    return ", ".join(f"`{action.value}` ({_word(reach)})" for action, reach in able if reach)


def _word(reach: Reach) -> str:
    return "–" if reach is Reach.NONE else reach.name.lower()
