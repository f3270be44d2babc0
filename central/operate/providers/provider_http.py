"""Requests to identity providers with httpx: HTTPS, no redirects, small answers, no retries."""

import asyncio
import base64
import contextlib
import re
import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus, urlsplit, urlunsplit

import msgspec

from pilotage.proto.decoding.nesting import loads
from pilotage.proto.trust import trusting

from ...identity.providers.addresses import wrong_address
from ...identity.providers.provider_http import (
    BadProvider,
    NoConnection,
    NoEndpoint,
    NoJson,
    ProviderAway,
)
from ...regular_files import read_regular
from .host_turns import HostTurns

if TYPE_CHECKING:  # importing it takes a tenth of a second
    import httpx

WITHIN_S: Final = 10.0  # for a whole request from its turn, however slowly the answer arrives
CONNECT_S: Final = 5.0
ANSWER_MAX: Final = 1 << 20  # bytes
UNUSED_MAX: Final = 32  # open connections without a request, for each file of authorities
CLIENTS_MAX: Final = 64
GONE: Final = (404, 410)
LATER: Final = (408, 425, 429)  # and 5xx: the provider cannot answer now
_PRINTED: Final = re.compile("[!-~]+")


@dataclass
class _Client:
    """Open connections that trust one version of a file of authorities."""

    http: "httpx.AsyncClient"
    written: int  # modification time of the file, in ns
    used_by: int = 0  # requests in progress
    is_replaced: bool = False  # its last request closes it


