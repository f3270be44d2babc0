"""Which token a caller may hand out: decided here, without doing anything."""

import re
from typing import Final

import msgspec

from pilotage.proto.api.jobs import TokenIssue
from pilotage.proto.claims import Role
from pilotage.proto.problems import Code

from ..errors import Refused
from .callers import User
from .errors import Forbidden
from .policy import Permission, Reach, covers, require

GROUPS_MAX: Final = 64
_WIDE = frozenset({Role.OPERATOR, Role.ADMIN})  # may speak for all communities
_COMMUNITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # it is a word of bus topics too
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f]{0,128}")


class TokenGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What a new token will say."""

    subject: str
    name: str
    community: str
    groups: tuple[str, ...]
    role: Role
    expires_at: float


def grant(caller: User, wanted: TokenIssue, *, issuer: str, now: float) -> TokenGrant:
    """Return the token that `caller` gets for `wanted`. Raises Forbidden, Refused.

    Nobody hands out more than they have: no wider role, community or groups, and no token outlives
    the one that it was made with.
    """
    reach = require(caller, Permission.TOKEN_ISSUE)
    _check_words(wanted)
    if reach is Reach.OWN and (wanted.subject, issuer) != (caller.subject, caller.issuer):
        raise Forbidden(
            f"a {caller.role.value} makes tokens for themselves only", field="$.subject"
        )
    if not covers(caller.role, wanted.role):
        raise Forbidden(
            f"a {caller.role.value} has less than the role {wanted.role.value}", field="$.role"
        )
    community = _community(caller, wanted)
    return TokenGrant(
        subject=wanted.subject,
        name=wanted.name,
        community=community,
        groups=_groups(caller, wanted, reach, community),
        role=wanted.role,
        expires_at=min(now + wanted.valid_s, caller.expires_at),
    )


def _community(caller: User, wanted: TokenIssue) -> str:
    if caller.community and wanted.community not in ("", caller.community):
        raise Forbidden(
            f"your token is of the community {caller.community!r} only", field="$.community"
        )
    community = wanted.community or caller.community
    if not community and wanted.role not in _WIDE:
        raise Refused(Code.INVALID, f"a {wanted.role.value} needs a community", field="$.community")
    return community


def _groups(caller: User, wanted: TokenIssue, reach: Reach, community: str) -> tuple[str, ...]:
    """Return the groups of the new token; where none are named, the caller's own: without a group
    nobody submits. Groups of one community mean nothing in another."""
    if reach >= Reach.COMMUNITY:
        # A manager's groups narrow what they reach: none are added to what was asked for.
        inherits = community == caller.community and wanted.role is not Role.MANAGER
        return wanted.groups or (caller.groups if inherits else ())
    beyond = [group for group in wanted.groups if group not in caller.groups]
    if beyond:
        raise Forbidden(f"your token has not the group {beyond[0]!r}", field="$.groups")
    # A manager without groups reaches the whole community: an empty list would be more, not less.
    return wanted.groups or caller.groups


def _check_words(wanted: TokenIssue) -> None:
    if wanted.community and not _COMMUNITY.fullmatch(wanted.community):
        right = "letters, digits and . _ - only, at most 64"
        raise Refused(Code.INVALID, f"a community has {right}", field="$.community")
    if len(wanted.groups) > GROUPS_MAX:
        raise Refused(Code.INVALID, f"at most {GROUPS_MAX} groups", field="$.groups")
    for index, group in enumerate(wanted.groups):
        if not _GROUP.fullmatch(group):
            right = "letters, digits and . _ : / @ + - only, at most 128"
            raise Refused(Code.INVALID, f"a group has {right}", field=f"$.groups[{index}]")
    for field, text in (("$.subject", wanted.subject), ("$.name", wanted.name)):
        if not _LINE.fullmatch(text):
            right = "at most 128 characters, no control characters"
            raise Refused(Code.INVALID, f"{field[2:]} has {right}", field=field)
