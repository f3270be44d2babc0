"""Routes of Rucio servers. All need the leader, which mirrors them."""

from typing import Final

from pilotage.proto.api.rucio import RucioList, RucioView

from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from .service import RucioService

ROUTES: Final = Routes[RucioService]()


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
