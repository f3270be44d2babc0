"""The answers of a process that waits to lead: 421 to all, and its health to whoever watches it.

A pilot of release 0.1 does not follow a 421 with its files: it would repeat the request here for
ever. So the standby hands such a request on to the leader.
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import uvicorn

from pilotage import __version__
from pilotage.proto.api.jobs import Health
from pilotage.proto.messages import FOLLOWS
from pilotage.proto.problems import Code

from ..anonymous_connections import PART, Strangers
from ..errors import Misdirected, Refused
from ..observe.metrics import MEDIA, MetricsPage
from ..ports import Clock
from .answers import HttpAnswer, encoded, problem
from .asgi import ASGIApp, Receive, Scope, Send
from .body import header
from .connection import LimitedConnection
from .forwarding import LeaderLink
from .server import BACKLOG, CONNECTIONS_MAX, QuietServer, bound

HEALTH: Final = "/health"
METRICS: Final = "/metrics"
_BLOB: Final = re.compile(rb"/v1/blobs/[0-9a-f]{64}")
PILOT_LOG: Final = "/v1/pilots/log"
KEEP_ALIVE_S: Final = 5
HANDED_ON_MAX: Final = 50  # at once from one address, or it would take all connections


class _Abortable(LimitedConnection):
    """Has the central's limits, and ends at once, whatever its peer takes or has yet to take."""

    def __init__(self, *args: Any, is_over: Callable[[], bool], **named: Any) -> None:
        super().__init__(*args, **named)
        self._is_over = is_over

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._whole = transport
        super().connection_made(transport)
        if self._is_over():  # its TLS handshake was under way at the end
            self.abort()

    def abort(self) -> None:
        self._whole.abort()


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
        elsewhere: LeaderLink,
        connections_max: int = CONNECTIONS_MAX,
        strangers_max: int = 0,
    ) -> None:
        """`leader` returns where the process that leads is reached, None if that is not known.

        `elsewhere` hands requests on to it; the caller closes it. The limits are those of the
        `HttpServer`. Nobody is known here: all are strangers.
        """
        self._leader, self._clock, self._elsewhere = leader, clock, elsewhere
        self._since = clock.monotonic()
        self.listener = bound(host, port)  # whoever has made this one closes it
        self.port = int(self.listener.getsockname()[1])
        self._is_over = False
        self._handed_on = Strangers(HANDED_ON_MAX)
        connection = partial(
            _Abortable,
            strangers=Strangers(strangers_max or max(1, connections_max // PART)),
            is_over=lambda: self._is_over,
        )
        self._server = QuietServer(
            uvicorn.Config(
                cast(Any, self._answer),
                http=cast(type[LimitedConnection], connection),
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
                backlog=BACKLOG,
                limit_concurrency=connections_max,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        )

    async def run(self) -> None:
        """Serve until cancelled, and end at once then: no peer is waited for.

        Whoever comes afterwards waits at the listener for the server that follows.
        """
        mine = self.listener.dup()
        try:
            await self._server.serve(sockets=[mine])
        finally:
            self._is_over = True
            for listening in getattr(self._server, "servers", ()):  # none before it has begun
                listening.close()
            mine.close()
            for connection in list(self._server.server_state.connections):
                cast(_Abortable, connection).abort()

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
        if scope["type"] != "http":
            return
        answer: ASGIApp
        if scope["path"] == HEALTH:
            answer = encoded(self._health())
        elif scope["path"] == METRICS:
            page = MetricsPage()
            page.put_all("pilotage_build_info", {__version__: 1})
            page.put("pilotage_leads", 0)
            answer = HttpAnswer(page.text().encode(), media=MEDIA)
        elif _is_of_old_pilot(scope):
            await self._hand_on(scope, receive, send)
            return
        else:
            answer = problem(Misdirected(self._leader() or ""))
        await answer(scope, receive, send)

    async def _hand_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as the leader does, unless the address of the caller has too many under way."""
        client = scope["client"]
        asking = self._handed_on.come(client[0] if client else "")
        if asking is None:
            why = "your address has too many requests under way here: repeat"
            await problem(Refused(Code.UNAVAILABLE, why))(scope, receive, send)
            return
        answer: ASGIApp
        try:
            try:
                answer = await self._elsewhere.pass_on(scope, receive)
            except Refused as why:
                answer = problem(why)
            await answer(scope, receive, send)
        finally:
            asking.end()


def _is_of_old_pilot(scope: Scope) -> bool:
    """Return whether a request is one with which a pilot of release 0.1 follows no 421."""
    headers = scope["headers"]
    if header(headers, FOLLOWS.encode()) or not header(headers, b"authorization"):
        return False
    if _BLOB.fullmatch(scope["raw_path"]):  # as it is handed on: no way leads out of it
        return scope["method"] in ("GET", "PUT")
    return bool(scope["raw_path"] == PILOT_LOG.encode())
