"""Requests that another process answers: handed on to the one that leads, its answer handed back.

Pilots' work is not handed on: they are told where to go, and the connection is closed, so that
whatever stands in front of several processes brings the next one elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

from pilotage.proto.problems import Code

from ..errors import Misdirected, Refused
from ..observe.events import Log
from .answers import Headers, StreamedAnswer, problem
from .asgi import ASGIApp, Receive, Scope, Send
from .body import LARGE_MAX, SMALL_MAX, RawHeaders, RequestBody, header
from .call import Call
from .direct_answers import Exchange

if TYPE_CHECKING:  # it brings its command line: a tenth of a second of each start
    import httpx

CONNECT_S: Final = 2.0
GONE: Final = "that process no longer leads: try again"
LOOK_S: Final = 0.5  # whether the one that is asked leads still
SILENT_S: Final = 90.0  # of an answer; streams of events say something every few seconds
ROOM_S: Final = 5.0  # for a connection to be free: then one is told to repeat
CONNECTIONS_MAX: Final = 500
STREAMS_MAX: Final = 500  # beside those, of what lasts as long as its caller likes
MARK: Final = "pilotage-handed-on"  # a header: what has it is not handed on again
_HERS: Final = frozenset(  # of one connection, or made anew for the next
    {
        b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"te",
        b"trailer", b"host", b"expect", b"date", b"server", b"accept-encoding", b"x-request-id",
    }
)  # fmt: skip

Url = Callable[[], str | None]  # of the process that leads; None: nobody does


class LeaderLink:
    """The process that leads, as the others speak with it."""

    def __init__(
        self,
        url: Url,
        log: Log,
        *,
        verify: Any = True,
        transport: Any = None,
        passed_bytes_max: int = LARGE_MAX,
    ) -> None:
        """`verify`: as httpx has it; `transport`: for tests.

        `passed_bytes_max`: the largest body that is passed on without a look at its caller.
        """
        import httpx

        self._url, self._log = url, log
        self._passed_bytes_max = passed_bytes_max
        self._told = ""  # of whom the log says that it cannot be reached
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
        """Return what a pilot hears that has come to the wrong process."""
        return Misdirected(self._url() or "")

    async def hand_on(self, call: Call, *, lasts: bool = False) -> ASGIApp:
        """Return what the leader answers. Raises Refused: UNAVAILABLE.

        `lasts`: the answer may last as long as its caller likes.
        """
        scope = call.scope
        url = self._url_for(scope)
        content = await _content(call, scope["headers"]) if _has_body(scope) else None
        client = self._streams if lasts else self._client
        return await self._asked(client, url, scope, call.receive, content, call.face.stopping)

    async def pass_on(self, scope: Scope, receive: Receive) -> ASGIApp:
        """Return what the leader answers, without a look at the caller: the leader does that.

        Raises Refused: UNAVAILABLE, TOO_LARGE.
        """
        url, content = self._url_for(scope), None
        if _has_body(scope):
            content = RequestBody(
                receive, scope["headers"], size_max=self._passed_bytes_max
            ).parts()
        return await self._asked(self._client, url, scope, receive, content, asyncio.Event())

    def _url_for(self, scope: Scope) -> str:
        url = self._url()
        if url is None:
            raise Refused(Code.UNAVAILABLE, "no process keeps the queue now: repeat in a while")
        if header(scope["headers"], MARK.encode()):
            raise Refused(Code.UNAVAILABLE, "this process keeps the queue no more: repeat")
        return url

    async def _asked(
        self,
        client: "httpx.AsyncClient",
        url: str,
        scope: Scope,
        receive: Receive,
        content: AsyncIterator[bytes] | bytes | None,
        stopping: asyncio.Event,
    ) -> ASGIApp:
        has_come = asyncio.Event()  # all of the body: what comes next is that the caller leaves
        if content is None or isinstance(content, bytes):
            has_come.set()
        else:
            content = _told_of(content, has_come)
        query = scope["query_string"].decode("latin-1")
        path = scope["raw_path"].decode("latin-1")
        request = client.build_request(
            scope["method"],
            f"{url.rstrip('/')}{path}{'?' + query if query else ''}",
            headers=[
                *_handed(
                    scope["headers"], without=() if _has_body(scope) else (b"content-length",)
                ),
                *((MARK.encode(), b"1"), (b"accept-encoding", b"identity")),
            ],
            content=content,
        )
        response = await self._answered(client, request, url, _leaves(receive, has_come))
        if response.status_code == 421:
            await response.aclose()
            raise Refused(Code.UNAVAILABLE, GONE)
        return _HandedBack(response, stopping)

    async def _answered(
        self,
        client: "httpx.AsyncClient",
        request: "httpx.Request",
        url: str,
        leaves: Coroutine[Any, Any, None],
    ) -> "httpx.Response":
        """Return the beginning of an answer, unless its process leads no more before it comes.

        One that stands still would else be waited for long after another one leads. Nor is it
        waited for once the caller `leaves`: a connection is held for nobody.
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
                one.cancel()  # nothing happens to one that is done
        if asking.cancelled() and has_left:
            raise Refused(Code.MALFORMED, "the connection ended before the answer came")
        if asking.cancelled():
            raise Refused(Code.UNAVAILABLE, GONE)
        found = asking.result()
        if isinstance(found, httpx.PoolTimeout):
            said = "all connections to the process that keeps the queue are taken"
            raise Refused(Code.UNAVAILABLE, f"{said}: repeat") from None
        if isinstance(found, httpx.HTTPError):
            said = f"the process that keeps the queue does not answer: {type(found).__name__}"
            if url != self._told:
                self._log("leader_unreachable", url=url, why=str(found) or type(found).__name__)
            self._told = url
            raise Refused(Code.UNAVAILABLE, f"{said}: repeat") from None
        if isinstance(found, Exception):
            raise found
        self._told = ""
        return found


class _HandedBack:
    """The leader's answer, part by part."""

    def __init__(self, response: "httpx.Response", stopping: asyncio.Event) -> None:
        self._response, self._stopping = response, stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._response
        try:
            streamed = StreamedAnswer(
                _parts(response),
                stopping=self._stopping,
                media="",
                status=response.status_code,
                exactly=_handed(response.headers.raw),
            )
            await streamed(scope, receive, send)
        finally:
            await response.aclose()


def _has_body(scope: Scope) -> bool:
    return scope["method"] not in ("GET", "HEAD", "DELETE")


async def _parts(response: "httpx.Response") -> AsyncIterator[bytes]:
    async for part in response.aiter_raw():
        yield part


async def _told_of(parts: AsyncIterator[bytes], has_come: asyncio.Event) -> AsyncIterator[bytes]:
    async for part in parts:
        yield part
    has_come.set()


async def _leaves(receive: Receive, has_come: asyncio.Event) -> None:
    """Return when the caller is gone, whose body comes first."""
    await has_come.wait()
    while (await receive())["type"] != "http.disconnect":
        pass


async def _content(call: Call, headers: RawHeaders) -> AsyncIterator[bytes] | bytes:
    """Return a body, which is here before a connection is taken for it, unless it is a large one.

    Strangers have none of those, or slow ones would keep others from the leader. What they say who
    they are counts for nothing: where anybody may ask, nobody looks at it.
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
    """A hot route of a process that does not keep the queue."""

    def __init__(self, elsewhere: LeaderLink) -> None:
        self._elsewhere = elsewhere

    async def exchange(self, exchange: Exchange) -> bytes:
        """Refuse. Raises Misdirected."""
        raise self._elsewhere.misdirected()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of ASGI."""
        await problem(self._elsewhere.misdirected())(scope, receive, send)
