"""Rows of the store about users: identities and tokens."""

from typing import NamedTuple

from ..store.records import Record


class Owner(Record, frozen=True, kw_only=True):
    """An identity in a community. (issuer, subject) names the user; `name` is for display."""

    owner_id: int = 0
    community: str
    issuer: str
    subject: str
    name: str = ""


class TokenRow(Record, frozen=True):
    jti: str
    issuer: str
    subject: str
    name: str
    community: str
    groups: tuple[str, ...]
    role: str
    issued_at: float
    expires_at: float
    issued_by: str
    revoked_at: float | None = None


class Holder(NamedTuple):
    """The account that is charged for jobs and contents: an owner in a group of a community."""

    community: str
    group: str
    owner_id: int
    issuer: str
    subject: str


def shown(issuer: str, subject: str, local_issuer: str) -> str:
    """Return the shown name of an identity: the subject alone if the issuer is the local one."""
    return subject if issuer == local_issuer else f"{subject}@{issuer}"
