"""Routes of pilots: those that they speak on now and then, and those of operators."""

from typing import Annotated

import msgspec
from litestar.types import ASGIApp
from msgspec import Meta

from pilotage.proto import api
from pilotage.proto.api_sites import PilotEnd
from pilotage.proto.ids import ID_MAX
from pilotage.proto.messages import Hello, LogChunk, PilotLog, Register, TokenRequest
from pilotage.proto.pilot_states import PilotState

from .answers import encoded, nothing
from .call import Call


class PilotsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which pilots, and which page of them."""

    state: tuple[PilotState, ...] = ()
    site: str = ""
    after: str = ""
    limit: Annotated[int, Meta(ge=1, le=api.PAGE_MAX)] = 100


class PilotLogQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which lines of pilots' logs, and which page of them."""

    pilot: str = ""
    site: str = ""
    host: str = ""
    batch_id: str = ""
    job: Annotated[int, Meta(ge=1, le=ID_MAX)] | None = None
    since: float | None = None
    grep: str = ""
    warnings: bool = False
    after: Annotated[int, Meta(ge=0, le=ID_MAX)] | None = None
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


async def keep_log(call: Call) -> ASGIApp:
    message = await call.hear(PilotLog)
    return encoded(await call.services.pilot_logs.keep(call.pilot(), message))


async def read_log(call: Call) -> ASGIApp:
    asked = call.query(PilotLogQuery)
    wanted = api.PilotLogFilter(
        pilot=asked.pilot,
        site=asked.site,
        host=asked.host,
        batch_id=asked.batch_id,
        job=asked.job,
        since=asked.since,
        grep=asked.grep,
        warnings=asked.warnings,
    )
    page = await call.services.pilot_logs.read(call.user(), wanted, asked.after, asked.limit)
    return encoded(page)


async def search(call: Call) -> ASGIApp:
    asked = call.query(PilotsQuery)
    page = await call.services.pilots.list(
        call.user(), states=asked.state, site=asked.site, after=asked.after, limit=asked.limit
    )
    return encoded(page)


async def detail(call: Call) -> ASGIApp:
    return encoded(await call.services.pilots.get(call.user(), call.path("pilot")))


async def explain(call: Call) -> ASGIApp:
    return encoded(await call.services.explainer.pilot(call.user(), call.path("pilot")))


async def drain(call: Call) -> ASGIApp:
    await call.services.pilots.drain(call.user(), call.path("pilot"))
    return nothing()


async def make_secrets(call: Call) -> ASGIApp:
    request = await call.read(api.SecretRequest)
    return encoded(await call.services.pilots.make_secrets(call.user(), request))


async def kill(call: Call) -> ASGIApp:
    order = await call.read(PilotEnd)
    return encoded(await call.services.pilots.kill(call.user(), call.path("pilot"), order))
