"""What a pilot tells of a refusal."""

import pytest

from pilotage.pilot.ports import HttpReply
from pilotage.pilot.talk.conversation import refusal
from pilotage.proto.messages import Problem
from pilotage.proto.wire import encode

#    field, message of the central, what the pilot's log has
SAID = [
    ("", "not now", "not now"),
    ("$.ask.n", "found 0, expected 1", "$.ask.n: found 0, expected 1"),
    ("$.ask.n", "$.ask.n: found 0, expected 1", "$.ask.n: found 0, expected 1"),
]


@pytest.mark.parametrize(("field", "message", "told"), SAID)
def test_the_field_is_named_once(field: str, message: str, told: str) -> None:
    body = encode(Problem(code="invalid", message=message, field=field))

    assert refusal(HttpReply(422, body)).message == told


def test_a_page_of_a_proxy_is_a_status_alone() -> None:
    assert refusal(HttpReply(502, b"<html>")).message == ""
