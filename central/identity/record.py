"""Tokens of persons."""

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from ..store.session import Session
from .record_types import Owner, TokenRow

FIRST_TOKENS: Final = (math.inf, "")  # before the first page of tokens, which are newest first
TOKEN_GROUPS_MAX: Final = 100_000

_words: Final = msgspec.json.Decoder(tuple[str, ...])


def add_token(session: Session, token: TokenRow) -> None:
    """Keep a token that was given out."""
    fields = msgspec.structs.asdict(token)
    fields["groups"] = msgspec.json.encode(token.groups).decode()
    session.run("insert_token", fields)


def revoke_token(session: Session, jti: str, at: float) -> bool:
    """Mark a token revoked; False where there is none or it is revoked already."""
    return session.run("revoke_token", {"jti": jti, "at": at}).rowcount == 1


def token(session: Session, jti: str) -> TokenRow | None:
    """Return a token, None: there is none."""
    found = session.one("token", {"jti": jti})
    return None if found is None else token_of(found)


def tokens(
    session: Session,
    community: str | None,
    subject: tuple[str, str] | None = None,
    *,
    before: tuple[float, str] = FIRST_TOKENS,
    limit: int,
) -> list[TokenRow]:
    """Return tokens, newest first: of a community or of all, of (issuer, subject) or of all.

    `before` is the moment and the jti of the last one of the page before.
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
    """Count somebody's tokens that have not expired, revoked ones too, up to `limit`."""
    named = {"issuer": issuer, "subject": subject, "now": now, "limit": limit}
    count: int = (session.one("unexpired_tokens", named))[0]
    return count


def token_groups(session: Session) -> list[tuple[str, str]]:
    """Return (community, group) of all tokens, and (community, "") of each; at most
    TOKEN_GROUPS_MAX.
    """
    rows = session.rows("token_groups", {"limit": TOKEN_GROUPS_MAX})
    return [(community, group) for community, group in rows]


def revoked(session: Session, now: float) -> list[tuple[str, float]]:
    """Return (jti, expiry) of revoked tokens that have not expired."""
    rows = session.rows("revoked", {"now": now})
    return [(jti, expires_at) for jti, expires_at in rows]


def revoked_mark(session: Session, now: float) -> tuple[int, float]:
    """Return what is another pair of numbers when others are `revoked`."""
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
    """Return the owner with its id, by (community, issuer, subject); a new one is stored."""
    fields = msgspec.structs.asdict(owner)
    session.run("insert_owner", fields)
    return owner_of(session.one("get_owner", fields))


def find_owner(session: Session, community: str, issuer: str, subject: str) -> Owner | None:
    """Return a stored owner."""
    named = {"community": community, "issuer": issuer, "subject": subject}
    found = session.one("get_owner", named)
    return None if found is None else owner_of(found)


def owners(session: Session) -> list[Owner]:
    """Return all owners."""
    return [owner_of(row) for row in session.rows("all_owners", {})]
