"""Routes of pilots: those that they speak on now and then, and those of operators."""

from typing import Annotated

import msgspec
from litestar.types import ASGIApp
from msgspec import Meta

from pilotage.proto import api
from pilotage.proto.messages import Hello, LogChunk, Register, TokenRequest
from pilotage.proto.pilot_states import PilotState

from .answers import encoded, nothing
from .call import Call


class PilotsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pilots, and which page of them."""

    state: tuple[PilotState, ...] = ()
    site: str = ""
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=api.PAGE_MAX)] = 100


async def register(call: Call) -> ASGIApp:
    return encoded(await call.services.pilots.register(await call.hear(Register)))


async def hello(call: Call) -> ASGIApp:
    return encoded(await call.services.pilots.hello(await call.hear(Hello)))


async def token(call: Call) -> ASGIApp:
    return encoded(await call.services.pilots.token(await call.hear(TokenRequest)))


async def log(call: Call) -> ASGIApp:
    await call.services.logs.chunk(call.attempt_or_pilot(), await call.hear(LogChunk))
    return nothing()


async def search(call: Call) -> ASGIApp:
    asked = call.query(PilotsQuery)
    page = await call.services.pilots.list(
        call.user(), states=asked.state, site=asked.site, after=asked.after, limit=asked.limit
    )
    return encoded(page)


async def detail(call: Call) -> ASGIApp:
    return encoded(await call.services.pilots.get(call.user(), call.path("pilot")))


async def drain(call: Call) -> ASGIApp:
    await call.services.pilots.drain(call.user(), call.path("pilot"))
    return nothing()


async def make_secrets(call: Call) -> ASGIApp:
    request = await call.read(api.SecretRequest)
    return encoded(await call.services.pilots.make_secrets(call.user(), request))


async def sites(call: Call) -> ASGIApp:
    return encoded(await call.services.pilots.sites(call.user()))
