"""The page on the HTTP API: every route, who may, what it takes and gives."""

import dataclasses
import inspect
import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final, get_type_hints

import msgspec
from msgspec import inspect as kinds

from pilotage.central.app.route_assembly import ROUTES
from pilotage.central.http.route import Route
from pilotage.central.identity.policy import Permission
from pilotage.proto.documents import job

from . import structs
from .rights import callers

TEXT: Final = """
    Everything is JSON in UTF-8 under `/v1`, but for the bytes of files. A token goes into the
    header `Authorization: Bearer …`. Ids are integers below 2^53. Durations are seconds and end in
    `_s`; points in time are RFC 3339 in UTC, for display only. A 2xx to a change means: synced to
    disk. A refusal is `{code, message, field}` ([error codes](errors.md)). The same description for
    programs: `GET /openapi.json`, OpenAPI 3.1.

    What people send is refused when it has a field that is not listed here. What pilots send is
    read as far as it is known, so that newer pilots can speak to older centrals
    ([protocol](protocol.md), [messages](pilot-messages.md)).
"""
_PARTS: Final = {
    "pilots": "Pilots at work",
    "turn": "Pilots at work",
    "ask": "Pilots at work",
    "report": "Pilots at work",
    "beat": "Pilots at work",
    "log": "Pilots at work",
    "blobs": "Files",
    "submissions": "Jobs",
    "jobs": "Jobs",
    "events": "Jobs",
    "sites": "Pilots and sites",
    "tokens": "Tokens",
    "whoami": "Tokens",
}
_OPERATORS: Final = {Permission.PILOT_READ, Permission.PILOT_CONTROL, Permission.PILOT_SECRET}


def sections() -> Iterator[str]:
    """Yield the page below its title."""
    yield inspect.cleandoc(TEXT) + "\n"
    ordered = sorted(ROUTES, key=lambda route: list(_order()).index(_part(route)))
    for part, routes in groupby(ordered, _part):
        yield f"## {part}\n\n" + "\n".join(_route(route) for route in routes)
    yield "## Bodies\n\n" + "\n".join(_body(body) for body in _bodies())


def heading(route: Route) -> str:
    """Return the line under which a route is described."""
    return f"### {route.method} {route.path}"


def _order() -> Sequence[str]:
    return ("Jobs", "Files", "Pilots and sites", "Tokens", "Pilots at work", "For everybody")


def _part(route: Route) -> str:
    if route.action in _OPERATORS:
        return "Pilots and sites"
    if not route.path.startswith("/v1"):
        return "For everybody"
    word = re.findall(r"\w+", route.path.removeprefix("/v1"))[0]
    return _PARTS.get(word, "For everybody")


def _route(route: Route) -> str:
    action = Permission(route.action)
    who = callers(action)
    names = (
        "anybody"
        if len(who) == len(callers(Permission.PUBLIC_READ))
        else ", ".join(one.value for one in who)
    )
    lines = [heading(route), "", route.does, "", f"- Who: {names} (`{action.value}`)"]
    if route.query is not None:
        asked = ", ".join(_asked(field) for field in msgspec.structs.fields(route.query))
        lines.append(f"- Query: {asked}")
    if route.takes is not None:
        media = " or ".join(f"`{one}`" for one in route.takes_media)
        lines.append(f"- Request: {_name(route.takes)}, {media}")
    lines.append(f"- Answer: {_answer(route)}")
    return "\n".join(lines) + "\n"


def _asked(field: msgspec.structs.FieldInfo) -> str:
    return f"`{field.encode_name}` ({structs.words(kinds.type_info(field.type))})"


def _answer(route: Route) -> str:
    if route.gives is None:
        return "204"
    plain = "" if route.gives_media == "application/json" else f", `{route.gives_media}`"
    return f"{_name(route.gives)}{plain}"


def _name(body: Any) -> str:
    if body is bytes:
        return "bytes"
    if body is str:
        return "text"
    is_described = dataclasses.is_dataclass(body) or body in _bodies() or body is job.Job
    return structs.link(body) if is_described else "an object"


def _bodies() -> list[type[msgspec.Struct]]:
    """Return every Struct that stands in a request or an answer, in order of the routes."""
    found: list[type[msgspec.Struct]] = []
    waiting = [one for route in ROUTES for one in (route.takes, route.gives)]
    while waiting:
        body = waiting.pop(0)
        if not isinstance(body, type) or not issubclass(body, msgspec.Struct):
            continue
        if body in found or body.__module__ == job.__name__:
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


def _body(body: type[msgspec.Struct]) -> str:
    text = structs.description(body) if "__doc__" in vars(body) and body.__doc__ else ""
    return f"### {body.__name__}\n\n{text}\n\n{structs.table(body)}".replace("\n\n\n\n", "\n\n")
