"""Routes of tokens, and who one is by one's own."""

from litestar.types import ASGIApp

from pilotage.proto import api

from .answers import encoded, nothing
from .call import Call


async def issue(call: Call) -> ASGIApp:
    wanted = await call.read(api.TokenIssue)
    return encoded(await call.services.tokens.issue(call.user(), wanted))


async def search(call: Call) -> ASGIApp:
    return encoded(await call.services.tokens.list(call.user()))


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
