"""What a process says that does not lead: 421 to all, and how it is to whoever watches it."""

import asyncio
import socket
from typing import Any, Final, cast

import msgspec
import uvicorn
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from pilotage.proto.messages import Problem
from pilotage.proto.problems import STATUS, Code

from .server import BACKLOG, STOP_S, QuietServer

HEALTH: Final = "/health"
WHY: Final = "this process waits to lead: another one answers"
CONNECTIONS_MAX: Final = 5_000
KEEP_ALIVE_S: Final = 5


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one request of ASGI; the connection is closed, so that the next finds who leads."""
    if scope["type"] != ScopeType.HTTP:
        return
    if scope["path"] == HEALTH:
        code, body = 200, msgspec.json.encode({"status": "standby"})
    else:
        code = STATUS[Code.NOT_LEADER]
        body = msgspec.json.encode(Problem(Code.NOT_LEADER.value, WHY))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    await send(cast(Any, {"type": "http.response.start", "status": code, "headers": headers}))
    await send(cast(Any, {"type": "http.response.body", "body": body, "more_body": False}))


class StandbyServer:
    """Answers on the port that the central has when it leads."""

    def __init__(self, *, host: str, port: int, tls_certificate: str, tls_key: str) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self.port = int(self._socket.getsockname()[1])
        self._server = QuietServer(
            uvicorn.Config(
                cast(Any, answer),
                loop="none",
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                server_header=False,
                ssl_certfile=tls_certificate or None,
                ssl_keyfile=tls_key or None,
                proxy_headers=False,
                limit_concurrency=CONNECTIONS_MAX,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=STOP_S,
            )
        )

    async def run(self) -> None:
        """Serve until cancelled; then the port is free."""
        try:
            await self._server.serve(sockets=[self._socket])
        except asyncio.CancelledError:
            await self._server.shutdown(sockets=[self._socket])
            raise
        finally:
            self._socket.close()
