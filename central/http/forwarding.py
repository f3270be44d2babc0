"""Forward requests to the leader's process, and return its answers.

Pilots' requests are not forwarded. They are refused with the leader's address, and the connection
is closed, so that a load balancer in front sends the next request elsewhere. The leader learns the
address of the client from a header with a MAC (`client_addresses.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from pilotage.proto.problems import Code

from ..errors import Misdirected, Refused
from ..observe.events import Log
from .answers import Headers, StreamedAnswer, problem
from .asgi import ASGIApp, AsgiReceive, AsgiScope, AsgiSend
from .body import LARGE_MAX, SMALL_MAX, RawHeaders, RequestBody, header
from .call import Call
from .client_addresses import HEADER
from .direct_answers import Exchange

if TYPE_CHECKING:  # importing it takes a tenth of a second
    import httpx

CONNECT_S: Final = 2.0
GONE: Final = "that process no longer leads; try again"
LOOK_S: Final = 0.5  # between checks that the leader is still the same
SILENT_S: Final = 90.0  # longest pause of an answer; event streams send something every few seconds
ROOM_S: Final = 5.0  # wait for a free connection; then the caller is asked to try again
CONNECTIONS_MAX: Final = 500
STREAMS_MAX: Final = 500  # further connections, for endless answers
MARK: Final = "pilotage-handed-on"  # a header: requests that have it are not forwarded again
_HERS: Final = frozenset(  # headers of one connection, or created for the next one
    {
        b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te",
        b"trailer", b"host", b"expect", b"date", b"server", b"accept-encoding", b"x-request-id",
        HEADER,  # of a client: only we may name the address
    }
)  # fmt: skip

Url = Callable[[], str | None]  # returns the leader's URL, or None if no process leads


class LeaderLink:
    """The connections of a process to the leader."""

    def __init__(
        self,
        url: Url,
        log: Log,
        *,
        verify: Any = True,
        transport: Any = None,
        passed_bytes_max: int = LARGE_MAX,
    ) -> None:
        """`verify` is passed to httpx; `transport` is for tests.

        `passed_bytes_max` limits bodies that are forwarded before the caller is known.
        """
        import httpx

        self._url, self._log = url, log
        self._passed_bytes_max = passed_bytes_max
        self._told = ""  # URL of the leader that the log reports as unreachable
        self._client, self._streams = (
            httpx.AsyncClient(
                verify=verify,
                transport=transport,
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(SILENT_S, connect=CONNECT_S, pool=ROOM_S),
                limits=httpx.Limits(max_connections=connections_max),
            )
            for connections_max in (CONNECTIONS_MAX, STREAMS_MAX)
        )

    async def close(self) -> None:
        await self._client.aclose()
        await self._streams.aclose()

    def misdirected(self) -> Misdirected:
        """Return the refusal for a pilot that has reached the wrong process."""
        return Misdirected(self._url() or "")

    async def hand_on(self, call: Call, *, lasts: bool = False) -> ASGIApp:
        """Return the leader's answer. Raises Refused: UNAVAILABLE.

        `lasts` says that the answer may last as long as its caller likes.
        """
        scope = call.scope
        url = self._url_for(scope)
        content = await _content(call, scope["headers"]) if _has_body(scope) else None
        client = self._streams if lasts else self._client
        own = call.face.addresses.headers(scope)
        return await self._asked(client, url, scope, call.receive, content, call.face.stopping, own)

    async def pass_on(self, scope: AsgiScope, receive: AsgiReceive) -> ASGIApp:
        """Return the leader's answer. The leader checks the caller.

        Raises Refused: UNAVAILABLE, TOO_LARGE.
        """
        url, content = self._url_for(scope), None
        if _has_body(scope):
            content = RequestBody(
                receive, scope["headers"], size_max=self._passed_bytes_max
            ).parts()
        return await self._asked(self._client, url, scope, receive, content, asyncio.Event())

    def _url_for(self, scope: AsgiScope) -> str:
        url = self._url()
        if url is None:
            raise Refused(Code.UNAVAILABLE, "no process leads now; try again in a moment")
        if header(scope["headers"], MARK.encode()):
            raise Refused(Code.UNAVAILABLE, "this process no longer leads; try again")
        return url

    async def _asked(
        self,
        client: "httpx.AsyncClient",
        url: str,
        scope: AsgiScope,
        receive: AsgiReceive,
        content: AsyncIterator[bytes] | bytes | None,
        stopping: asyncio.Event,
        own: Sequence[tuple[bytes, bytes]] = (),
    ) -> ASGIApp:
        has_come = asyncio.Event()  # set after the whole body: the next message is a disconnect
        if content is None or isinstance(content, bytes):
            has_come.set()
        else:
            content = _signalling(content, has_come)
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1")
        request = client.build_request(
            scope["method"],
            f"{url.rstrip('/')}{path}{'?' + query if query else ''}",
            headers=[
                *_handed(
                    scope["headers"], without=() if _has_body(scope) else (b"content-length",)
                ),
                *((MARK.encode(), b"1"), (b"accept-encoding", b"identity"), *own),
            ],
            content=content,
        )
        response = await self._answered(client, request, url, _leaves(receive, has_come))
        if response.status_code == 421:
            await response.aclose()
            raise Refused(Code.UNAVAILABLE, GONE)
        return HandedBack(response, stopping)

    async def _answered(
        self,
        client: "httpx.AsyncClient",
        request: "httpx.Request",
        url: str,
        leaves: Coroutine[Any, Any, None],
    ) -> "httpx.Response":
        """Return the start of an answer, as soon as its process sends one.

        Raises Refused: UNAVAILABLE if that process stops leading first, since a hanging process
        may never answer. Also stop waiting when the caller `leaves`, to free the connection.
        """
        import httpx

        async def ask() -> "httpx.Response | Exception":
            try:
                return await client.send(request, stream=True)
            except Exception as why:
                return why

        async with asyncio.TaskGroup() as tasks:
            asking, leaving = tasks.create_task(ask()), tasks.create_task(leaves)
            ends = (asking, leaving)
            while not any(one.done() for one in ends) and self._url() == url:
                await asyncio.wait(ends, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            has_left = leaving.done()
            for one in ends:
                one.cancel()  # does nothing if it is done
        if asking.cancelled() and has_left:
            raise Refused(Code.MALFORMED, "the connection ended before the answer arrived")
        if asking.cancelled():
            raise Refused(Code.UNAVAILABLE, GONE)
        found = asking.result()
        if isinstance(found, httpx.PoolTimeout):
            said = "all connections to the leader are in use"
            raise Refused(Code.UNAVAILABLE, f"{said}; try again") from None
        if isinstance(found, httpx.HTTPError):
            said = f"the leader does not answer: {type(found).__name__}"
            if url != self._told:
                self._log("leader_unreachable", url=url, why=str(found) or type(found).__name__)
            self._told = url
            raise Refused(Code.UNAVAILABLE, f"{said}; try again") from None
        if isinstance(found, Exception):
            raise found
        self._told = ""
        return found


class HandedBack:
    """The leader's answer, streamed in parts. `ended` is that of a `StreamedAnswer`."""

    ended: asyncio.Event | None = None

    def __init__(self, response: "httpx.Response", stopping: asyncio.Event) -> None:
        self._response, self._stopping = response, stopping

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        response = self._response
        try:
            streamed = StreamedAnswer(
                _parts(response),
                stopping=self._stopping,
                media="",
                status=response.status_code,
                exactly=_handed(response.headers.raw),
            )
            streamed.ended = self.ended
            await streamed(scope, receive, send)
        finally:
            await response.aclose()


