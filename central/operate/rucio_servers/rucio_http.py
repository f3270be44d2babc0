"""Requests to Rucio servers with httpx: a token in each, no redirects, no retries.

Rucio streams long answers in chunks. If a worker of the server dies, only the missing last chunk
tells, and httpx reports it. Errors have `ExceptionClass` and `ExceptionMessage` (Rucio 41,
`lib/rucio/web/rest/flaskapi/v1/common.py`).
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import msgspec

from pilotage.proto.decoding.nesting import TOO_DEEP, is_deep

from ...errors import printable
from ...factory.credential import CredentialSource
from ...factory.errors import BadOptions, CredentialExpired
from ...rucio.files import RucioEntry
from ...rucio.http import RucioApi, RucioAway, RucioFailed, RucioRefused
from ..http_clients import HttpClients, words_of

if TYPE_CHECKING:  # importing it takes a tenth of a second
    import httpx

SILENT_S: Final = 60.0  # between two parts of an answer
WHOLE_S: Final = 600.0  # for a whole answer
ANSWER_MAX: Final = 512 << 20  # bytes
LATER: Final = (408, 425, 429, 502, 503, 504)
DENIED: Final = "AccessDenied"  # with 401, as is an old token
DATABASE: Final = "DatabaseException"  # of too many rows, but also of a database that is away
TOKEN: Final = "x-rucio-auth-token"
ACCEPT: Final = "application/x-json-stream, application/json, */*;q=0.1"

_LINES: Final = msgspec.json.Decoder(Any)

Credentials = Callable[[str, Mapping[str, Any]], CredentialSource]


class RucioHttp:
    """The connections to all servers."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials, self._clients = credentials, HttpClients()

    def connect(self, name: str, entry: RucioEntry) -> RucioApi:
        """Return the requests to the server of a file. It does nothing on the network."""
        return _Server(name, entry, self._credentials, self._clients)

    async def close(self) -> None:
        """Close all connections."""
        await self._clients.close()


class _Server:
    """Requests to one server."""

    def __init__(
        self, name: str, entry: RucioEntry, credentials: Credentials, clients: HttpClients
    ) -> None:
        self._name, self._entry, self._clients = name, entry, clients
        self._credentials = credentials
        self._source: CredentialSource | None = None

    async def get(self, path: str) -> Any:
        """Return the JSON value at a path. Raises RucioAway, RucioRefused."""
        found = await self._ask("GET", path, b"")
        try:
            return msgspec.json.decode(found)
        except msgspec.DecodeError:
            raise RucioAway(f"rucio/{self._name}: {path}: its answer is no JSON") from None

    async def post(self, path: str, body: object) -> None:
        """Send a JSON value. Raises RucioAway, RucioRefused."""
        await self._ask("POST", path, msgspec.json.encode(body))

    async def lines(
        self, path: str, body: object = None, *, query: Mapping[str, str] | None = None
    ) -> Sequence[Any]:
        """Return all JSON values of a stream. Raises RucioAway, RucioRefused."""
        words = "&".join(f"{key}={quote(value, safe='')}" for key, value in (query or {}).items())
        where = f"{path}?{words}" if words else path
        sent = msgspec.json.encode(body) if body is not None else b""
        found = await self._ask("GET" if body is None else "POST", where, sent)
        try:
            return _LINES.decode_lines(found)
        except msgspec.DecodeError:
            raise RucioAway(
                f"rucio/{self._name}: {path}: a line of its answer is no JSON"
            ) from None

    async def _ask(self, method: str, path: str, body: bytes) -> bytes:
        """Return the content of a good answer. Raises RucioAway, RucioRefused."""
        import httpx

        where = f"rucio/{self._name}: {method} {path.partition('?')[0]}"
        headers = {TOKEN: await self._token(), "accept": ACCEPT}
        if body:
            headers["content-type"] = "application/json"
        try:
            async with (
                asyncio.timeout(WHOLE_S),
                self._clients.trusting(self._entry.ca_file) as http,
            ):
                url = self._entry.url.rstrip("/") + path
                status, content = await _answer(http, method, url, headers, body)
        except TimeoutError:
            raise RucioAway(f"{where}: no whole answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError, OSError) as why:
            raise RucioAway(f"{where}: {words_of(why)}") from None
        if is_deep(content):
            raise RucioAway(f"{where}: its answer is {TOO_DEEP}")
        if 200 <= status < 300:
            return content
        raise _trouble(where, status, content)

    async def _token(self) -> str:
        """Return the token to send. Raises RucioAway."""
        try:
            if self._source is None:
                said = self._entry.credential
                self._source = self._credentials(said.source, said.options)
            text = (await self._source.current()).text
        except BadOptions as why:  # it names the field
            raise RucioAway(f"rucio/{self._name}: {why}") from None
        except CredentialExpired as why:
            raise RucioAway(f"rucio/{self._name}: credential: {why.why}") from None
        if not text.isascii() or not text.isprintable():
            wrong = "expected one line: a token of Rucio or with the audience `rucio`"
            raise RucioAway(f"rucio/{self._name}: credential: {wrong}")
        return text


async def _answer(
    http: "httpx.AsyncClient", method: str, url: str, headers: Mapping[str, str], body: bytes
) -> tuple[int, bytes]:
    """Return the status and the content of an answer. Raises RucioAway if there is too much."""
    content = bytearray()
    async with asyncio.timeout(SILENT_S) as limit:
        clock = asyncio.get_running_loop()
        async with http.stream(method, url, headers=headers, content=body or None) as reply:
            async for part in reply.aiter_raw():
                limit.reschedule(clock.time() + SILENT_S)
                content += part
                if len(content) > ANSWER_MAX:
                    raise RucioAway(f"its answer has more than {ANSWER_MAX} bytes")
            return reply.status_code, bytes(content)


def _trouble(where: str, status: int, content: bytes) -> RucioAway | RucioRefused:
    """Return the error that an answer means."""
    kind, message = "", ""
    try:
        found = msgspec.json.decode(content, type=_Exception)
        kind, message = printable(found.ExceptionClass)[:100], printable(found.ExceptionMessage)
    except msgspec.MsgspecError:
        pass
    words = f"{where}: status {status}: {f'{kind}: {message}' if kind else 'no reason given'}"
    if status == 500 and kind in ("", DATABASE):
        return RucioFailed(words[:1_000])
    is_away = status in LATER or (status >= 500 and kind in ("", DATABASE)) or status < 400
    is_away = is_away or (status == 401 and kind != DENIED)
    return RucioAway(words[:1_000]) if is_away else RucioRefused(kind or str(status), words[:1_000])


class _Exception(msgspec.Struct):
    ExceptionClass: str = ""
    ExceptionMessage: str = ""
