"""The answers of a process that waits to lead: its health and metrics, and 421 to the rest.

A pilot of release 0.1 does not follow a 421 when it transfers files: it would repeat the request
here for ever. The standby therefore forwards these requests to the leader.
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import uvicorn

from pilotage import __version__
from pilotage.proto.api.health import Health
from pilotage.proto.messages import FOLLOWS
from pilotage.proto.problems import Code

from ..anonymous_connections import PART, AnonymousConnections
from ..errors import Misdirected, Refused
from ..observe.metrics import MEDIA, MetricsPage
from ..ports import Clock
from .answers import HttpAnswer, encoded, problem
from .asgi import ASGIApp, AsgiReceive, AsgiScope, AsgiSend
from .body import header
from .connection import LimitedConnection
from .forwarding import LeaderLink
from .server import BACKLOG, CONNECTIONS_MAX, QuietServer, bound

HEALTH: Final = "/health"
METRICS: Final = "/metrics"
_BLOB: Final = re.compile(rb"/v1/blobs/[0-9a-f]{64}")
PILOT_LOG: Final = "/v1/pilots/log"
KEEP_ALIVE_S: Final = 5
HANDED_ON_MAX: Final = 50  # forwarded requests at once from one address, to leave room for others


class _Abortable(LimitedConnection):
    """A connection that can be aborted at once, whatever its peer has still to read or send."""

    def __init__(self, *args: Any, is_over: Callable[[], bool], **named: Any) -> None:
        super().__init__(*args, **named)
        self._is_over = is_over

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._whole = transport
        super().connection_made(transport)
        if self._is_over():  # the TLS handshake ended after the server did
            self.abort()

    def abort(self) -> None:
        self._whole.abort()


class StandbyServer:
    """Answers on the central's port while another process leads.

    The connection is closed after each answer, so that the next request can reach the leader.
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
        leader_link: LeaderLink,
        connections_max: int = CONNECTIONS_MAX,
        strangers_max: int = 0,
    ) -> None:
        """`leader` returns the leader's URL, or None if it is not known.

        `elsewhere` forwards requests to the leader; the caller closes it. The limits are those of
        `HttpServer`. This process checks no tokens, so all callers count as strangers.
        """
        self._leader, self._clock, self._leader_link = leader, clock, leader_link
        self._since = clock.monotonic()
        self.listener = bound(host, port)  # the caller closes it
        self.port = int(self.listener.getsockname()[1])
        self._is_over = False
        self._handed_on = AnonymousConnections(HANDED_ON_MAX)
        connection = partial(
            _Abortable,
            strangers=AnonymousConnections(strangers_max or max(1, connections_max // PART)),
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
        """Serve until cancelled, then end at once without waiting for any peer.

        Later connections wait at the listener for the next server.
        """
        mine = self.listener.dup()
        try:
            await self._server.serve(sockets=[mine])
        finally:
            self._is_over = True
            for listening in getattr(self._server, "servers", ()):  # missing before its start
                listening.close()
            mine.close()
            for connection in list(self._server.server_state.connections):
                cast(_Abortable, connection).abort()

    def _health(self) -> Health:
        """Return the health. The counts are 0, because only the leader knows them."""
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

    async def _answer(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
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

    async def _hand_on(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Forward the request, unless its address has too many forwarded requests already."""
        client = scope["client"]
        asking = self._handed_on.come(client[0] if client else "")
        if asking is None:
            why = "your address has too many running requests here; try again"
            await problem(Refused(Code.UNAVAILABLE, why))(scope, receive, send)
            return
        answer: ASGIApp
        try:
            try:
                answer = await self._leader_link.pass_on(scope, receive)
            except Refused as why:
                answer = problem(why)
            await answer(scope, receive, send)
        finally:
            asking.end()


def _is_of_old_pilot(scope: AsgiScope) -> bool:
    """Return whether this is a request after which a pilot of release 0.1 follows no 421."""
    headers = scope["headers"]
    if header(headers, FOLLOWS.encode()) or not header(headers, b"authorization"):
        return False
    if _BLOB.fullmatch(scope["raw_path"]):  # the raw path is forwarded: it must not contain '..'
        return scope["method"] in ("GET", "PUT")
    return bool(scope["raw_path"] == PILOT_LOG.encode())
