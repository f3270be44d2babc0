"""Routes of tokens and of the public keys of this central."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from pilotage.proto.api import jobs
from pilotage.proto.api.tokens import TokenIssue, TokenIssued, Tokens, WhoAmI

from ..http.call import Call
from ..http.route import Routes
from .calls import user
from .element_issuer import KEYS_PATH, METADATA_PATH, IssuerDocuments
from .policy import Permission
from .tokens import TokenIssuer

Issuer = Callable[[], Awaitable[IssuerDocuments]]

ROUTES: Final = Routes[TokenIssuer]()
ISSUER_ROUTES: Final = Routes[Issuer]()


class TokensQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects a page of tokens."""

    after: Annotated[str, Meta(max_length=300)] = ""
    limit: Annotated[int, Meta(ge=1, le=jobs.PAGE_MAX)] = jobs.PAGE_MAX


@ROUTES.add("POST", "/v1/tokens", Permission.TOKEN_ISSUE, needs_leader=False)
async def issue(tokens: TokenIssuer, call: Call, body: TokenIssue) -> TokenIssued:
    """Issue a token for a user, with at most the caller's rights."""
    return await tokens.issue(user(call), body)


@ROUTES.add("GET", "/v1/tokens", Permission.TOKEN_READ, needs_leader=False)
async def search(tokens: TokenIssuer, call: Call, query: TokensQuery) -> Tokens:
    """List issued tokens, newest first, without the secrets."""
    return await tokens.list(user(call), after=query.after, limit=query.limit)


@ROUTES.add("DELETE", "/v1/tokens/{jti}", Permission.TOKEN_REVOKE, needs_leader=False)
async def revoke(tokens: TokenIssuer, call: Call) -> None:
    """Revoke a token."""
    await tokens.revoke(user(call), call.path("jti"))


@ROUTES.add("GET", "/v1/whoami", Permission.WHOAMI, needs_leader=False)
async def whoami(tokens: TokenIssuer, call: Call) -> WhoAmI:
    """Show the contents of the caller's token."""
    return tokens.whoami(user(call))


@ROUTES.add("GET", "/.well-known/jwks.json", Permission.PUBLIC_READ, needs_leader=False)
async def jwks(tokens: TokenIssuer, call: Call) -> dict[str, Any]:
    """Fetch the public keys of this central's tokens."""
    return tokens.jwks()


@ISSUER_ROUTES.add("GET", METADATA_PATH, Permission.PUBLIC_READ, needs_leader=False)
async def element_issuer(published: Issuer, call: Call) -> dict[str, Any]:
    """For sites: the issuer of the tokens for compute elements."""
    return (await published()).metadata


@ISSUER_ROUTES.add("GET", KEYS_PATH, Permission.PUBLIC_READ, needs_leader=False)
async def element_keys(published: Issuer, call: Call) -> dict[str, Any]:
    """For sites: the public keys of that issuer."""
    return (await published()).jwks
