"""What a route is, and how a subject declares the routes of a service."""

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Concatenate, Generic, TypeAlias, TypeVar

from .answers import JSON, HttpAnswer, StreamedAnswer, encoded, nothing
from .asgi import ASGIApp
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
    path: str  # `{name}` stands for one part, `{name:path}` for all that is left
    action: str  # what it is for, in the words of the policy
    does: str
    handler: Answering[Any, Any] | None = None
    hot: Hot[Any, Any] | None = None
    query: type[Any] | None = None
    takes: type[Any] | None = None
    gives: type[Any] | None = None
    takes_media: tuple[str, ...] = (JSON,)
    gives_media: str = JSON
    reads_body: bool = False  # whole, before the handler is called
    creates: bool = False  # what people store by it; refused where the disk is nearly full
    needs_leader: bool | Callable[[Call], bool] = True  # or whether one request does
    lasts: bool = False  # the answer may last as long as its caller likes


@dataclass(frozen=True)
class BoundRoute:
    """A route, and the service that answers it; None: the process has no such service."""

    route: Route
    service: Any

    async def answer(self, call: Call) -> ASGIApp:
        """Decode the query or the body, ask the service, encode its answer. Raises Refused."""
        route, told = self.route, dict[str, Any]()
        assert route.handler is not None
        if route.query is not None:
            told["query"] = call.query(route.query)
        if route.reads_body and route.takes is not None:
            told["body"] = await call.read(route.takes)
        given = await route.handler(self.service, call, **told)
        if given is None:
            return nothing()
        return given if isinstance(given, HttpAnswer | StreamedAnswer) else encoded(given)


class Routes(Generic[S]):
    """The routes of one service, in the order in which they are declared.

    The docstring of a handler describes its route. A handler takes the service, the call, and if it
    names them the decoded `query` and `body`. What it returns is encoded; None is an empty answer.
    """

    def __init__(self) -> None:
        self.all: list[Route] = []

    def add(
        self, method: str, path: str, action: str, **facts: Any
    ) -> Callable[[Answering[S, T]], Answering[S, T]]:
        """Declare the decorated function as a handler. `facts`: further fields of its `Route`.

        Its annotations say what it takes and gives, unless `facts` do.
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
        """Declare a hot route: it is a POST whose path has no variable parts."""

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
        """Return the routes with the service that answers them."""
        return [BoundRoute(route, service) for route in self.all]


def _description(handler: Callable[..., Any]) -> str:
    return " ".join((inspect.getdoc(handler) or "").split())
