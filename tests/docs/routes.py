"""The page on the HTTP API: every route with its right, and what it takes and gives."""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any, Final, get_type_hints

import msgspec

from pilotage.central.app.route_assembly import ROUTES
from pilotage.central.http.route import Route
from pilotage.central.identity.policy import Permission
from pilotage.proto.documents import job, transformation, workflow

from . import structs

TEXT: Final = """
    The API is JSON in UTF-8 under `/v1`; only the contents of files are bytes. `GET /openapi.json`
    (OpenAPI 3.1) has every field of every body, with its type, bounds and default.

    - Send the token in the header `Authorization: Bearer …`.
    - The right that a route needs is in brackets: see [roles](roles.md).
    - `?a&b` are query parameters, `{a,b?}` is a body with an optional `b`, and → stands
      before the answer.
    - Ids are integers below 2^53. Durations are in seconds, and their names end in `_s`. Points in
      time are in RFC 3339, in UTC, for display only.
    - A 2xx answer to a change means that the change is synced to disk.
    - An error is `{code, message, field}`: see [error codes](errors.md).
    - For the next page of a list, send the `after` of the answer. On the last page it is null.
    - The central refuses unknown fields, except from pilots, which may be newer.
"""
_PARTS: Final = {
    "pilots": "For pilots",
    "turn": "For pilots",
    "ask": "For pilots",
    "report": "For pilots",
    "beat": "For pilots",
    "log": "For pilots",
    "blobs": "Uploaded files",
    "submissions": "Jobs",
    "jobs": "Jobs",
    "events": "Jobs",
    "transformations": "Transformations",
    "productions": "Productions",
    "data": "Data",
    "failures": "Failures",
    "accounts": "Usage and quotas",
    "usage": "Usage and quotas",
    "quotas": "Usage and quotas",
    "series": "Usage and quotas",
    "sites": "Pilots and sites",
    "checks": "Pilots and sites",
    "limits": "Pilots and sites",
    "tokens": "Tokens",
    "whoami": "Tokens",
}
_ORDER: Final = (
    *("Jobs", "Uploaded files", "Usage and quotas", "Failures", "Transformations", "Productions"),
    *("Data", "Pilots and sites", "Tokens", "For pilots", "The central"),
)
# Structs that have a page of their own.
_DESCRIBED: Final = (job.__name__, transformation.__name__, workflow.__name__)
FIELDS_IN_ROUTES: Final = 8
_USUAL: Final = ("application/json", "application/octet-stream")
_OPERATORS: Final = {Permission.PILOT_READ, Permission.PILOT_CONTROL, Permission.PILOT_SECRET}


BODIES: Final = """
    ## Bodies

    Larger bodies of requests. Fields that need a note follow below the body.
"""


def sections() -> Iterator[str]:
    """Yield the page below its title."""
    yield inspect.cleandoc(TEXT) + "\n"
    for part, routes in groupby(_ordered(), _part):
        yield f"## {part}\n\n" + structs.lines(_route(route) for route in routes)
    yield inspect.cleandoc(BODIES) + "\n\n" + "\n".join(map(_body, _bodies()))


@cache
def _ordered() -> list[Route]:
    """Return the routes in the order of the page."""
    return sorted(ROUTES, key=lambda route: _ORDER.index(_part(route)))


def heading(route: Route) -> str:
    """Return the words with which the line of a route begins."""
    return f"**{route.method} `{route.path}`**"


def _part(route: Route) -> str:
    if route.action in _OPERATORS:
        return "Pilots and sites"
    if not route.path.startswith("/v1"):
        return "The central"
    word = re.findall(r"\w+", route.path.removeprefix("/v1"))[0]
    return _PARTS.get(word, "The central")


def _route(route: Route) -> str:
    right = (
        "public"
        if route.action is Permission.PUBLIC_READ
        else f"`{Permission(route.action).value}`"
    )
    asked = [] if route.query is None else structs.described(route.query)
    query = (
        "`?" + "&".join(one.name + structs.choices(one, "=") for one in asked) + "`"
        if asked
        else ""
    )
    media = [f"or `{one}`" for one in route.takes_media if one not in _USUAL]
    takes = " ".join([_name(route.takes), *media]) if route.takes is not None else ""
    facts = " ".join(fact for fact in (query, takes, _answer(route)) if fact)
    return f"{heading(route)} ({right}): {route.does} {facts}".rstrip()


def _answer(route: Route) -> str:
    if route.gives is None or route.gives is bytes and route.gives_media in _USUAL:
        return ""  # 204, or the bytes that the route is about
    if route.gives is bytes or route.gives is str:
        return f"→`{route.gives_media}`"
    return f"→{_name(route.gives)}" if _is_struct(route.gives) else ""


def _name(body: Any) -> str:
    """Return the fields of a small body, a link to one that is described, or else its name."""
    if not _is_struct(body):
        return "" if body is bytes else "an object"
    if body.__module__ in _DESCRIBED or not issubclass(body, msgspec.Struct) or body in _bodies():
        return structs.link(body)
    return (
        structs.signature(body) if _is_small(body) and body in _requests() else f"`{body.__name__}`"
    )


def _is_struct(body: Any) -> bool:
    is_class = isinstance(body, type)
    return is_class and (issubclass(body, msgspec.Struct) or dataclasses.is_dataclass(body))


@cache
def _bodies() -> list[type[msgspec.Struct]]:
    """Return every Struct of a request that its route does not describe."""
    direct = {route.takes for route in ROUTES}
    return [body for body in _requests() if body not in direct or not _is_small(body)]


def _is_small(body: type[msgspec.Struct]) -> bool:
    """Whether the names of its fields say all about a body."""
    fields = structs.described(body)
    has_notes = any(one.note for one in fields)
    return len(fields) <= FIELDS_IN_ROUTES and not has_notes and _says_no_more(body)


@cache
def _requests() -> list[type[msgspec.Struct]]:
    """Return every Struct that stands in a request."""
    found: list[type[msgspec.Struct]] = []
    waiting: list[Any] = [route.takes for route in _ordered()]
    while waiting:
        body = waiting.pop(0)
        if not isinstance(body, type) or not issubclass(body, msgspec.Struct):
            continue
        if body in found or body.__module__ in _DESCRIBED:
            continue
        found.append(body)
        waiting[:0] = list(_inside(body))
    return found


def _inside(body: type) -> Iterator[type]:
    waiting: list[Any] = list(get_type_hints(body).values())
    while waiting:
        hint = waiting.pop(0)
        if inspect.isclass(hint) and issubclass(hint, msgspec.Struct):
            yield hint
        waiting += getattr(hint, "__args__", ())


def _says_no_more(body: type[msgspec.Struct]) -> bool:
    """Whether the docstring of a body is one plain sentence, as that of its route is."""
    return not re.search(r"`|\n|[.:;] ", _text(body))


def _text(body: type[msgspec.Struct]) -> str:
    return structs.description(body) if "__doc__" in vars(body) and body.__doc__ else ""


def _body(body: type[msgspec.Struct]) -> str:
    """Return a body: what it is, its fields, and the notes on some."""
    fields = structs.described(body)
    noted = structs.lines(f"`{one.name}`: {one.note}" for one in fields if one.note)
    is_plain = _says_no_more(body) or _text(body) in {route.does for route in ROUTES}
    parts = [
        f"### {body.__name__}",
        "" if is_plain else _text(body),
        structs.signature(body),
        noted,
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"
