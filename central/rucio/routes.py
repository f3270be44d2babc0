"""Routes of Rucio servers. All need the leader, which mirrors them."""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from pilotage.proto.api.data import PageLimit
from pilotage.proto.api.rucio import OutboxPage, RucioList, RucioView
from pilotage.proto.ids import ID_MAX

from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from .outbox_record import EntryState
from .service import RucioService

ROUTES: Final = Routes[RucioService]()


class OutboxQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Selects a page of the outbox."""

    state: Literal["Waiting", "Clash"] = "Waiting"
    after: Annotated[int, Meta(ge=0, le=ID_MAX)] = 0
    limit: PageLimit = 100


@ROUTES.add("GET", "/v1/rucio", Permission.DATA_READ)
async def servers(rucio: RucioService, call: Call) -> RucioList:
    """List Rucio servers, and how far their files are in the catalogue."""
    return await rucio.all(user(call))


@ROUTES.add("GET", "/v1/rucio/{rucio}", Permission.DATA_READ)
async def server(rucio: RucioService, call: Call) -> RucioView:
    """Show one Rucio server."""
    return await rucio.show(user(call), call.path("rucio"))


@ROUTES.add("POST", "/v1/rucio/{rucio}/compare", Permission.SITE_CONTROL)
async def compare(rucio: RucioService, call: Call) -> RucioView:
    """Compare all files of a Rucio server with the catalogue soon, as happens once a day."""
    return await rucio.compare(user(call), call.path("rucio"))


@ROUTES.add("GET", "/v1/data/outbox", Permission.DATA_READ)
async def outbox(rucio: RucioService, call: Call, query: OutboxQuery) -> OutboxPage:
    """List outputs that a Rucio server does not have yet, with the reason of each."""
    state = EntryState(query.state)
    return await rucio.outbox(user(call), state=state, after=query.after, limit=query.limit)
