"""The HTTP server: uvicorn in the process's own event loop."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from functools import partial
from typing import Final, cast

import uvicorn

from ..anonymous_connections import PART, AnonymousConnections
from .app import HttpApp
from .connection import LimitedConnection

CONNECTIONS_MAX: Final = 20_000
KEEP_ALIVE_S: Final = 120  # pilots with work send something at least every 40 s
STOP_S: Final = 5
BACKLOG: Final = 2_048
HANDSHAKE_S: Final = 10.0  # for TLS


def bound(host: str, port: int) -> socket.socket:
    """Return a socket on which connections can queue from now on. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


class HttpServer:
    """Serves the HTTP face. The socket is bound at once, so that `port` is known."""

    def __init__(
        self,
        front: HttpApp,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tls_certificate: str = "",
        tls_key: str = "",
        connections_max: int = CONNECTIONS_MAX,
        strangers_max: int = 0,
        keep_alive_s: int = KEEP_ALIVE_S,
        stop_s: int = STOP_S,
        listener: socket.socket | None = None,
    ) -> None:
        """`strangers_max` limits the connections of one address without a valid token.

        0 means a fixed part of `connections_max`. `listener` is a bound socket, which the caller
        closes.
        """
        strangers = AnonymousConnections(strangers_max or max(1, connections_max // PART))
        self.front = front
        self._socket = bound(host, port) if listener is None else listener.dup()
        self._port = int(self._socket.getsockname()[1])
        connection = partial(
            LimitedConnection, strangers=strangers, answer=front.answer, hot=front.hot_paths
        )
        self._server = QuietServer(
            uvicorn.Config(
                front,
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
                timeout_keep_alive=keep_alive_s,
                timeout_graceful_shutdown=stop_s,
            )
        )

    @property
    def port(self) -> int:
        """The bound port; with port 0, a free one."""
        return self._port

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._server.server_state.connections)

    @property
    def tasks(self) -> int:
        """The number of requests in progress, also of clients that have left."""
        return len(self._server.server_state.tasks)

    async def run(self) -> None:
        """Serve until `stop` or cancellation. Running requests are finished first."""
        try:
            await self._server.serve(sockets=[self._socket])
        except asyncio.CancelledError:
            self.front.face.stopping.set()
            await self._server.shutdown(sockets=[self._socket])
            raise
        finally:
            self._socket.close()

    def stop(self) -> None:
        """End streams, accept no more connections, and let `run` return."""
        self.front.face.stopping.set()
        self._server.should_exit = True


class QuietServer(uvicorn.Server):
    """uvicorn without its signal handlers: the process handles signals."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen on bound sockets. TLS handshakes have a short timeout, because connections are
        counted only after them.
        """
        config, loop = self.config, asyncio.get_running_loop()

        def connection() -> asyncio.Protocol:
            return cast(Callable[..., asyncio.Protocol], config.http_protocol_class)(
                config=config, server_state=self.server_state, app_state={}
            )

        self.servers = [
            await loop.create_server(
                connection,
                sock=one,
                ssl=config.ssl,
                backlog=config.backlog,
                ssl_handshake_timeout=HANDSHAKE_S if config.ssl else None,
            )
            for one in sockets or ()
        ]
        self.started = True

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield
