"""What a pilot says of payloads that had their warning signal."""

import pytest

from pilotage.pilot.mind import commands as c
from pilotage.pilot.ports import Ended
from pilotage.proto.messages import CHECKPOINT_FILE, How, Output, Report, Turn, Usage, What

from .stories import Story

SAVED = (Output(CHECKPOINT_FILE, "ab" * 32, 10_240),)
RUNS = """
    0     tick              ask 1
    0.1   got A parked      journal A; start A fence 96
    0.2   started A         https beat 1 [A] closed 1 parked 1
    0.3   got               fence A 96.2
"""


def reports(commands: list[c.Command]) -> list[tuple[What, str]]:
    turns = [one.turn for one in commands if isinstance(one, c.SendTurn)]
    return [(one.what, one.status) for turn in turns for one in turn.reports]


def test_a_warning_is_told_at_once_where_the_start_is_known() -> None:
    story = Story()
    story.tell(RUNS)
    story.tell("0.5   tick              A started 1")
    story.tell("0.6   got")

    said = story.brain.warned(1, "USR1, 30 s before its end", 10.0)

    assert reports(said) == [(What.PROGRESS, "warned: USR1, 30 s before its end")]


def test_a_warning_waits_until_the_start_is_answered() -> None:
    story = Story()
    story.tell(RUNS)
    story.tell("0.5   tick              A started 1")
    story.brain.warned(1, "USR1", 0.6)
    flying = story.flying
    assert isinstance(flying, Turn) and flying.reports[0].what is What.STARTED

    said = story.happen(["got"], 0.7) + story.happen(["tick"], 0.8)

    assert reports(said) == [(What.PROGRESS, "warned: USR1")]


# An end by itself, or not, of a payload that was warned, or not:
#  warned  code    checkpoint  →  how
ENDS = """
   yes     3       kept           checkpointed
   yes     3       -              exited
   no      3       kept           exited
   yes     0       kept           exited
   yes     signal  kept           signalled
"""


@pytest.mark.parametrize("line", ENDS.strip().splitlines())
def test_only_a_warned_end_that_left_a_checkpoint_is_one_of_a_stretch(line: str) -> None:
    warned, code, kept, how = line.split()
    story = Story()
    story.tell(RUNS)
    number = None if code == "signal" else int(code)
    signal = 9 if number is None else None
    gone = Ended(1, number, signal, 0.0, Usage(), warned=warned == "yes")
    story.brain.gone(gone, 20.0)
    said = story.brain.collected(1, SAVED if kept == "kept" else (), 21.0)

    assert _kept(said).how is How(how)


def test_a_payload_that_its_pilot_ends_is_drained_although_it_was_warned() -> None:
    story = Story()
    story.tell(RUNS)
    story.brain.hurry("told to", 10.0)
    gone = Ended(1, 3, None, 0.0, Usage(), why="killed", warned=True)
    story.brain.gone(gone, 11.0)

    report = _kept(story.brain.collected(1, SAVED, 12.0))

    assert (report.how, report.outputs) == (How.DRAINED, SAVED)


def _kept(commands: list[c.Command]) -> Report:
    (kept,) = (one.report for one in commands if isinstance(one, c.KeepEnded))
    return kept
