"""The ASGI application: it finds the route, runs its handler, and answers refusals."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from pilotage.proto.problems import Code

from ..errors import DependencyUnavailable, Refused, TooDeep
from ..observe.events import Log, no_log
from ..observe.request_ids import RequestIds
from .answers import HttpAnswer, StreamedAnswer, problem
from .asgi import ASGIApp, AsgiMessage, AsgiReceive, AsgiScope, AsgiSend
from .call import Call, RouteContext
from .client_addresses import ClientAddresses
from .direct_answers import Exchange
from .forwarding import HandedBack, LeaderLink, MisdirectedRoute
from .guards import AdmitRequest, RouteGate, Undecided, trust
from .hot_routes import HotRoute
from .route import BoundRoute, Handler
from .router import Router

NO_ROUTE: Final = "none"  # the metrics' name for all paths without a route
TOLD_EVERY_S: Final = 60.0  # at most one log line for each route
SETTLE_S: Final = 10.0  # for the keys or the session of an unknown caller

Recognise = Callable[[Any], Awaitable[None]]  # receives the caller


async def nobody_new(caller: Any) -> None:
    """Do nothing: all callers are known."""


async def always_room() -> None:
    """Do nothing: the disk has room."""


def loop_time() -> float:
    """Return the monotonic time of the running loop."""
    return asyncio.get_running_loop().time()


@dataclass(frozen=True)
class _Ordinary:
    """The parts of a route that is not hot."""

    path: str
    admit: AdmitRequest
    answer: Handler


@dataclass
class _Repeats:
    """Repeated events of one route since its last log line."""

    times: int = 0  # since the last line
    again_at: float = 0.0


class HttpApp:
    """The whole HTTP face. It is callable as ASGI 3 and needs no lifespan."""

    def __init__(
        self,
        offered: Sequence[BoundRoute],
        gate: RouteGate,
        *,
        check_room: Callable[[], Awaitable[None]] = always_room,
        spool_dir: Path | None = None,
        life: str = "r",
        leader_link: LeaderLink | None = None,
        recognise: Recognise = nobody_new,
        addresses: ClientAddresses | None = None,
        log: Log = no_log,
        monotonic: Callable[[], float] = loop_time,
    ) -> None:
        """`life` distinguishes the request ids of this process from those of earlier ones.

        `gate` admits callers. `check_room` raises Refused if the disk is nearly full. `elsewhere`
        answers requests that need the leader; if it is None, this process answers all requests.
        `recognise` receives each caller before the handler runs. `addresses` knows the clients of
        forwarded requests; without it, their address is that of the process that forwards them.
        """
        self.face = RouteContext(spool_dir=spool_dir, addresses=addresses or ClientAddresses())
        self._ids = RequestIds(life)
        self._leader_link, self._check_room, self._recognise = leader_link, check_room, recognise
        self._hot: dict[str, HotRoute | MisdirectedRoute] = {
            route.path: HotRoute(one.service, gate(route.action).by_token, route.takes, route.hot)
            if leader_link is None
            else MisdirectedRoute(leader_link)
            for one in offered
            if (route := one.route).hot is not None and route.takes is not None
        }
        self.hot_paths = frozenset(self._hot)
        self._router = Router(
            (
                route.method,
                route.path,
                self._way(one, gate) if route.hot is None else self._hot[route.path],
            )
            for one in offered
            for route in [one.route]
        )
        self._log, self._monotonic = log, monotonic
        self._deep: dict[str, _Repeats] = {}

    async def __call__(self, scope: AsgiScope, receive: AsgiReceive, send: AsgiSend) -> None:
        status = 0
        number, hot = self._ids.next(), scope["path"] in self._hot
        route, answer = self._find(scope["method"], scope["path"])

        async def sent(message: AsgiMessage) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if status == 200 and hot:  # ten thousand a second, and nobody looks these ids up
                    await send(message)
                    return
                message["headers"] = [*message["headers"], (b"x-request-id", number.encode())]
            await send(message)

        try:
            await answer(scope, receive, sent)
        except Refused as why:
            await self._refused(route, why)(scope, receive, sent)
        except DependencyUnavailable:
            await _away()(scope, receive, sent)
        except asyncio.CancelledError:
            if not self.face.stopping.is_set():
                raise
            if not status:  # else the server closes the connection
                await _ending()(scope, receive, sent)
        finally:
            if not status:
                await _erred(number)(scope, receive, sent)
            self.face.requests[route, status] += 1
            # Reference cycles wait for the garbage collector, whose passes delay all requests.
            scope.pop("extensions", None)

    async def answer(self, exchange: Exchange) -> None:
        """Answer a hot request without ASGI."""
        number, path = self._ids.next(), exchange.heard.path
        refused: HttpAnswer | None = None
        body: bytes | None = None
        try:
            body = await self._hot[path].exchange(exchange)
        except Refused as why:
            refused = self._refused(path, why)
        except DependencyUnavailable:
            refused = _away()
        except asyncio.CancelledError:
            if not self.face.stopping.is_set():
                raise
            refused = _ending()
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

    def _refused(self, route: str, why: Refused) -> HttpAnswer:
        """Return the answer for a refusal. Hostile requests are logged, but rarely."""
        if isinstance(why, TooDeep):
            now = self._monotonic()
            repeats = self._deep.setdefault(route, _Repeats())
            repeats.times += 1
            if now >= repeats.again_at:
                self._log("nested_too_deep", route=route, times=repeats.times)
                repeats.times, repeats.again_at = 0, now + TOLD_EVERY_S
        return problem(why)

    def _find(self, method: str, path: str) -> tuple[str, ASGIApp]:
        """Return the path for the metrics, and the application that answers."""
        hot = self._hot.get(path)
        if hot is not None and method == "POST":
            return path, hot.serve
        found = self._router.at(path)
        if method not in found:
            return path if hot is not None else NO_ROUTE, _no_such_method(path, method, [*found])
        way, parts = found[method]
        if isinstance(way, _Ordinary):
            return way.path, partial(self._ordinary, way, parts)
        return path.rstrip("/"), way.serve

    async def _ordinary(
        self,
        way: _Ordinary,
        parts: Mapping[str, str],
        scope: AsgiScope,
        receive: AsgiReceive,
        send: AsgiSend,
    ) -> None:
        try:
            caller = way.admit(scope)
        except Undecided as why:
            with contextlib.suppress(TimeoutError):  # then the caller stays unknown
                async with asyncio.timeout(SETTLE_S):
                    await why.settle()
            caller = way.admit(scope)
        if caller is not None:
            trust(scope)
        with self.face.open_requests.open(caller) as ended:
            await self._recognise(caller)
            answer = await way.answer(Call(self.face, scope, receive, caller, parts))
            if isinstance(answer, StreamedAnswer | HandedBack):
                answer.ended = ended
            await answer(scope, receive, send)

    def _way(self, one: BoundRoute, gate: RouteGate) -> _Ordinary:
        """Return the function that answers a route: its handler, or a request to the leader."""
        route, leader_link, check_room = one.route, self._leader_link, self._check_room
        admit = gate(route.action).by_request
        needs_leader, answer = route.needs_leader, one.answer

        async def with_room(call: Call) -> ASGIApp:
            await check_room()
            return await one.answer(call)

        if route.creates:
            answer = with_room
        if leader_link is None or needs_leader is False:
            return _Ordinary(route.path, admit, answer)
        hand_on = partial(leader_link.hand_on, lasts=route.lasts)
        if needs_leader is True:
            return _Ordinary(route.path, admit, hand_on)

        async def here_or_elsewhere(call: Call) -> ASGIApp:
            return await (hand_on(call) if needs_leader(call) else answer(call))

        return _Ordinary(route.path, admit, here_or_elsewhere)


def _no_such_method(path: str, method: str, there: Sequence[str]) -> HttpAnswer:
    """Return the answer for a path that has only these methods, or none."""
    if not there:
        return problem(Refused(Code.NOT_FOUND, f"no such path: {path[:200]}"))
    allow = sorted(there)
    why = f"{path[:200]} does not take {method[:20]}; use {' or '.join(allow)}"
    return problem(Refused(Code.NOT_ALLOWED, why), allow=allow)


def _erred(number: str) -> HttpAnswer:
    """Return the answer after a bug in a handler. The server logs the traceback."""
    why = f"internal error of the central; its log describes request {number}"
    return problem(Refused(Code.INTERNAL, why))


def _ending() -> HttpAnswer:
    """Return the answer to a request that the server cancels because it stops."""
    why = "this central is stopping: try again in a minute"
    return problem(Refused(Code.UNAVAILABLE, why))


def _away() -> HttpAnswer:
    """Return the answer while the store cannot be reached, or this process ends for that reason.

    The reason goes to the log only, because it names machines.
    """
    return problem(Refused(Code.UNAVAILABLE, "the store cannot be reached now; try again"))
