"""Routes of storages."""

from litestar.types import ASGIApp

from .answers import encoded
from .call import Call


async def storages(call: Call) -> ASGIApp:
    return encoded(await call.services.storages.all(call.user()))


async def detail(call: Call) -> ASGIApp:
    return encoded(await call.services.storages.show(call.user(), call.path("storage")))
