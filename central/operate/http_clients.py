"""Connections with httpx to servers whose authorities are in files that may change."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pilotage.proto.trust import trusting

from ..regular_files import read_regular

if TYPE_CHECKING:  # importing it takes a tenth of a second
    import httpx

CONNECT_S: Final = 5.0
UNUSED_MAX: Final = 32  # open connections without a request, for each file of authorities
CLIENTS_MAX: Final = 64


@dataclass
class _Client:
    """Open connections that trust one version of a file of authorities."""

    http: "httpx.AsyncClient"
    written: int  # modification time of the file, in ns
    used_by: int = 0  # requests in progress
    is_replaced: bool = False  # its last request closes it


class HttpClients:
    """One client for each file of authorities. Redirects are not followed, and cookies not kept."""

    def __init__(self) -> None:
        self._clients: dict[str, _Client] = {}  # by the path of the file of authorities

    @contextlib.asynccontextmanager
    async def trusting(self, ca_file: str) -> AsyncGenerator["httpx.AsyncClient"]:
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

    async def close(self) -> None:
        """Close all connections."""
        clients, self._clients = [*self._clients.values()], {}
        for one in clients:
            await one.http.aclose()

    def _keep(self, ca_file: str, made: _Client) -> _Client | None:
        """Keep a new client, and return the one that it replaces."""
        old = self._clients.pop(ca_file, None)
        if old is None and len(self._clients) >= CLIENTS_MAX:
            old = self._clients.pop(next(iter(self._clients)))
        self._clients[ca_file] = made
        if old is not None:
            old.is_replaced = True
        return old


def words_of(why: BaseException) -> str:
    """Return a failure in the system's words, which the library hides."""
    first: BaseException | None = why
    words = [str(why)]
    while first is not None:
        if isinstance(first, OSError) and str(first) not in words:
            words.append(str(first))
        first = first.__cause__ or first.__context__
    text = ": ".join(dict.fromkeys(filter(None, (words[0], words[-1]))))
    return f"{type(why).__name__}: {text}" if text else type(why).__name__


async def _close_unused(client: _Client | None) -> None:
    """Close a replaced client after its last request."""
    if client is not None and client.is_replaced and not client.used_by:
        await client.http.aclose()


def _written(ca_file: str) -> int:
    return Path(ca_file).stat().st_mtime_ns


def _client(ca_file: str, written: int) -> _Client:
    """Return a client. Raises OSError if the authorities cannot be read."""
    import httpx

    if ca_file:
        read_regular(Path(ca_file), 1)  # so that a pipe is not waited for
    http = httpx.AsyncClient(
        headers={"accept-encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        verify=trusting(ca_file),
        follow_redirects=False,
        timeout=httpx.Timeout(None, connect=CONNECT_S),  # the caller limits the whole request
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=UNUSED_MAX),
        trust_env=False,
    )
    return _Client(http, written)
