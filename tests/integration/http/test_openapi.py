"""The description of the routes is complete, consistent, and made from the table."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from pilotage.central.app.route_assembly import ROUTES, Handouts, face
from pilotage.central.http.openapi import document
from pilotage.central.identity.policy import names_of

from .asgi import Client
from .stubs import build

DOCUMENT = document(ROUTES, may=names_of, version="1.2.3")


def _all(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of the document."""
    if isinstance(value, dict):
        yield value
        for one in value.values():
            yield from _all(one)
    elif isinstance(value, list):
        for one in value:
            yield from _all(one)


def _operations() -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }


async def test_the_central_serves_it_to_anybody() -> None:
    reply = await Client(face(build().services, handouts=Handouts(version="1.2.3"))).ask(
        "GET", "/openapi.json"
    )

    assert reply.json() == msgspec.json.decode(msgspec.json.encode(DOCUMENT))
    assert DOCUMENT["openapi"] == "3.1.0"


def test_it_has_every_route_the_hot_ones_too() -> None:
    described = {(route.method, route.path.replace(":path", "")) for route in ROUTES}

    assert set(_operations()) == described
    assert ("POST", "/v1/turn") in described


def test_every_reference_leads_somewhere() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    references = {one["$ref"] for one in _all(DOCUMENT) if isinstance(one.get("$ref"), str)}

    assert {re.sub("^#/components/schemas/", "", one) for one in references} <= set(schemas)
    assert {"TurnReply", "Job", "Problem"} <= set(schemas)


def test_names_of_operations_are_unique() -> None:
    names = [operation["operationId"] for operation in _operations().values()]

    assert len(set(names)) == len(names)


def test_path_parameters_are_those_of_the_path() -> None:
    for (_, path), operation in _operations().items():
        named = [one["name"] for one in operation["parameters"] if one["in"] == "path"]

        assert named == re.findall(r"\{(\w+)\}", path)


def test_every_operation_says_who_may_and_how_it_refuses() -> None:
    for (method, path), operation in _operations().items():
        problem = operation["responses"]["default"]["content"]["application/json"]["schema"]

        assert problem == {"$ref": "#/components/schemas/Problem"}
        assert operation["description"].startswith("For"), (method, path)
        assert operation["summary"].endswith(".")


def test_words_of_a_query_are_described_with_their_bounds() -> None:
    parameters = _operations()["GET", "/v1/jobs"]["parameters"]
    limit = next(one for one in parameters if one["name"] == "limit")

    assert limit["schema"] == {"type": "integer", "minimum": 1, "maximum": 1_000, "default": 100}
    assert [one["name"] for one in parameters][:3] == ["state", "id", "submission"]
