"""Posts webhooks to URLs of users, and only to addresses that they may reach.

The name of a host is resolved once. Each address is checked, and the connection goes to a checked
address, so a name that changes between check and connection gains nothing.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, cast

from pilotage.proto.trust import trusting

from ..notifications.addresses import WebhookUrl
from ..notifications.delivery import NotSent
from ..notifications.public_addresses import may_reach, networks_of
from ..settings import NotifySettings

if TYPE_CHECKING:
    import httpcore

WITHIN_S: Final = 20.0  # for one message, in any case
ADDRESSES_MAX: Final = 8  # of a name
NOT_ALLOWED: Final = "this host is unknown, or the central may not connect to it"

Resolve = Callable[[str, int], Awaitable[list[str]]]  # raises OSError


async def resolved(host: str, port: int) -> list[str]:
    """Return the numeric addresses of a host. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


class WebhookPoster:
    """Posts each message over a connection of its own. It uses no proxy and follows no redirect."""

    def __init__(
        self,
        settings: NotifySettings,
        *,
        resolve: Resolve = resolved,
        tls: ssl.SSLContext | None = None,
        within_s: float = WITHIN_S,
    ) -> None:
        self._allowed = networks_of(settings.webhook_allowed)
        self._refused = networks_of(settings.webhook_refused)
        self._resolve, self._tls, self._within_s = resolve, tls, within_s

    async def post(self, url: WebhookUrl, body: bytes, headers: Mapping[str, str]) -> None:
        """Return when the receiver has answered with 2xx. Raises NotSent."""
        import httpcore  # takes a tenth of a second

        try:
            async with asyncio.timeout(self._within_s):
                status = await self._status(url, body, headers)
        except TimeoutError:
            raise NotSent(f"no answer within {self._within_s:g} s") from None
        except (OSError, ValueError, httpcore.NetworkError, httpcore.TimeoutException) as why:
            raise NotSent(_words(why)) from None
        except httpcore.ProtocolError:
            raise NotSent("the answer is not HTTP") from None
        if not 200 <= status < 300:
            moved = ": redirects are not followed" if 300 <= status < 400 else ""
            raise NotSent(f"the receiver answered {status}{moved}")

    async def _status(self, url: WebhookUrl, body: bytes, headers: Mapping[str, str]) -> int:
        """Post, and return the status of the answer. Its body is not read."""
        import httpcore

        addresses = await self._addresses(url)
        given = {
            "Host": _host_header(url),
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "User-Agent": "pilotage",
            "Connection": "close",
            **headers,
        }
        tls = self._tls or await asyncio.to_thread(trusting)
        pool = httpcore.AsyncConnectionPool(
            ssl_context=tls,
            network_backend=_to_addresses(addresses),
            max_connections=1,
            http1=True,
            http2=False,
        )
        async with (
            pool,
            pool.stream(
                "POST",
                httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target),
                headers=list(given.items()),
                content=body,
            ) as answer,
        ):
            return answer.status

    async def _addresses(self, url: WebhookUrl) -> list[str]:
        """Return the addresses of the host. Raises NotSent unless all of them are allowed.

        The error is the same for an unknown name and for a forbidden address: it would describe
        the operator's network.
        """
        try:
            found = await self._resolve(url.host, url.port)
        except (OSError, UnicodeError):
            raise NotSent(NOT_ALLOWED) from None
        if not found or not all(may_reach(one, self._allowed, self._refused) for one in found):
            raise NotSent(NOT_ALLOWED)
        return found[:ADDRESSES_MAX]


def _words(why: BaseException) -> str:
    """Return why there was no connection, without an address."""
    cause: BaseException | None = why
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or type(cause).__name__}"
        if isinstance(cause, ConnectionError):
            return f"no connection: {type(cause).__name__}"
        cause = cause.__cause__ or cause.__context__
    return f"no connection: {type(why).__name__}"


def _host_header(url: WebhookUrl) -> str:
    host = f"[{url.host}]" if ":" in url.host else url.host
    usual = {"https": 443, "http": 80}[url.scheme]
    return host if url.port == usual else f"{host}:{url.port}"


def _to_addresses(addresses: list[str]) -> "httpcore.AsyncNetworkBackend":
    """Return a backend that connects to these addresses, whatever host it is given."""
    import httpcore

    usual = cast(httpcore.AsyncNetworkBackend, httpcore.AnyIOBackend())

    class CheckedBackend(httpcore.AsyncNetworkBackend):
        async def connect_tcp(
            self,
            host: str,
            port: int,
            timeout: float | None = None,
            local_address: str | None = None,
            socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
        ) -> httpcore.AsyncNetworkStream:
            why: Exception = httpcore.ConnectError()
            for address in addresses:
                try:
                    return await usual.connect_tcp(
                        address, port, timeout, local_address, socket_options
                    )
                except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                    why = error
            raise why

        async def sleep(self, seconds: float) -> None:
            await usual.sleep(seconds)

    return CheckedBackend()
