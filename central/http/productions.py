"""Routes of productions."""

from typing import Annotated

import msgspec
from litestar.types import ASGIApp
from msgspec import Meta

from pilotage.proto import api
from pilotage.proto.api_productions import NewProduction, ProductionAction
from pilotage.proto.ids import ID_MAX
from pilotage.proto.production_states import ProductionState

from .answers import encoded
from .call import Call

Id = Annotated[int, Meta(ge=0, le=ID_MAX)]
Limit = Annotated[int, Meta(ge=1, le=api.PAGE_MAX)]


class ProductionsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which productions, and which page of them."""

    state: tuple[ProductionState, ...] = ()
    after: Id = 0
    limit: Limit = 100


async def add(call: Call) -> ASGIApp:
    body = await call.read(NewProduction)
    return encoded(await call.services.productions.add(call.user(), body))


async def several(call: Call) -> ASGIApp:
    asked = call.query(ProductionsQuery)
    return encoded(
        await call.services.productions.list(
            call.user(), states=asked.state, after=asked.after, limit=asked.limit
        )
    )


async def show(call: Call) -> ASGIApp:
    return encoded(await call.services.productions.show(call.user(), _named(call)))


async def report(call: Call) -> ASGIApp:
    return encoded(await call.services.productions.report(call.user(), _named(call)))


async def act(call: Call) -> ASGIApp:
    action = await call.read(ProductionAction)
    return encoded(await call.services.productions.act(call.user(), _named(call), action))


def _named(call: Call) -> str:
    return call.path("production")
