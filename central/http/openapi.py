"""The description of all routes (OpenAPI 3.1), generated from the table of routes."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.messages import Problem

from .answers import BYTES, JSON, NDJSON
from .route import Route

_REF: Final = "#/components/schemas/{name}"
_PLAIN: Final = (bytes, str)

May = Callable[[str], Sequence[str]]  # takes an action, returns its permitted roles; (): anybody


def document(routes: Iterable[Route], *, may: May, version: str) -> dict[str, Any]:
    """Return the document. `may` returns the roles that are permitted to do an action."""
    routes = tuple(routes)
    kinds = sorted({kind for route in routes for kind in _kinds(route)}, key=lambda k: k.__name__)
    schemas, components = msgspec.json.schema_components(
        [*kinds, Problem, *(route.query for route in routes if route.query)], ref_template=_REF
    )
    named = dict(zip(kinds, schemas, strict=False))
    for route in routes:
        if route.query is not None:
            components.pop(route.query.__name__, None)  # parameters, not bodies
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        path = re.sub(r":path\}", "}", route.path)
        operation = _operation(route, may(route.action), named)
        paths.setdefault(path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pilotage",
            "version": version,
            "description": "Jobs for pilots: the interface of the central.",
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _kinds(route: Route) -> list[Any]:
    return [
        kind for kind in (route.takes, route.gives) if isinstance(kind, type) and kind not in _PLAIN
    ]


def _operation(
    route: Route, who: Sequence[str], named: dict[Any, dict[str, Any]]
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _name(route),
        "summary": route.does,
        "description": f"For: {', '.join(who)}." if who else "For anybody.",
        "tags": [route.action],
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": {
            **_done(route, named),
            "default": {
                "description": "Refused.",
                "content": {JSON: {"schema": {"$ref": _REF.format(name="Problem")}}},
            },
        },
        "security": [{"bearer": []}] if who else [],
    }
    if route.takes is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {
                media: {"schema": {"type": "string"} if media == NDJSON else _body(route, named)}
                for media in route.takes_media
            },
        }
    return operation


def _body(route: Route, named: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    return {} if route.takes_media == (BYTES,) else named[route.takes]


def _done(route: Route, named: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    if route.redirects:
        return {"303": {"description": "A redirect of the browser."}}
    if route.gives is None:
        return {"204": {"description": "Done."}}
    if route.gives in _PLAIN:
        schema: dict[str, Any] = {}
    else:
        schema = named.get(route.gives, {"type": "object"})
    return {"200": {"description": "Done.", "content": {route.gives_media: {"schema": schema}}}}


def _name(route: Route) -> str:
    words = re.findall(r"[a-z0-9]+", route.path.replace(":path", "").lower())
    return "_".join([route.method.lower(), *words])


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"\{(\w+)", route.path)
    ]


def _query_parameters(route: Route) -> list[dict[str, Any]]:
    if route.query is None:
        return []
    _, defined = msgspec.json.schema_components([route.query], ref_template=_REF)
    properties = defined[route.query.__name__]["properties"]
    return [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in properties.items()
    ]
