"""Requests to the face in the same process: no socket, no server."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

from pilotage.central.http.app import HttpApp
from pilotage.central.http.asgi import AsgiMessage, AsgiReceive, AsgiScope, AsgiSend
from pilotage.proto.messages import Problem

PATIENCE_S = 5.0


@dataclass
class Reply:
    """A whole answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def problem(self) -> Problem:
        return msgspec.json.decode(self.body, type=Problem)


@dataclass
class Client:
    """Calls a face. With `leave` it goes away at the first part of the answer's body, with `gone`
    when that is set."""

    front: HttpApp

    async def ask(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        body: bytes | list[bytes] = b"",
        media: str = "",
        headers: dict[str, str] | None = None,
        leave: bool = False,
        gone: asyncio.Event | None = None,
    ) -> Reply:
        sent = {"authorization": f"Bearer {token}"} if token else {}
        sent |= {"content-type": media} if media else {}
        sent |= headers or {}
        parts = body if isinstance(body, list) else [body]
        reply, gone = Reply(), gone or asyncio.Event()
        coming = deque(enumerate(parts, start=1))

        async def receive() -> Any:
            if coming and not gone.is_set():
                index, part = coming.popleft()
                return {"type": "http.request", "body": part, "more_body": index < len(parts)}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: AsgiMessage) -> None:
            if message["type"] == "http.response.start":
                reply.status = message["status"]
                reply.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            elif message["type"] == "http.response.body":
                reply.body += message["body"]
                if leave and message["body"]:
                    gone.set()

        async with asyncio.timeout(PATIENCE_S):
            scope = scope_of(method, path, sent)
            await self.front(scope, cast(AsgiReceive, receive), cast(AsgiSend, send))
        return reply


def scope_of(method: str, path: str, headers: dict[str, str]) -> AsgiScope:
    """Return a request as a server hands it to the face."""
    bare, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": bare,
        "raw_path": bare.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }
    return cast(AsgiScope, scope)
