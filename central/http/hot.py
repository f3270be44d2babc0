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

from ..errors import Refused
from ..hearing import hear
from ..identity.callers import PilotCaller
from ..identity.errors import Forbidden
from ..identity.policy import TABLE, Action, Reach, Who, require
from ..services import Services
from .answers import JSON, SEND_S
from .body import header, read_small
from .call import media
from .direct import Exchange
from .guards import said_by, trust

Hot = Callable[[Services, PilotCaller, Any], Awaitable[Any]]

_encoder = msgspec.json.Encoder()
_MEDIA: Final = (b"content-type", JSON.encode())


def turn(services: Services, caller: PilotCaller, message: Turn) -> Awaitable[TurnReply]:
    """Any reports and at most one ask."""
    return services.dispatch.turn(caller, message)


def ask(services: Services, caller: PilotCaller, message: Turn) -> Awaitable[TurnReply]:
    """One ask."""
    if message.ask is None or message.reports:
        raise Refused(Code.INVALID, "$.ask: an ask and nothing else belongs here", field="$.ask")
    return services.dispatch.turn(caller, message)


def report(services: Services, caller: PilotCaller, message: Turn) -> Awaitable[TurnReply]:
    """Reports."""
    if message.ask is not None:
        raise Refused(Code.INVALID, "$.ask: only reports belong here", field="$.ask")
    return services.dispatch.turn(caller, message)


def beat(services: Services, caller: PilotCaller, message: Beat) -> Awaitable[BeatAnswer]:
    """A sign of life that the bus did not answer."""
    return services.dispatch.beat(caller, message)


class HotRoute:
    """One hot route, by ASGI and beside it."""

    def __init__(self, services: Services, action: Action, takes: type[Any], answer: Hot) -> None:
        self._services, self._action, self._takes, self._answer = services, action, takes, answer
        self._is_for_pilots = TABLE[Who.PILOT, action] is not Reach.NONE

    async def exchange(self, exchange: Exchange) -> bytes:
        """Return the good answer to a request. Raises Refused."""
        heard = exchange.heard
        caller = self._pilot(heard.authorization)
        exchange.trust()
        answer = await self._answer(self._services, caller, hear(heard.body, self._takes))
        return _encoder.encode(answer)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of ASGI. Raises Refused before it has sent anything."""
        headers = scope["headers"]
        caller = self._pilot(header(headers, b"authorization"))
        trust(scope)
        media(header(headers, b"content-type"), JSON)
        message = hear(await read_small(receive, headers), self._takes)
        body = _encoder.encode(await self._answer(self._services, caller, message))
        length = (b"content-length", str(len(body)).encode())
        async with asyncio.timeout(SEND_S):
            await send({"type": "http.response.start", "status": 200, "headers": [_MEDIA, length]})
            await send({"type": "http.response.body", "body": body, "more_body": False})

    def _pilot(self, authorization: str) -> PilotCaller:
        caller = said_by(self._services.tokens, authorization)
        if isinstance(caller, PilotCaller) and self._is_for_pilots:
            return caller
        require(caller, self._action)
        raise Forbidden("this is for pilots")
