"""The page on the HTTP API: every route with its right, and what it takes and gives."""

import dataclasses
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from typing import Any, Final, get_type_hints

import msgspec
from msgspec import inspect as kinds

from pilotage.central.app.route_assembly import ROUTES
from pilotage.central.http.route import Route
from pilotage.central.identity.policy import Permission
from pilotage.proto.documents import job, transformation, workflow
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import InputState, TaskState, TransformationState

from . import structs

TEXT: Final = """
    The API is JSON in UTF-8 under `/v1`; only the contents of files are bytes. `GET /openapi.json`
    describes the same API for programs (OpenAPI 3.1), with the type, bounds and default of every
    field.

    - Send the token in the header `Authorization: Bearer …`.
    - The right that a route needs is in brackets. [Roles](roles.md) says which roles have it, and
      for which jobs.
    - Ids are integers below 2^53. Durations are in seconds, and their names end in `_s`. Points in
      time are in RFC 3339, in UTC, for display only.
    - A 2xx answer to a change means that the change is synced to disk.
    - An error is `{code, message, field}`: see [error codes](errors.md).
    - Pages of a list: send the `after` of an answer as `after` of the next request. It is null on
      the last page.
    - The central refuses unknown fields from people. It ignores unknown fields from pilots, so that
      newer pilots can talk to older centrals ([protocol](protocol.md)).
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
# Enums that have one, and a link to it in place of their words.
_STATES: Final = {
    structs.words(kinds.EnumType(enum)): f"[states]({page})"
    for enum, page in (
        (JobState, "job-states.md"),
        (PilotState, "pilot-states.md"),
        (ProductionState, "production-states.md"),
        (TransformationState, "transformation-states.md#transformations"),
        (TaskState, "transformation-states.md#their-tasks"),
        (InputState, "transformation-states.md#their-inputs"),
    )
}
FIELDS_IN_ROUTES: Final = 6
WORDS_MIN: Final = 8
FIELDS_IN_FIELDS: Final = 5
_PLAIN: Final = ("text", "integer", "number", "boolean")
_LINK: Final = r"\[(\w+)\]\(#\w+\)"
_USUAL: Final = ("application/json", "application/octet-stream")
_OPERATORS: Final = {Permission.PILOT_READ, Permission.PILOT_CONTROL, Permission.PILOT_SECRET}


BODIES: Final = """
    ## Bodies

    A request must have the fields in bold. Fields with a clear name come first, the others in a
    list. A link leads to what a field holds: one object, a list or a mapping of them.
