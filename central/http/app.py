"""The ASGI application: the hot routes in front, Litestar behind, one form of refusals for both."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, cast

import msgspec
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from pilotage.proto.problems import Code

from ..errors import Away, Refused, TooDeep
from ..identity.callers import Caller, User
from ..identity.element_issuer import Published
from ..identity.signature import PilotFiles
from ..observe.events import Log, no_log
from ..observe.requests import RequestIds
from ..services import Services
from .answers import JSON, Answer, problem
from .call import Call, ClientWheel, Face, Handler
from .direct import Exchange
from .elsewhere import Elsewhere, NotHere
from .guards import CALLER, ROUTE, guard
from .here import HERE, LOGS
from .hot import HotRoute
from .jobs import LogQuery
from .openapi import document
from .route import Route
from .routes import ROUTES, methods_of

_METHODS = frozenset({"GET", "POST", "PUT", "DELETE"})
_CODES = {404: Code.NOT_FOUND, 405: Code.NOT_ALLOWED, 413: Code.TOO_LARGE}

TOLD_EVERY_S: Final = 60.0  # of one route

Recognise = Callable[[Caller], Awaitable[None]]
AnyRequest = Request[Any, Any, Any]


async def no_pilot_files() -> PilotFiles | None:
    """Have no pilot to give away."""
    return None


async def no_client_wheel() -> ClientWheel | None:
    """Have no wheel to give away."""
    return None


async def nobody_new(caller: Caller) -> None:
    """Know all who have jobs: nobody else stores any."""


async def nothing_published() -> Published:
    """Have no issuer of elements' tokens."""
    return Published()


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
        services: Services,
        *,
        version: str = "0",
        pilot_files: Callable[[], Awaitable[PilotFiles | None]] = no_pilot_files,
        client_wheel: Callable[[], Awaitable[ClientWheel | None]] = no_client_wheel,
        element_issuer: Callable[[], Awaitable[Published]] = nothing_published,
        spool_dir: Path | None = None,
        life: str = "r",
        elsewhere: Elsewhere | None = None,
        recognise: Recognise = nobody_new,
        log: Log = no_log,
        monotonic: Callable[[], float] = loop_time,
    ) -> None:
        """`life` tells the requests of this process from those of the one before.

        `elsewhere` answers what is not in `HERE`; None: this process answers all. `recognise` is
        told who calls, before they are answered.
        """
        described = cache(partial(_described, version))
        self.face = Face(
            services, pilot_files, client_wheel, element_issuer, described, spool_dir=spool_dir
        )
        self._ids = RequestIds(life)
        self._hot: dict[str, HotRoute | NotHere] = {
            route.path: HotRoute(services, route.action, route.takes, route.hot)
            if elsewhere is None
            else NotHere(elsewhere)
            for route in ROUTES
            if route.hot is not None and route.takes is not None
        }
        self._rest = _litestar(self.face, elsewhere, recognise, self._refused)
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
            await _no_such_method(path, str(method))(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def _described(version: str) -> bytes:
    """Return the OpenAPI document. The first request makes it, so that a start is quick."""
    return msgspec.json.encode(document(ROUTES, version=version))


def _erred(number: str) -> Answer:
    """Return what a peer hears of what is no refusal, hence a bug: the server logs it."""
    why = f"an error of the central; its log says more of request {number}"
    return problem(Refused(Code.INTERNAL, why))


def _away() -> Answer:
    """Return what a peer hears while the database is not there, or this process ends for it.

    Why stands in the log of whoever keeps the store: it names machines.
    """
    return problem(Refused(Code.UNAVAILABLE, "the store cannot be reached now: repeat this"))


def _no_such_method(path: str, method: str) -> Answer:
    allow = methods_of(path)
    if not allow:
        return problem(Refused(Code.NOT_FOUND, f"there is nothing at {path[:200]}"))
    why = f"{path[:200]} has no {method[:20]}, but {', '.join(allow)}"
    return problem(Refused(Code.NOT_ALLOWED, why), allow=allow)


def _litestar(
    face: Face,
    elsewhere: Elsewhere | None,
    recognise: Recognise,
    refused: Callable[[str, Refused], Answer],
) -> Litestar:
    def say(request: AnyRequest, why: Refused) -> Response[bytes]:
        return _response(refused(str(request.scope["state"].get(ROUTE, "none")), why))

    return Litestar(
        route_handlers=[
            _handler(face, route, _answering(route, route.handler, elsewhere), recognise)
            for route in ROUTES
            if route.handler is not None
        ],
        exception_handlers={
            Refused: say,
            Away: _not_now,
            HTTPException: _not_ours,
            Exception: _bug,
        },
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,  # `Body` has the limits, and reads in parts
        debug=False,
    )


def _answering(route: Route, handler: Handler, elsewhere: Elsewhere | None) -> Handler:
    """Return what answers a route: its handler, or the process that leads."""
    if elsewhere is not None and (route.method, route.path) not in HERE:
        return elsewhere.hand_on
    if route.creates:
        return partial(_with_room, handler)
    if elsewhere is None:
        return handler
    if route.path == LOGS:
        return partial(_kept_or_live, handler, elsewhere)
    return handler


async def _with_room(handler: Handler, call: Call) -> ASGIApp:
    """Answer if the disk has room for what people store. Raises StoreFull."""
    if isinstance(call.caller, User):
        await call.services.room.check_new()
    return await handler(call)


async def _kept_or_live(handler: Handler, elsewhere: Elsewhere, call: Call) -> ASGIApp:
    """What is kept of a stream is here; as it grows, it comes to the process that leads."""
    return await (elsewhere.hand_on(call) if call.query(LogQuery).follow else handler(call))


def _handler(face: Face, route: Route, handler: Handler, recognise: Recognise) -> HTTPRouteHandler:
    async def handle(request: AnyRequest) -> ASGIApp:
        caller = request.scope["state"][CALLER]
        await recognise(caller)
        return await handler(Call(face, request.scope, request.receive, caller))

    made = HTTPRouteHandler(
        path=route.path.replace(":path}", "\0").replace("}", ":str}").replace("\0", ":path}"),
        http_method=[route.method],  # type: ignore[list-item]
        guards=[guard(face.services.tokens, route.action, route.path)],
        status_code=200,
    )
    return made(handle)


def _not_now(_: AnyRequest, why: Away) -> Response[bytes]:
    return _response(_away())


def _not_ours(request: AnyRequest, why: HTTPException) -> Response[bytes]:
    """Say in our form what Litestar found: no such path or method, in practice."""
    path = request.scope["path"]
    if why.status_code in (404, 405):
        return _response(_no_such_method(path, request.scope["method"]))
    code = Code.INTERNAL if why.status_code >= 500 else _CODES.get(why.status_code, Code.MALFORMED)
    return _response(problem(Refused(code, why.detail)))


def _bug(_: AnyRequest, why: Exception) -> Response[bytes]:
    """Let it through to `Front` and the server's log."""
    raise why


def _response(answer: Answer) -> Response[bytes]:
    headers = {name.decode(): value.decode() for name, value in answer.all_headers()}
    return Response(answer.body, status_code=answer.status, headers=headers, media_type=JSON)
