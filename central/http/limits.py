"""Routes of shares and limits."""

from litestar.types import ASGIApp

from .answers import encoded
from .call import Call


async def limits(call: Call) -> ASGIApp:
    return encoded(await call.services.limits.show(call.user()))


async def read(call: Call) -> ASGIApp:
    return encoded(await call.services.limits.read(call.user()))
