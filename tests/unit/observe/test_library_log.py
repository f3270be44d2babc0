"""What libraries log comes out in our form, cut to a bound, and nowhere else."""

import io
import logging
from collections.abc import Iterator

import msgspec
import pytest

from pilotage.central.observe.events import JsonLog
from pilotage.central.observe.library_logs import MESSAGE_MAX, take_over
from pilotage.central.observe.request_ids import REQUEST


@pytest.fixture
def out() -> Iterator[io.BytesIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    made = io.BytesIO()
    take_over(JsonLog(made))
    yield made
    root.handlers, root.level = before, level


def lines(out: io.BytesIO) -> list[dict[str, str]]:
    return [msgspec.json.decode(line) for line in out.getvalue().splitlines()]


def test_a_warning_and_an_error_with_its_traceback_are_events(out: io.BytesIO) -> None:
    logger = logging.getLogger("some.library")
    logger.info("nobody wants to know")
    logger.warning("%s is odd", "this")
    token = REQUEST.set("r-7")
    try:
        raise ValueError("broken")
    except ValueError:
        logger.exception("it failed")
    REQUEST.reset(token)
    first, second = lines(out)

    assert (first["event"], first["level"], first["message"]) == (
        "library",
        "warning",
        "this is odd",
    )
    assert second["logger"] == "some.library"
    assert second["error"].endswith("ValueError: broken")
    assert second["request"] == "r-7"


def test_a_message_without_end_is_cut(out: io.BytesIO) -> None:
    logging.getLogger("x").error("a" * 1_000_000)

    assert len(lines(out)[0]["message"]) == MESSAGE_MAX
