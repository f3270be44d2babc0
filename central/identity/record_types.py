"""What the store keeps of persons: their identities and tokens."""

from typing import NamedTuple

from ..store.records import Record


class Owner(Record, frozen=True, kw_only=True):
    """An identity is (issuer, subject); the name is for display."""

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
    """Who is charged: an owner, in a group of a community."""

    community: str
    group: str
    owner_id: int
    issuer: str
    subject: str


def shown(issuer: str, subject: str, local_issuer: str) -> str:
    """Return how an identity is shown: by the subject alone if the issuer is the local one."""
    return subject if issuer == local_issuer else f"{subject}@{issuer}"
