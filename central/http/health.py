"""Routes that anybody may ask: how the central is, and the pilot's file."""

from litestar.types import ASGIApp

from pilotage.proto.problems import Code

from ..errors import Refused
from .answers import Answer, encoded
from .call import Call


async def health(call: Call) -> ASGIApp:
    return encoded(call.services.health.health())


async def ready(call: Call) -> ASGIApp:
    if not call.services.health.ready():
        raise Refused(Code.UNAVAILABLE, "not ready yet, or no more")
    return encoded({"ready": True})


async def bundle(call: Call) -> ASGIApp:
    content = await call.face.bundle()
    if content is None:
        raise Refused(Code.NOT_FOUND, "this central has no pilot.pyz")
    return Answer(content, media="application/zip")


async def openapi(call: Call) -> ASGIApp:
    return Answer(call.face.openapi)
