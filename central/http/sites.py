"""Routes of sites and their compute elements."""

from litestar.types import ASGIApp

from pilotage.proto import api_sites

from .answers import encoded
from .call import Call


async def sites(call: Call) -> ASGIApp:
    return encoded(await call.services.sites.all(call.user()))


async def detail(call: Call) -> ASGIApp:
    return encoded(await call.services.sites.show(call.user(), call.path("site")))


async def act(call: Call) -> ASGIApp:
    action = await call.read(api_sites.SiteAction)
    return encoded(await call.services.sites.act(call.user(), call.path("site"), action))


async def check(call: Call) -> ASGIApp:
    request = await call.read(api_sites.SiteCheckRequest)
    return encoded(await call.services.elements.check(call.user(), call.path("site"), request))


async def checked(call: Call) -> ASGIApp:
    return encoded(await call.services.elements.checked(call.user(), call.path("check")))


async def elements(call: Call) -> ASGIApp:
    return encoded(await call.services.elements.elements(call.user()))