def _has_body(scope: AsgiScope) -> bool:
    return scope["method"] not in ("GET", "HEAD", "DELETE")


async def _parts(response: "httpx.Response") -> AsyncIterator[bytes]:
    async for part in response.aiter_raw():
        yield part


async def _signalling(parts: AsyncIterator[bytes], has_come: asyncio.Event) -> AsyncIterator[bytes]:
    async for part in parts:
        yield part
    has_come.set()


async def _leaves(receive: AsgiReceive, has_come: asyncio.Event) -> None:
    """Return when the caller has disconnected. Its body is read first."""
    await has_come.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _content(call: Call, headers: RawHeaders) -> AsyncIterator[bytes] | bytes:
    """Return a body: read whole before a connection is taken for it, or in parts if it is large.

    Callers without a token may not send large bodies: slow ones would keep all connections to the
    leader busy. On a public route a token changes nothing, because nobody checks it.
    """
    is_stranger = call.caller is None
    body = RequestBody(call.receive, headers, size_max=SMALL_MAX if is_stranger else LARGE_MAX)
    if is_stranger or (body.length is not None and body.length <= SMALL_MAX):
        return await body.whole()
    return body.parts()


def _handed(headers: Any, *, without: Sequence[bytes] = ()) -> Headers:
    return [
        (name, value)
        for name, value in headers
        if name.lower() not in _HERS and name.lower() not in without
    ]


class MisdirectedRoute:
    """A hot route of a process that does not lead."""

    def __init__(self, leader_link: LeaderLink) -> None:
        self._leader_link = leader_link

    async def exchange(self, exchange: Exchange) -> bytes:
        """Refuse. Raises Misdirected."""
        raise self._leader_link.misdirected()

    async def serve(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        """Answer one ASGI request."""
        await problem(self._leader_link.misdirected())(scope, receive, send)
