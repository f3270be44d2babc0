"""Routes that anybody may ask: how the central is, and the pilot's file."""

from litestar.types import ASGIApp

from pilotage.proto.problems import Code

from ..auth.signature import SignedFile
from ..errors import Refused
from .answers import Answer, encoded
from .call import Call

ENTRANCE = {"health": "/health", "description": "/openapi.json", "pilot": "/pilot.pyz"}


async def entrance(call: Call) -> ASGIApp:
    return encoded(ENTRANCE)


async def health(call: Call) -> ASGIApp:
    return encoded(call.services.health.health())


async def ready(call: Call) -> ASGIApp:
    if not call.services.health.ready():
        raise Refused(Code.UNAVAILABLE, "not ready yet, or no more")
    return encoded({"ready": True})


async def bundle(call: Call) -> ASGIApp:
    return Answer((await _signed(call)).content, media="application/zip")


async def bundle_signature(call: Call) -> ASGIApp:
    return Answer((await _signed(call)).signature, media="application/octet-stream")


async def bundle_key(call: Call) -> ASGIApp:
    return Answer((await _signed(call)).key_pem, media="application/x-pem-file")


async def _signed(call: Call) -> SignedFile:
    signed = await call.face.bundle()
    if signed is None:
        raise Refused(Code.NOT_FOUND, "this central has no pilot.pyz")
    return signed


async def openapi(call: Call) -> ASGIApp:
    return Answer(call.face.openapi)
