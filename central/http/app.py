"""The ASGI application: the hot routes in front, Litestar behind, one form of refusals for both."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, cast

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from pilotage.proto.problems import Code

from ..errors import Away, Refused, TooDeep
from ..observe.events import Log, no_log
from ..observe.requests import RequestIds
from .answers import JSON, Answer, problem
from .body import header
from .call import Call, Face
from .direct import Exchange
from .elsewhere import Elsewhere, NotHere
from .guards import Admit, Gate, trust
from .hot import HotRoute
from .route import Handler, Offered, Route

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})

ROUTE: Final = "pilotage_route"  # where the scope's state has which route it is
TOLD_EVERY_S: Final = 60.0  # of one route

Recognise = Callable[[Any], Awaitable[None]]  # takes the caller
AnyRequest = Request[Any, Any, Any]


async def nobody_new(caller: Any) -> None:
    """Know all who have jobs: nobody else stores any."""


async def always_room() -> None:
    """Have room on the disk."""


def loop_time() -> float:
    """Return the monotonic time of the loop that answers."""
    return asyncio.get_running_loop().time()


@dataclass
class _Told:
    """What the log has been told of one route."""

    times: int = 0  # since then
    again_at: float = 0.0


class Front:
    """The whole face. Callable as ASGI 3; needs no lifespan."""

    def __init__(
        self,
        offered: Sequence[Offered],
        gate: Gate,
        *,
        check_room: Callable[[], Awaitable[None]] = always_room,
        spool_dir: Path | None = None,
        life: str = "r",
        elsewhere: Elsewhere | None = None,
        recognise: Recognise = nobody_new,
        log: Log = no_log,
        monotonic: Callable[[], float] = loop_time,
    ) -> None:
        """`life` tells the requests of this process from those of the one before.

        `gate` says who is admitted. `check_room` raises Refused where the disk is nearly full.
        `elsewhere` answers what needs the leader; None: this process answers all. `recognise` is
        told who calls, before they are answered.
        """
        self.face = Face(spool_dir=spool_dir)
        self._ids = RequestIds(life)
        self._hot: dict[str, HotRoute | NotHere] = {
            route.path: HotRoute(one.service, gate(route.action), route.takes, route.hot)
            if elsewhere is None
            else NotHere(elsewhere)
            for one in offered
            if (route := one.route).hot is not None and route.takes is not None
        }
        self.hot_paths = frozenset(self._hot)
        self._routes = [one.route for one in offered]
        handlers = [
            _handler(
                self.face,
                one.route,
                gate(one.route.action),
                _answering(one, elsewhere, check_room),
                recognise,
            )
            for one in offered
            if one.route.handler is not None
        ]
        self._rest = self._litestar(handlers)
        self._log, self._monotonic = log, monotonic
        self._deep: dict[str, _Told] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0
        number, hot = self._ids.next(), scope["path"] in self._hot

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status == 200 and hot:  # some ten thousand a second: nobody looks these up
                    await send(message)
                    return
                message["headers"] = [*message["headers"], (b"x-request-id", number.encode())]
            await send(message)

        try:
            await self._answer(scope, receive, sent)
        finally:
            if not status:
                await _erred(number)(scope, receive, sent)
            self.face.requests[self._route(scope), status] += 1
            # What refers to itself waits for the collector, whose passes hold up everybody.
            cast(dict[str, Any], scope).pop("extensions", None)

    async def answer(self, exchange: Exchange) -> None:
        """Answer a hot request beside ASGI."""
        number, path = self._ids.next(), exchange.heard.path
        refused: Answer | None = None
        body: bytes | None = None
        try:
            body = await self._hot[path].exchange(exchange)
        except Refused as why:
            refused = self._refused(path, why)
        except Away:
            refused = _away()
        finally:
            await exchange.taken()
            if body is not None:
                status = 200
                exchange.good(body)
            else:
                refused = refused or _erred(number)
                status = refused.status
                exchange.other(refused, number)
            self.face.requests[path, status] += 1

    def _refused(self, route: str, why: Refused) -> Answer:
        """Return what a peer hears of a refusal; the log tells of hostile ones, but seldom."""
        if isinstance(why, TooDeep):
            now = self._monotonic()
            told = self._deep.setdefault(route, _Told())
            told.times += 1
            if now >= told.again_at:
                self._log("nested_too_deep", route=route, times=told.times)
                told.times, told.again_at = 0, now + TOLD_EVERY_S
        return problem(why)

    def _route(self, scope: Scope) -> str:
        """Return the path of the table that was asked for; one word for all that is not there."""
        if scope["path"] in self._hot:
            return scope["path"]
        state: dict[str, Any] = cast(dict[str, Any], scope).get("state", {})
        return str(state.get(ROUTE, "none"))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], cast(HTTPScope, scope)["method"]  # the server speaks no other
        hot = self._hot.get(path)
        if hot is not None and method == "POST":
            try:
                await hot.serve(scope, receive, send)
            except Refused as why:
                await self._refused(path, why)(scope, receive, send)
            except Away:
                await _away()(scope, receive, send)
        elif hot is not None or method not in _METHODS:
            await self._no_such_method(path, str(method))(scope, receive, send)
        else:
            await self._rest(scope, receive, send)

    def _no_such_method(self, path: str, method: str) -> Answer:
        literal = [route for route in self._routes if route.path == path]
        allow = sorted({one.method for one in literal or self._routes if one.fits(path)})
        if not allow:
            return problem(Refused(Code.NOT_FOUND, f"there is nothing at {path[:200]}"))
        why = f"{path[:200]} has no {method[:20]}, but {', '.join(allow)}"
        return problem(Refused(Code.NOT_ALLOWED, why), allow=allow)

    def _litestar(self, handlers: Sequence[HTTPRouteHandler]) -> Litestar:
        def say(request: AnyRequest, why: Refused) -> Response[bytes]:
            route = str(request.scope["state"].get(ROUTE, "none"))
            return _response(self._refused(route, why))

        return Litestar(
            route_handlers=handlers,
            exception_handlers={
                Refused: say,
                Away: _not_now,
                HTTPException: self._not_ours,
                Exception: _bug,
            },
            openapi_config=None,
            logging_config=None,
            request_max_body_size=None,  # `Body` has the limits, and reads in parts
            debug=False,
        )

    def _not_ours(self, request: AnyRequest, why: HTTPException) -> Response[bytes]:
        """Say in our form what Litestar found: no such path or method, in practice."""
        path = request.scope["path"]
        if why.status_code in (404, 405):
            return _response(self._no_such_method(path, request.scope["method"]))
        code = Code.INTERNAL if why.status_code >= 500 else Code.MALFORMED
        code = Code.TOO_LARGE if why.status_code == 413 else code
        return _response(problem(Refused(code, why.detail)))


def _erred(number: str) -> Answer:
    """Return what a peer hears of what is no refusal, hence a bug: the server logs it."""
    why = f"an error of the central; its log says more of request {number}"
    return problem(Refused(Code.INTERNAL, why))


def _away() -> Answer:
    """Return what a peer hears while the database is not there, or this process ends for it.

    Why stands in the log of whoever keeps the store: it names machines.
    """
    return problem(Refused(Code.UNAVAILABLE, "the store cannot be reached now: repeat this"))


def _answering(
    one: Offered, elsewhere: Elsewhere | None, check_room: Callable[[], Awaitable[None]]
) -> Handler:
    """Return what answers a route: its handler, or the process that leads."""
    needs_leader, answer = one.route.needs_leader, one.answer

    async def with_room(call: Call) -> ASGIApp:
        await check_room()
        return await one.answer(call)

    if one.route.creates:
        answer = with_room
    if elsewhere is None or needs_leader is False:
        return answer
    hand_on = partial(elsewhere.hand_on, lasts=one.route.lasts)
    if needs_leader is True:
        return hand_on

    async def here_or_elsewhere(call: Call) -> ASGIApp:
        return await (hand_on(call) if needs_leader(call) else answer(call))

    return here_or_elsewhere


def _handler(
    face: Face, route: Route, admit: Admit, handler: Handler, recognise: Recognise
) -> HTTPRouteHandler:
    async def handle(request: AnyRequest) -> ASGIApp:
        scope = request.scope
        scope["state"][ROUTE] = route.path
        caller = admit(header(scope["headers"], b"authorization"))
        if caller is not None:
            trust(scope)
        await recognise(caller)
        return await handler(Call(face, scope, request.receive, caller))

    made = HTTPRouteHandler(
        path=route.path.replace(":path}", "\0").replace("}", ":str}").replace("\0", ":path}"),
        http_method=[route.method],  # type: ignore[list-item]
        status_code=200,
    )
    return made(handle)


def _not_now(_: AnyRequest, why: Away) -> Response[bytes]:
    return _response(_away())


def _bug(_: AnyRequest, why: Exception) -> Response[bytes]:
    """Let it through to `Front` and the server's log."""
    raise why


def _response(answer: Answer) -> Response[bytes]:
    headers = {name.decode(): value.decode() for name, value in answer.all_headers()}
    return Response(answer.body, status_code=answer.status, headers=headers, media_type=JSON)