class RealProviderHttp:
    """The port to identity providers on the network."""

    def __init__(self, *, within_s: float = WITHIN_S, turns: HostTurns | None = None) -> None:
        self._within_s, self._turns = within_s, turns or HostTurns()
        self._clients: dict[str, _Client] = {}  # by the path of the file of authorities

    async def get(self, url: str, *, ca_file: str = "", bearer: str = "") -> dict[str, Any]:
        """Return a JSON object. Raises ProviderAway, BadProvider."""
        if bearer and not _PRINTED.fullmatch(bearer):
            raise BadProvider("the token has characters that a header must not have")
        said = {"authorization": f"Bearer {bearer}"} if bearer else {}
        status, content = await self._ask("GET", url, ca_file, said, None)
        if status != 200:
            raise BadProvider(f"{_shown(url)}: answered with status {status}, expected 200")
        return _object(url, status, content)

    async def post(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        ca_file: str = "",
        basic: tuple[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Send a form, and return the status and the JSON object of the answer.

        The status is 2xx, or 4xx except 404 and 410. Raises ProviderAway, BadProvider.
        """
        said = {"authorization": _basic(*basic)} if basic else {}
        status, content = await self._ask("POST", url, ca_file, said, fields)
        return status, _object(url, status, content)

    async def close(self) -> None:
        """Close all connections."""
        clients, self._clients = [*self._clients.values()], {}
        for one in clients:
            await one.http.aclose()

    async def _ask(
        self,
        method: str,
        url: str,
        ca_file: str,
        headers: Mapping[str, str],
        fields: Mapping[str, str] | None,
    ) -> tuple[int, bytes]:
        """Return the status and the content of an answer: 2xx, or 4xx except 404 and 410."""
        _check_url(url)
        where, host = _shown(url), urlsplit(url).netloc
        is_public = method == "GET" and not headers  # metadata or keys
        try:
            async with (
                self._turns.turn(host, is_public=is_public),
                asyncio.timeout(self._within_s),
                self._client(ca_file) as http,
            ):
                return await _answer(http, method, url, headers, fields)
        except TimeoutError:
            raise ProviderAway(f"{where}: no whole answer within {self._within_s:g} s") from None
        except OSError as why:
            raise ProviderAway(f"ca_file: {ca_file}: {why.strerror or why}") from None

    @contextlib.asynccontextmanager
    async def _client(self, ca_file: str) -> AsyncGenerator["httpx.AsyncClient"]:
        """Yield a client that trusts the current content of the file. Raises OSError."""
        written = await asyncio.to_thread(_written, ca_file) if ca_file else 0
        client, old = self._clients.get(ca_file), None
        if client is None or client.written != written:
            client = await asyncio.to_thread(_client, ca_file, written)
            old = self._keep(ca_file, client)
        client.used_by += 1
        try:
            await _close_unused(old)
            yield client.http
        finally:
            client.used_by -= 1
            await _close_unused(client)

    def _keep(self, ca_file: str, made: _Client) -> _Client | None:
        """Keep a new client, and return the one that it replaces."""
        old = self._clients.pop(ca_file, None)
        if old is None and len(self._clients) >= CLIENTS_MAX:
            old = self._clients.pop(next(iter(self._clients)))
        self._clients[ca_file] = made
        if old is not None:
            old.is_replaced = True
        return old


async def _close_unused(client: _Client | None) -> None:
    """Close a replaced client after its last request."""
    if client is not None and client.is_replaced and not client.used_by:
        await client.http.aclose()


async def _answer(
    http: "httpx.AsyncClient",
    method: str,
    url: str,
    headers: Mapping[str, str],
    fields: Mapping[str, str] | None,
) -> tuple[int, bytes]:
    """Send one request. Raises ProviderAway, BadProvider."""
    import httpx

    where = _shown(url)
    try:
        async with http.stream(method, url, headers=headers, data=fields) as reply:
            status = reply.status_code
            if status >= 500 or status in LATER:
                raise ProviderAway(f"{where}: answered with status {status}")
            if status in GONE:
                raise NoEndpoint(f"{where}: answered with status {status}")
            if not (200 <= status < 300 or status >= 400):
                raise BadProvider(f"{where}: answered with status {status}; redirects are refused")
            return status, await _content(reply, where)
    except (httpx.ConnectError, httpx.ConnectTimeout) as why:
        raise NoConnection(f"{where}: {_words(why)}") from None
    except (httpx.HTTPError, ssl.SSLError, OSError) as why:
        raise ProviderAway(f"{where}: {_words(why)}") from None
    except (httpx.InvalidURL, ValueError):
        raise BadProvider(f"{where}: is not a valid URL") from None


async def _content(reply: "httpx.Response", where: str) -> bytes:
    """Return the content, with at most ANSWER_MAX bytes. Raises BadProvider."""
    encoding = reply.headers.get("content-encoding", "identity").lower()
    if encoding != "identity":  # none was asked for, and a small one may fill the memory
        raise BadProvider(f"{where}: the answer has the encoding {encoding[:40]!r}, expected none")
    content = bytearray()
    async for part in reply.aiter_raw():
        content += part
        if len(content) > ANSWER_MAX:
            raise BadProvider(f"{where}: the answer has more than {ANSWER_MAX} bytes")
    return bytes(content)


def _object(url: str, status: int, content: bytes) -> dict[str, Any]:
    """Return the content as a JSON object. Raises BadProvider; its text has no secrets."""
    try:
        return loads(content, dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise NoJson(_shown(url), status) from None


def _check_url(url: str) -> None:
    """Raise BadProvider unless the URL is one of a provider. Its text has no secrets."""
    if wrong_address(url):
        right = "expected https://HOST/PATH (http only for this machine) without a user name"
        raise BadProvider(f"found the URL {_shown(url)!r}, {right}")


def _shown(url: str) -> str:
    """Return a URL without the parts that may hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a URL"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))[:200]


def _basic(client_id: str, secret: str) -> str:
    """Return the header of a client; RFC 6749 2.3.1 encodes both parts as in forms."""
    both = f"{quote_plus(client_id)}:{quote_plus(secret)}"
    return f"Basic {base64.b64encode(both.encode()).decode()}"


def _words(why: BaseException) -> str:
    """Return a failure in the system's words, which the library hides."""
    first: BaseException | None = why
    words = [str(why)]
    while first is not None:
        if isinstance(first, OSError) and str(first) not in words:
            words.append(str(first))
        first = first.__cause__ or first.__context__
    text = ": ".join(dict.fromkeys(filter(None, (words[0], words[-1]))))
    return f"{type(why).__name__}: {text}" if text else type(why).__name__


def _written(ca_file: str) -> int:
    return Path(ca_file).stat().st_mtime_ns


def _client(ca_file: str, written: int) -> _Client:
    """Return a client. Raises OSError if the authorities cannot be read."""
    import httpx

    if ca_file:
        read_regular(Path(ca_file), 1)  # so that a pipe is not waited for
    http = httpx.AsyncClient(
        headers={"accept": "application/json", "accept-encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        verify=trusting(ca_file),
        follow_redirects=False,
        timeout=httpx.Timeout(None, connect=CONNECT_S),  # the caller limits the whole request
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=UNUSED_MAX),
        trust_env=False,
    )
    return _Client(http, written)
