"""Routes of compute elements and of their checks."""

from typing import Final

from pilotage.proto.api.sites import Elements, SiteCheck, SiteCheckRequest

from ..http.call import Call
from ..http.route import Routes
from ..identity.calls import user
from ..identity.policy import Permission
from .view import ElementsView

ROUTES: Final = Routes[ElementsView]()


@ROUTES.add("POST", "/v1/sites/{site}/check", Permission.SITE_CONTROL)
async def check(elements: ElementsView, call: Call, body: SiteCheckRequest) -> SiteCheck:
    """Submit a probe pilot to each element of a site. Answers at once, before the pilots run."""
    return await elements.check(user(call), call.path("site"), body)


@ROUTES.add("GET", "/v1/checks/{check}", Permission.SITE_CONTROL)
async def checked(elements: ElementsView, call: Call) -> SiteCheck:
    """Show the progress of a check's probe pilots."""
    return await elements.checked(user(call), call.path("check"))


@ROUTES.add("GET", "/v1/elements", Permission.PILOT_READ)
async def several(elements: ElementsView, call: Call) -> Elements:
    """List the compute elements to which the central submits, with their problems."""
    return await elements.elements(user(call))
