"""The stored tokens and identities of users."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..store.session import Session
from .lists import FIRST_PAGE, PageStart
from .record_types import Owner, TokenRow

TOKEN_GROUPS_MAX: Final = 100_000

_words: Final = msgspec.json.Decoder(tuple[str, ...])


def add_token(session: Session, token: TokenRow) -> None:
    """Store an issued token."""
    fields = msgspec.structs.asdict(token)
    fields["groups"] = msgspec.json.encode(token.groups).decode()
    session.run("insert_token", fields)


def revoke_token(session: Session, jti: str, at: float) -> bool:
    """Mark a token as revoked. Return False if it does not exist or is already revoked."""
    return session.run("revoke_token", {"jti": jti, "at": at}).rowcount == 1


def token(session: Session, jti: str) -> TokenRow | None:
    """Return a token, or None if it does not exist."""
    found = session.one("token", {"jti": jti})
    return None if found is None else token_of(found)


def tokens(
    session: Session,
    community: str | None,
    subject: tuple[str, str] | None = None,
    *,
    before: PageStart = FIRST_PAGE,
    limit: int,
) -> list[TokenRow]:
    """Return tokens, newest first, of one community and one (issuer, subject). None means all.

    `before` is the time of issue and the jti of the last token on the previous page.
    """
    issuer, name = subject or (None, None)
    fields = {
        "community": community,
        "issuer": issuer,
        "subject": name,
        "issued_at": before[0],
        "jti": before[1],
        "limit": limit,
    }
    return [token_of(row) for row in session.rows("tokens", fields)]


def unexpired_tokens(session: Session, issuer: str, subject: str, *, now: float, limit: int) -> int:
    """Count the unexpired tokens of a subject, including revoked ones, up to `limit`."""
    named = {"issuer": issuer, "subject": subject, "now": now, "limit": limit}
    count: int = (session.one("unexpired_tokens", named))[0]
    return count


def token_groups(session: Session) -> list[tuple[str, str]]:
    """Return (community, group) for all tokens, and (community, "") for each community.

    Return at most TOKEN_GROUPS_MAX pairs.
    """
    rows = session.rows("token_groups", {"limit": TOKEN_GROUPS_MAX})
    return [(community, group) for community, group in rows]


def revoked(session: Session, now: float) -> list[tuple[str, float]]:
    """Return (jti, expiry) of revoked tokens that have not expired."""
    rows = session.rows("revoked", {"now": now})
    return [(jti, expires_at) for jti, expires_at in rows]


def revoked_mark(session: Session, now: float) -> tuple[int, float]:
    """Return a pair of numbers that changes when the result of `revoked` changes."""
    count, moments = session.one("revoked_mark", {"now": now})
    return count, moments


def owner_of(row: Sequence[Any]) -> Owner:
    return Owner(owner_id=row[0], community=row[1], issuer=row[2], subject=row[3], name=row[4])


def token_of(row: Sequence[Any]) -> TokenRow:
    return TokenRow(
        jti=row[0],
        issuer=row[1],
        subject=row[2],
        name=row[3],
        community=row[4],
        groups=_words.decode(row[5]),
        role=row[6],
        issued_at=row[7],
        expires_at=row[8],
        issued_by=row[9],
        revoked_at=row[10],
    )


def owner(session: Session, owner: Owner) -> Owner:
    """Return the owner with its id, found by (community, issuer, subject). Store a new one."""
    fields = msgspec.structs.asdict(owner)
    session.run("insert_owner", fields)
    return owner_of(session.one("get_owner", fields))


def find_owner(session: Session, community: str, issuer: str, subject: str) -> Owner | None:
    """Return a stored owner, or None."""
    named = {"community": community, "issuer": issuer, "subject": subject}
    found = session.one("get_owner", named)
    return None if found is None else owner_of(found)


def owners(session: Session) -> list[Owner]:
    """Return all owners."""
    return [owner_of(row) for row in session.rows("all_owners", {})]
