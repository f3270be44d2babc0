"""What a process says that does not lead: 421 to all, and how it is to whoever watches it."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, cast

import uvicorn
from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from pilotage import __version__
from pilotage.proto.api import Health

from ..errors import Misdirected
from ..observe.metrics import MEDIA, Page
from ..ports import Clock
from .answers import Answer, encoded, problem
from .server import BACKLOG, STOP_S, QuietServer

HEALTH: Final = "/health"
METRICS: Final = "/metrics"
CONNECTIONS_MAX: Final = 5_000
KEEP_ALIVE_S: Final = 5


class StandbyServer:
    """Answers on the port that the central has when it leads.

    The connection is closed after each answer, so that the next one finds who leads.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls_certificate: str,
        tls_key: str,
        leader: Callable[[], str | None],
        clock: Clock,
    ) -> None:
        """`leader` returns where the process that leads is reached, None if that is not known."""
        self._leader, self._clock = leader, clock
        self._since = clock.monotonic()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family, backlog=BACKLOG)
        self.port = int(self._socket.getsockname()[1])
        self._server = QuietServer(
            uvicorn.Config(
                cast(Any, self._answer),
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

    def _health(self) -> Health:
        """Of jobs, attempts and pilots only the leader knows."""
        return Health(
            status="standby",
            version=__version__,
            gen="",
            jobs_waiting=0,
            attempts=0,
            pilots=0,
            bus="none",
            uptime_s=round(self._clock.monotonic() - self._since, 1),
            leader=self._leader() or "",
        )

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            return
        if scope["path"] == HEALTH:
            answer = encoded(self._health())
        elif scope["path"] == METRICS:
            page = Page()
            page.put_all("pilotage_build_info", {__version__: 1})
            page.put("pilotage_leads", 0)
            answer = Answer(page.text().encode(), media=MEDIA)
        else:
            answer = problem(Misdirected(self._leader() or ""))
        await answer(scope, receive, send)
