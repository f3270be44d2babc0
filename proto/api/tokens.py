"""Bodies of requests and answers about tokens and their holders."""

from typing import Annotated

from msgspec import Meta

from ..claims import Role
from .bodies import ReplyStruct as _Out, RequestStruct as _In


class TokenIssue(_In, frozen=True):
    """A token for a person, with at most the caller's rights."""

    subject: Annotated[str, Meta(min_length=1, max_length=128)]
    community: str = ""
    groups: tuple[str, ...] = ()
    role: Role = Role.USER
    name: str = ""
    valid_s: Annotated[int, Meta(ge=60, le=31_536_000)] = 86_400


class TokenView(_Out, frozen=True):
    jti: str
    subject: str
    community: str
    groups: list[str]
    role: Role
    issued_at: str
    expires_at: str
    revoked: bool


class TokenIssued(_Out, frozen=True):
    token: str
    view: TokenView


class Tokens(_Out, frozen=True):
    """A page of tokens, newest first. An empty page may have an `after`."""

    tokens: list[TokenView]
    after: str | None = None


class WhoAmI(_Out, frozen=True):
    subject: str
    issuer: str
    name: str
    community: str
    groups: tuple[str, ...]
    role: Role
    expires_in_s: float
    session: str = ""  # of a login; empty: a token that was issued by hand
