"""Decides which tokens a caller may issue. It makes none."""

import math
import re
import unicodedata
from typing import Final

import msgspec

from pilotage.proto.api.tokens import TokenIssue
from pilotage.proto.claims import Role
from pilotage.proto.decoding.complaints import short
from pilotage.proto.problems import Code

from ..errors import Refused
from .callers import User
from .errors import Forbidden
from .policy import Permission, Reach, covers, require

GROUPS_MAX: Final = 64
_WIDE = frozenset({Role.OPERATOR, Role.ADMIN})  # roles that may act for all communities
COMMUNITY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # also part of bus topics
GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_LINE = re.compile(r"[^\x00-\x1f\x7f-\x9f]{0,128}")
_OF_OTHER_ISSUERS: Final = ("@http", "://")  # in shown names, see `record_types.shown`


class TokenGrant(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of a new token."""

    subject: str
    name: str
    community: str
    groups: tuple[str, ...]
    role: Role
    expires_at: float


def grant(caller: User, wanted: TokenIssue, *, issuer: str, now: float) -> TokenGrant:
    """Return the claims of the token that `caller` gets for `wanted`. Raises Forbidden, Refused.

    A new token never has a wider role, community or set of groups than its issuer's token, and
    it never expires later unless an admin who logged in makes it.
    """
    reach = require(caller, Permission.TOKEN_ISSUE)
    _check_words(wanted)
    if reach is Reach.OWN and (wanted.subject, issuer) != (caller.subject, caller.issuer):
        why = f"for {caller.subject!r} only, not for {wanted.subject!r}"
        if caller.issuer != issuer:
            why = (
                "only for people of this central, and you logged in at another issuer: scripts on "
                "this machine use your login; for other machines, ask a manager or an admin"
            )
        role = caller.role.value
        raise Forbidden(f"your role ({role}) may make tokens {why}", field="$.subject")
    if not covers(caller.role, wanted.role):
        raise Forbidden(
            f"your role ({caller.role.value}) may not make a token with the role "
            f"{wanted.role.value}, which has more rights",
            field="$.role",
        )
    community = _community(caller, wanted)
    return TokenGrant(
        subject=wanted.subject,
        name=wanted.name,
        community=community,
        groups=_groups(caller, wanted, reach, community),
        role=wanted.role,
        expires_at=min(now + wanted.valid_s, _ends_at_most(caller)),
    )


def _ends_at_most(caller: User) -> float:
    """Return the latest end of a token that `caller` issues.

    A token outlives its issuer's only if an admin who logged in makes it: a session's own token
    lives for minutes, and others must not evade the checks of their provider with a longer one.
    """
    if caller.session and caller.role is Role.ADMIN:
        return math.inf
    return caller.expires_at


def _community(caller: User, wanted: TokenIssue) -> str:
    if caller.community and wanted.community not in ("", caller.community):
        raise Forbidden(
            f"your token is for the community {caller.community!r}; it cannot make tokens for "
            f"{wanted.community!r}",
            field="$.community",
        )
    community = wanted.community or caller.community
    if not community and wanted.role not in _WIDE:
        raise Refused(
            Code.INVALID,
            f"a token with the role {wanted.role.value} needs a community: name it with "
            "--community",
            field="$.community",
        )
    return community


def _groups(caller: User, wanted: TokenIssue, reach: Reach, community: str) -> tuple[str, ...]:
    """Return the groups of the new token. If none are named, it inherits the caller's groups,
    because submitting needs a group. Groups are not inherited across communities."""
    if reach >= Reach.COMMUNITY:
        # Groups restrict a manager, so a manager's token gets only the groups that were named.
        inherits = community == caller.community and wanted.role is not Role.MANAGER
        return wanted.groups or (caller.groups if inherits else ())
    beyond = [group for group in wanted.groups if group not in caller.groups]
    if beyond:
        raise Forbidden(
            f"your token does not have the group {beyond[0]!r}; its groups are "
            f"{', '.join(caller.groups) or 'none'}",
            field="$.groups",
        )
    # A manager without groups reaches the whole community, so an empty list would grant more.
    return wanted.groups or caller.groups


def _check_words(wanted: TokenIssue) -> None:
    if wanted.community and not COMMUNITY_NAME.fullmatch(wanted.community):
        raise Refused(
            Code.INVALID,
            f"{short(repr(wanted.community))} is not a valid community: use at most 64 letters, "
            "digits and . _ -, beginning with a letter or digit",
            field="$.community",
        )
    if len(wanted.groups) > GROUPS_MAX:
        raise Refused(
            Code.INVALID,
            f"a token can have at most {GROUPS_MAX} groups, found {len(wanted.groups)}",
            field="$.groups",
        )
    for index, group in enumerate(wanted.groups):
        if not GROUP_NAME.fullmatch(group):
            raise Refused(
                Code.INVALID,
                f"{short(repr(group))} is not a valid group: use at most 128 letters, digits and "
                ". _ : / @ + -, beginning with a letter or digit",
                field=f"$.groups[{index}]",
            )
    for field, text in (("$.subject", wanted.subject), ("$.name", wanted.name)):
        if not _LINE.fullmatch(text):
            raise Refused(
                Code.INVALID,
                f"the {field[2:]} {short(repr(text))} is not valid: use at most 128 characters, "
                "without control characters",
                field=field,
            )
    plain = unicodedata.normalize("NFKC", wanted.subject).casefold()  # also lookalikes
    if any(part in plain for part in _OF_OTHER_ISSUERS):
        raise Refused(
            Code.INVALID,
            f"the subject {short(repr(wanted.subject))} is not valid: it may not contain '@http' "
            "or '://', because SUBJECT@https://ISSUER is how the central shows persons of other "
            "issuers",
            field="$.subject",
        )
