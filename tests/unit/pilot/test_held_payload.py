"""What is due for a payload when, and what is told of it."""

import pytest

from pilotage.pilot.guard.held_payload import (
    LOOK_S,
    SAID_MAX,
    GuardedPayload,
    cut,
    due,
    look_again_in_s,
)
from pilotage.pilot.guard.limits import GRACE_S

# Started at 0 with a wall limit of 100 s; frozen for 20 s before. A dash: it is not so.
#    now   fence  frozen_at  stop_at  told  closing  due
TABLE = """
     10    50     -          -        -     -        -
     50    50     -          -        -     -        freeze
     99    50     -          -        -     -        freeze
     60    50     50         -        -     -        freeze
     60    70     50         -        -     -        thaw
     7250  50     50         -        -     -        kill:fence
     119   500    -          -        -     -        -
     120   500    -          -        -     -        end:wall
     120   120    -          -        -     -        freeze
     10    50     -          20       -     -        tell
     10    50     -          20       yes   -        -
     20    50     -          20       yes   -        kill:killed
     50    50     -          60       yes   -        freeze
     60    50     50         60       yes   -        kill:killed
     120   500    -          125      yes   -        end:wall
     125   500    -          125      yes   -        kill:killed
     999   50     -          -        -     yes      -
"""


def _held(line: str) -> "tuple[float, GuardedPayload, str]":
    now, fence, frozen_at, stop_at, told, closing, expected = line.split()
    order = {
        "attempt_id": 1,
        "isolation": "unshare",
        "wall_s": 100.0,
        "frozen_max_s": 7200.0,
        "fence": float(fence),
    }
    held = GuardedPayload(order, 42, 0.0)
    held.frozen_s = 20.0
    held.frozen_at = None if frozen_at == "-" else float(frozen_at)
    held.stop_at = None if stop_at == "-" else float(stop_at)
    held.told, held.killing = told == "yes", closing == "yes"
    return float(now), held, expected.replace("-", "")


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_what_is_due(line: str) -> None:
    now, held, expected = _held(line)

    assert due(held, now) == expected
    assert 0.0 <= look_again_in_s(held, now) <= LOOK_S


def test_a_payload_is_looked_at_when_its_fence_or_limit_is_near() -> None:
    now, held, _ = _held("49.8 50 - - - - -")

    assert look_again_in_s(held, now) == pytest.approx(0.2)
    held.fence = 1000.0
    assert look_again_in_s(held, 119.9) == pytest.approx(0.1)


def test_a_payload_over_a_limit_has_its_grace_once_and_keeps_the_first_word_for_its_end() -> None:
    now, held, _ = _held("120 500 - - - - -")

    held.end_softly("wall", held.ran(now), now)
    first = held.stop_at
    held.end_softly("cpu", "later", now + 5.0)

    assert (held.why, held.detail, held.stop_at) == (
        "wall",
        "ran for 100 s, was given 100 s",
        first,
    )
    assert [due(held, at) for at in (now, now + GRACE_S)] == ["tell", "kill:wall"]


@pytest.mark.parametrize("text", ["", "x" * SAID_MAX, "there is no a in /bin"])
def test_what_is_short_is_told_as_it_is(text: str) -> None:
    assert cut(text) == text


def test_of_what_is_long_the_beginning_and_the_end_are_told() -> None:
    told = cut(f"{'x' * 1_000_000} cannot be started: Argument list too long")

    assert len(told) == SAID_MAX
    assert told.startswith("xxx")
    assert told.endswith(" cannot be started: Argument list too long")
