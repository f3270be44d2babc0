"""The pilots' hot routes, which answer about ten thousand requests a second.

Messages, errors and policy are the same as for all other routes, and the table of routes lists
them too.
"""

import asyncio
from typing import Any, Final

import msgspec

from ..received_messages import hear
from .answers import JSON, SEND_S
from .asgi import AsgiReceive, AsgiScope, AsgiSend
from .body import header, read_small
from .call import media
from .direct_answers import Exchange
from .guards import Admit, trust
from .route import Hot

_encoder = msgspec.json.Encoder()
_MEDIA: Final = (b"content-type", JSON.encode())


class HotRoute:
    """One hot route, with ASGI and without it."""

    def __init__(self, service: Any, admit: Admit, takes: type[Any], answer: Hot[Any, Any]) -> None:
        self._service, self._admit, self._takes, self._answer = service, admit, takes, answer

    async def exchange(self, exchange: Exchange) -> bytes:
        """Return the answer to a permitted request. Raises Refused."""
        heard = exchange.heard
        caller = self._admit(heard.authorization)
        exchange.trust()
        answer = await self._answer(self._service, caller, hear(heard.body, self._takes))
        return _encoder.encode(answer)

    async def serve(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one ASGI request. Raises Refused only before anything is sent."""
        headers = scope["headers"]
        caller = self._admit(header(headers, b"authorization"))
        trust(scope)
        media(header(headers, b"content-type"), JSON)
        message = hear(await read_small(receive, headers), self._takes)
        body = _encoder.encode(await self._answer(self._service, caller, message))
        length = (b"content-length", str(len(body)).encode())
        async with asyncio.timeout(SEND_S):
            await send({"type": "http.response.start", "status": 200, "headers": [_MEDIA, length]})
            await send({"type": "http.response.body", "body": body, "more_body": False})
