"""The pilots' hot routes, answered without a framework: some ten thousand times a second.

Same messages, same errors, same policy as everywhere; the table in `routes.py` has them too.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from litestar.types import Receive, Scope, Send

from pilotage.proto.messages import Beat, BeatAnswer, Turn, TurnReply
from pilotage.proto.problems import Code

from ..auth.callers import PilotCaller
from ..auth.errors import Forbidden
from ..auth.policy import Action
from ..errors import Refused
from ..hearing import hear
from ..services import Services
from .answers import JSON, SEND_S, problem
from .body import header, read_small
from .call import media
from .connection import DIRECT, Direct
from .guards import allowed_caller

Hot = Callable[[Services, PilotCaller, Any], Awaitable[Any]]

_encoder = msgspec.json.Encoder()
_MEDIA: Final = (b"content-type", JSON.encode())


async def turn(services: Services, caller: PilotCaller, message: Turn) -> TurnReply:
    """Any reports and at most one ask."""
    return await services.dispatch.turn(caller, message)


async def ask(services: Services, caller: PilotCaller, message: Turn) -> TurnReply:
    """One ask."""
    if message.ask is None or message.reports:
        raise Refused(Code.INVALID, "$.ask: an ask and nothing else belongs here", field="$.ask")
    return await services.dispatch.turn(caller, message)


async def report(services: Services, caller: PilotCaller, message: Turn) -> TurnReply:
    """Reports."""
    if message.ask is not None:
        raise Refused(Code.INVALID, "$.ask: only reports belong here", field="$.ask")
    return await services.dispatch.turn(caller, message)


async def beat(services: Services, caller: PilotCaller, message: Beat) -> BeatAnswer:
    """A sign of life that the bus did not answer."""
    return await services.dispatch.beat(caller, message)


def hot_app(
    services: Services, action: Action, takes: type[Any], answer: Hot
) -> Callable[[Scope, Receive, Send], Awaitable[bool]]:
    """Return the ASGI function of one hot route; it says whether it answered beside ASGI."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> bool:
        headers = scope["headers"]
        direct: Direct | None = (scope.get("extensions") or {}).get(DIRECT)  # type: ignore[assignment]
        try:
            caller = allowed_caller(services.tokens, action, headers)
            if not isinstance(caller, PilotCaller):
                raise Forbidden("this is for pilots")
            if direct is not None:
                direct.trust()
            media(header(headers, b"content-type"), JSON)
            given = direct.body() if direct is not None else None
            if given is None:
                given = await read_small(receive, headers)
            body = _encoder.encode(await answer(services, caller, hear(given, takes)))
        except Refused as why:
            await problem(why)(scope, receive, send)
            return False
        if direct is not None and direct.answer(body):
            return True
        length = (b"content-length", str(len(body)).encode())
        async with asyncio.timeout(SEND_S):
            await send({"type": "http.response.start", "status": 200, "headers": [_MEDIA, length]})
            await send({"type": "http.response.body", "body": body, "more_body": False})
        return False

    return serve
