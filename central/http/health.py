"""Routes that anybody may ask: how the central is."""

from litestar.types import ASGIApp

from pilotage.proto.problems import Code

from ..errors import Refused
from ..observe.metrics import MEDIA
from .answers import Answer, encoded
from .call import Call

ENTRANCE = {"health": "/health", "description": "/openapi.json", "pilot": "/pilot.sh"}


async def entrance(call: Call) -> ASGIApp:
    return encoded(ENTRANCE)


async def health(call: Call) -> ASGIApp:
    return encoded(call.services.health.health())


async def ready(call: Call) -> ASGIApp:
    found = call.services.health.ready()
    if not found.ready:
        why = "loading, or stopping" if not found.loaded else f"the store: {found.store}"
        if found.loaded and found.store == "ok" and found.disk != "ok":
            why = f"the disk: {found.disk}"
        raise Refused(Code.UNAVAILABLE, f"not ready: {why}")
    return encoded(found)


async def metrics(call: Call) -> ASGIApp:
    page = await call.services.metrics.page(call.face.requests)
    return Answer(page.encode(), media=MEDIA)


async def openapi(call: Call) -> ASGIApp:
    return Answer(call.face.openapi())
