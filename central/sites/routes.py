"""Routes of sites."""

from typing import Final

from pilotage.proto.api.sites import SiteAction, SiteDetail, Sites

from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from .service import SiteService

ROUTES: Final = Routes[SiteService]()


@ROUTES.add("GET", "/v1/sites", Permission.PILOT_READ)
async def several(sites: SiteService, call: Call) -> Sites:
    """List sites with pilots, cores, jobs, bans and shares."""
    return await sites.all(user(call))


@ROUTES.add("GET", "/v1/sites/{site}", Permission.PILOT_READ)
async def detail(sites: SiteService, call: Call) -> SiteDetail:
    """Show everything about one site."""
    return await sites.show(user(call), call.path("site"))


@ROUTES.add("POST", "/v1/sites/{site}/actions", Permission.SITE_CONTROL)
async def act(sites: SiteService, call: Call, body: SiteAction) -> SiteDetail:
    """Ban, drain or enable a site or one of its elements."""
    return await sites.act(user(call), call.path("site"), body)
