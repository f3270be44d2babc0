"""Routes of the client's wheel: a page that pip reads, and the wheel. Anybody may ask.

A user has no token before the client is installed, and the wheel is no secret.
"""

from html import escape

from litestar.types import ASGIApp

from pilotage.proto.problems import Code

from ..errors import Refused
from .answers import Answer
from .call import Call, ClientWheel

PAGE = """\
<!DOCTYPE html>
<html><head><title>pilotage</title></head><body>
<a href="/client/{name}#sha256={sha256}" data-requires-python="{python}">{name}</a>
</body></html>
"""


async def page(call: Call) -> ASGIApp:
    """Answer with a page that has the link, and the hash of the wheel in it."""
    found = await _wheel(call)
    python = escape(found.needs_python)
    text = PAGE.format(name=escape(found.name), sha256=found.sha256, python=python)
    return Answer(text.encode(), media="text/html; charset=utf-8")


async def wheel(call: Call) -> ASGIApp:
    found = await _wheel(call)
    if call.path("name") != found.name:
        raise Refused(Code.NOT_FOUND, f"the wheel of this central is /client/{found.name}")
    return Answer(found.content, media="application/zip")


async def _wheel(call: Call) -> ClientWheel:
    found = await call.face.client_wheel()
    if found is None:
        why = "this central runs from sources that are not installed, so it has no wheel"
        raise Refused(Code.NOT_FOUND, why)
    return found
