"""Routes of tokens, and who one is by one's own."""

from typing import Annotated

import msgspec
from litestar.types import ASGIApp
from msgspec import Meta

from pilotage.proto import api

from .answers import encoded, nothing
from .call import Call


class TokensQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which page of tokens."""

    after: Annotated[str, Meta(max_length=300)] = ""
    limit: Annotated[int, Meta(ge=1, le=api.PAGE_MAX)] = api.PAGE_MAX


async def issue(call: Call) -> ASGIApp:
    wanted = await call.read(api.TokenIssue)
    return encoded(await call.services.tokens.issue(call.user(), wanted))


async def search(call: Call) -> ASGIApp:
    asked = call.query(TokensQuery)
    page = await call.services.tokens.list(call.user(), after=asked.after, limit=asked.limit)
    return encoded(page)


async def revoke(call: Call) -> ASGIApp:
    await call.services.tokens.revoke(call.user(), call.path("jti"))
    return nothing()


async def whoami(call: Call) -> ASGIApp:
    return encoded(call.services.tokens.whoami(call.user()))


async def jwks(call: Call) -> ASGIApp:
    return encoded(call.services.tokens.jwks())


async def element_issuer(call: Call) -> ASGIApp:
    return encoded((await call.face.element_issuer()).metadata)


async def element_keys(call: Call) -> ASGIApp:
    return encoded((await call.face.element_issuer()).jwks)
