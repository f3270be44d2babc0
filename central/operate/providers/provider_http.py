"""Requests to identity providers with httpx: HTTPS, no redirects, small answers, no retries."""

import asyncio
import base64
import re
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote_plus, urlsplit, urlunsplit

import msgspec

from pilotage.proto.decoding.nesting import loads

from ...identity.providers.addresses import wrong_address
from ...identity.providers.provider_http import (
    BadProvider,
    NoConnection,
    NoEndpoint,
    NoJson,
    ProviderAway,
)
from ..http_clients import HttpClients, words_of
from .host_turns import HostTurns

if TYPE_CHECKING:  # importing it takes a tenth of a second
    import httpx

WITHIN_S: Final = 10.0  # for a whole request from its turn, however slowly the answer arrives
ANSWER_MAX: Final = 1 << 20  # bytes
GONE: Final = (404, 410)
LATER: Final = (408, 425, 429)  # and 5xx: the provider cannot answer now
_PRINTED: Final = re.compile("[!-~]+")


class RealProviderHttp:
    """The port to identity providers on the network."""

    def __init__(self, *, within_s: float = WITHIN_S, turns: HostTurns | None = None) -> None:
        self._within_s, self._turns = within_s, turns or HostTurns()
        self._clients = HttpClients()

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
        await self._clients.close()

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
                self._clients.trusting(ca_file) as http,
            ):
                return await _answer(http, method, url, headers, fields)
        except TimeoutError:
            raise ProviderAway(f"{where}: no whole answer within {self._within_s:g} s") from None
        except OSError as why:
            raise ProviderAway(f"ca_file: {ca_file}: {why.strerror or why}") from None


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
        async with http.stream(
            method, url, headers={"accept": "application/json", **headers}, data=fields
        ) as reply:
            status = reply.status_code
            if status >= 500 or status in LATER:
                raise ProviderAway(f"{where}: answered with status {status}")
            if status in GONE:
                raise NoEndpoint(f"{where}: answered with status {status}")
            if not (200 <= status < 300 or status >= 400):
                raise BadProvider(f"{where}: answered with status {status}; redirects are refused")
            return status, await _content(reply, where)
    except (httpx.ConnectError, httpx.ConnectTimeout) as why:
        raise NoConnection(f"{where}: {words_of(why)}") from None
    except (httpx.HTTPError, ssl.SSLError, OSError) as why:
        raise ProviderAway(f"{where}: {words_of(why)}") from None
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
