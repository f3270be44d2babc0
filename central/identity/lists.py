"""Pages of tokens and sessions, and the rule of their visibility. Pure."""

import math
from collections.abc import Sequence
from typing import Final, Protocol

from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from ..errors import Refused
from .callers import User
from .policy import Reach, covers

# A page begins after a time (s since 1970) and a name; the newest come first.
PageStart = tuple[float, str]
FIRST_PAGE: Final[PageStart] = (math.inf, "")


class PersonalRights(Protocol):
    """The rights that a token or a session gives to a person."""

    @property
    def issuer(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def community(self) -> str: ...
    @property
    def groups(self) -> Sequence[str]: ...
    @property
    def role(self) -> str: ...


def is_visible(row: PersonalRights, caller: User, reach: Reach) -> bool:
    """Return whether the caller may see rights of a person.

    Rights that are wider than the caller's are hidden, even with the caller's own subject, because
    a manager can write any subject into a token.
    """
    if reach is not Reach.ALL and row.community != caller.community:
        return False
    if not covers(caller.role, Role(row.role)):
        return False
    if reach >= Reach.COMMUNITY:
        return True
    if not set(row.groups) <= set(caller.groups):
        return False
    if reach is Reach.GROUP:
        return bool(row.groups)
    return is_of_person(row, caller)


def is_of_person(row: PersonalRights, caller: User) -> bool:
    """Return whether rights belong to the caller, with the caller's issuer and subject."""
    return (row.issuer, row.subject) == (caller.issuer, caller.subject)


def cursor(at: float, name: str) -> str:
    """Return the cursor of the page that begins after this time and name."""
    return f"{at!r}:{name}"


def start_of(after: str) -> PageStart:
    """Return the start of the page of a cursor; an empty one is the first page. Raises Refused."""
    if not after:
        return FIRST_PAGE
    text, _, name = after.partition(":")
    try:
        at = float(text)
    except ValueError:
        at = math.nan
    if not math.isfinite(at):
        why = f"after: found {after[:80]!r}, expected the value `after` of the previous page"
        raise Refused(Code.INVALID, why, field="after")
    return at, name