"""


def sections() -> Iterator[str]:
    """Yield the page below its title."""
    yield inspect.cleandoc(TEXT) + "\n"
    for part, routes in groupby(_ordered(), _part):
        yield f"## {part}\n\n" + "\n".join(_route(route) for route in routes) + "\n"
    shown = [body for body in _bodies() if body not in _said_in_routes() | _inlined()]
    yield inspect.cleandoc(BODIES) + "\n\n" + "\n".join(_body(body) for body in shown)


@cache
def _ordered() -> list[Route]:
    """Return the routes in the order of the page."""
    return sorted(ROUTES, key=lambda route: _ORDER.index(_part(route)))


def heading(route: Route) -> str:
    """Return the words with which the line of a route begins."""
    return f"- **{route.method} `{route.path}`**"


def _part(route: Route) -> str:
    if route.action in _OPERATORS:
        return "Pilots and sites"
    if not route.path.startswith("/v1"):
        return "The central"
    word = re.findall(r"\w+", route.path.removeprefix("/v1"))[0]
    return _PARTS.get(word, "The central")


def _route(route: Route) -> str:
    right = (
        "no token"
        if route.action is Permission.PUBLIC_READ
        else f"`{Permission(route.action).value}`"
    )
    facts: list[str] = []
    if route.query is not None:
        asked = (_field(field, bold=False) for field in structs.described(route.query))
        facts.append("Query: " + ", ".join(asked))
    if route.takes is not None:
        media = [one for one in route.takes_media if one not in _USUAL]
        facts.append("Body: " + " or ".join([_name(route.takes), *(f"`{one}`" for one in media)]))
    facts.append(f"Answer: {_answer(route)}")
    return f"{heading(route)} ({right}): {route.does}\\\n  {'. '.join(facts)}."


def _answer(route: Route) -> str:
    if route.gives is None:
        return "204"
    plain = "" if route.gives_media in _USUAL else f", `{route.gives_media}`"
    return f"{_name(route.gives)}{plain}"


def _name(body: Any) -> str:
    if body is bytes:
        return "bytes"
    if body is str:
        return "text"
    if body in _said_in_routes():
        asked = body in _requests()
        return ", ".join(
            _field(one, bold=asked, with_words=asked) for one in structs.described(body)
        )
    is_struct = isinstance(body, type) and issubclass(body, msgspec.Struct)
    return structs.link(body) if is_struct or dataclasses.is_dataclass(body) else "an object"


@cache
def _bodies() -> list[type[msgspec.Struct]]:
    """Return every Struct that stands in a request or an answer, in order of the routes."""
    return _below([one for route in _ordered() for one in (route.takes, route.gives)])


@cache
def _said_in_routes() -> set[type[msgspec.Struct]]:
    """Return the small bodies of one route, which says all about them."""
    direct = Counter(body for route in ROUTES for body in (route.takes, route.gives))
    inner = {one for body in _bodies() for one in _inside(body)}
    return {
        body
        for body in _bodies()
        if direct[body] == 1
        and body not in inner
        and len(structs.described(body)) <= FIELDS_IN_ROUTES
        and not any(one.note for one in structs.described(body))
        and _says_no_more(body)
    }


@cache
def _requests() -> list[type[msgspec.Struct]]:
    """Return every Struct that stands in a request."""
    return _below([route.takes for route in ROUTES])


def _below(waiting: list[Any]) -> list[type[msgspec.Struct]]:
    found: list[type[msgspec.Struct]] = []
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


def _small(found: re.Match[str]) -> str:
    """Return the fields of a small struct in place of the link to it."""
    for body in _inlined():
        if body.__name__ == found[1]:
            return "with " + ", ".join(f"`{one.name}`" for one in structs.described(body))
    return found[0]


@cache
def _inlined() -> set[type[msgspec.Struct]]:
    """Return the small structs that one field of one body holds."""
    held = Counter(one for body in _bodies() for one in _inside(body))
    direct = {body for route in ROUTES for body in (route.takes, route.gives)}
    return {
        body
        for body, times in held.items()
        if times == 1
        and body not in direct
        and body.__module__ not in _DESCRIBED
        and body not in _requests()
        and len(structs.described(body)) <= FIELDS_IN_FIELDS
        and _says_little(body)
        and all(one.kind in _PLAIN and not one.note for one in structs.described(body))
    }


def _says_little(body: type[msgspec.Struct]) -> bool:
    """Whether the docstring of a body says hardly more than its name."""
    return "__doc__" not in vars(body) or len((body.__doc__ or "").split()) < WORDS_MIN


def _says_no_more(body: type[msgspec.Struct]) -> bool:
    """Whether the docstring of a body is one plain sentence, as that of its route is."""
    text = structs.description(body) if "__doc__" in vars(body) and body.__doc__ else ""
    return not re.search(r"`|\n|[.:;] ", text)


def _body(body: type[msgspec.Struct]) -> str:
    """Return a body: what it is, its plain fields, and those that need a note."""
    parts = [f"### {body.__name__}"]
    text = structs.description(body) if "__doc__" in vars(body) and body.__doc__ else ""
    is_direct = any(body in (route.takes, route.gives) for route in ROUTES)
    if text and not (_says_no_more(body) and (is_direct or _says_little(body))):
        parts.append(text)
    bold = body in _requests()
    parts.append(structs.compact(body, lambda field: _field(field, bold=bold)))
    return "\n\n".join(parts)


def _field(field: structs.Field, *, bold: bool, with_words: bool = True) -> str:
    """Return the name of a field with what its type adds: the structs or words that it may hold."""
    name = f"**`{field.name}`**" if field.required and bold else f"`{field.name}`"
    links = structs.links(field)
    held = field.kind.removeprefix("list of ")
    if "`infra.node`" in held:
        return f"{name} ([classes](failures.md))"
    if held in _STATES:
        return f"{name} ({_STATES[held]})"
    if links:
        return f"{name} ({re.sub(_LINK, _small, links)})"
    return f"{name} ({held})" if with_words and held.startswith("`") else name
