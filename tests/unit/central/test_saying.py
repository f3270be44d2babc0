"""What the central says is the same JSON as the messages that pilots know."""

import dataclasses
from typing import Any

import msgspec
import pytest

from pilotage.central import sent_messages as saying
from pilotage.proto import messages, wire

SAID: list[tuple[str, dict[str, Any]]] = [
    ("AskAnswer", {"n": 3, "assignments": (), "parked": True, "stale": False, "retry_in_s": 1.5}),
    (
        "Grant",
        {
            "cores": 1,
            "memory_mb": 2,
            "wall_s": 3.0,
            "scratch_mb": 4,
            "gpus": 5,
            "amounts": {"net": 6},
        },
    ),
    ("ReportAnswer", {"job": 1, "epoch": 2, "n": 3, "answer": messages.Answer.OK}),
    ("TurnReply", {"term": 1, "drain": True}),
    ("BeatAnswer", {"n": 1, "term": 1, "stale": (messages.Attempt(1, 2),), "ask_again": True}),
    ("Down", {"drain": True}),
]


@pytest.mark.parametrize(("name", "given"), SAID)
def test_what_is_said_is_the_message_that_pilots_know(name: str, given: dict[str, Any]) -> None:
    kind = getattr(messages, name)
    said = msgspec.json.encode(getattr(saying, name)(**given))

    assert said == msgspec.json.encode(kind(**given))
    assert wire.decode(kind, said) == kind(**given)


@pytest.mark.parametrize("name", saying.__all__)
def test_it_has_the_fields_and_defaults_of_the_message(name: str) -> None:
    kind, quick = getattr(messages, name), getattr(saying, name)
    known = {
        one.name: (one.default, one.default_factory)
        if one.default is not dataclasses.MISSING or one.default_factory is not dataclasses.MISSING
        else "required"
        for one in dataclasses.fields(kind)
    }
    found = {
        one.name: "required"
        if one.required
        else tuple(
            dataclasses.MISSING if it is msgspec.NODEFAULT else it
            for it in (one.default, one.default_factory)
        )
        for one in msgspec.structs.fields(quick)
    }

    assert found == known
