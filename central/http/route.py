"""Routes, and the way in which a subject declares the routes of its service."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, TypeAlias, TypeVar

from .answers import JSON, HttpAnswer, StreamedAnswer, encoded, nothing
from .asgi import ASGIApp
from .body import SMALL_MAX
from .call import Call

S = TypeVar("S")
T = TypeVar("T")

Handler = Callable[[Call], Awaitable[ASGIApp]]
Answering: TypeAlias = Callable[Concatenate[S, Call, ...], Awaitable[T]]
Hot: TypeAlias = Callable[[S, Any, Any], Awaitable[T]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """One method of one path. Exactly one of `handler` and `hot` answers it."""

    method: str
    path: str  # `{name}` matches one part, `{name:path}` the rest
    action: str  # the policy's name for what it does
    does: str
    handler: Answering[Any, Any] | None = None
    hot: Hot[Any, Any] | None = None
    query: type[Any] | None = None
    takes: type[Any] | None = None
    gives: type[Any] | None = None
    takes_media: tuple[str, ...] = (JSON,)
    gives_media: str = JSON
    reads_body: bool = False  # the body is decoded before the handler is called
    body_max: int = SMALL_MAX  # bytes
    creates: bool = False  # stores new data; refused if the disk is nearly full
    needs_leader: bool | Callable[[Call], bool] = True  # a function decides for each request
    redirects: bool = False  # the answer sends a browser elsewhere
    lasts: bool = False  # the answer may last as long as its caller likes


@dataclass(frozen=True)
class BoundRoute:
    """A route, and the service that answers it (None: this process has no such service)."""

    route: Route
    service: Any

    async def answer(self, call: Call) -> ASGIApp:
        """Decode the query or the body, call the handler, encode its answer. Raises Refused."""
        route, arguments = self.route, dict[str, Any]()
        assert route.handler is not None
        if route.query is not None:
            arguments["query"] = call.query(route.query)
        if route.reads_body and route.takes is not None:
            arguments["body"] = await call.read(route.takes, route.body_max)
        given = await route.handler(self.service, call, **arguments)
        if given is None:
            return nothing()
        return given if isinstance(given, HttpAnswer | StreamedAnswer) else encoded(given)


class Routes(Generic[S]):
    """The routes of one service, in order of declaration.

    The docstring of a handler describes its route. A handler takes the service and the call, and
    the decoded `query` and `body` if it has parameters with these names. Its result is encoded;
    None is an empty answer.
    """

    def __init__(self) -> None:
        self.all: list[Route] = []

    def add(
        self, method: str, path: str, action: str, **facts: Any
    ) -> Callable[[Answering[S, T]], Answering[S, T]]:
        """Declare the decorated function as a handler. `facts` are further fields of its `Route`.

        The types of query, body and answer come from its annotations, unless `facts` give them.
        """

        def declare(handler: Answering[S, T]) -> Answering[S, T]:
            named = inspect.get_annotations(handler)
            found: dict[str, Any] = {"query": named.get("query"), "takes": named.get("body")}
            found["gives"] = named["return"]
            self.all.append(
                Route(
                    method=method,
                    path=path,
                    action=action,
                    does=_description(handler),
                    handler=handler,
                    reads_body="body" in named,
                    **{**found, **facts},
                )
            )
            return handler

        return declare

    def add_hot(
        self, path: str, action: str, *, takes: type[Any], gives: type[T]
    ) -> Callable[[Hot[S, T]], Hot[S, T]]:
        """Declare a hot route: a POST whose path has no variable parts."""

        def declare(hot: Hot[S, T]) -> Hot[S, T]:
            does = _description(hot)
            self.all.append(
                Route(
                    method="POST",
                    path=path,
                    action=action,
                    does=does,
                    hot=hot,
                    takes=takes,
                    gives=gives,
                )
            )
            return hot

        return declare

    def offered(self, service: S | None) -> list[BoundRoute]:
        """Return the routes, bound to the service that answers them."""
        return [BoundRoute(route, service) for route in self.all]


def _description(handler: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(handler) or "").split())
