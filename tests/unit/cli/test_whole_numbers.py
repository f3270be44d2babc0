"""Numbers that are no whole ones, or too small, are refused before anybody is asked."""

import pytest
from cyclopts import Token

from pilotage.central.cli.main import run
from pilotage.central.cli.whole_numbers import converted
from pilotage.proto.transformation_states import InputState

WRONG = {
    "a part of a task": (["transformation", "extend", "sim", "2.5"], "expected a whole number"),
    "tasks taken back": (["transformation", "extend", "sim", "-2"], "Must be >= 0"),
    "fewer files than none": (["data", "find", "--limit", "-3"], "Must be >= 0"),
    "no jobs": (["data", "lineage", "a:b", "--limit", "0"], "Must be >= 1"),
    "a part of a GPU": (["submit", "--gpus", "1.5"], "--gpus: found '1.5', expected a whole"),
    "nearly ten": (["submit", "--priority=9.99"], "--priority: found '9.99', expected a whole"),
    "no try": (["submit", "--retries", "0.9"], "--retries: found '0.9', expected a whole number"),
    "half a megabyte": (["submit", "--memory-mb", "0.5"], "--memory-mb: found '0.5', expected a"),
    "half a second": (["submit", "--wall-s", "0.5"], "--wall-s: found '0.5', expected a whole"),
    "no number": (["submit", "--cores", "nan"], "--cores: found 'nan', expected a whole number"),
    "where it may be left out": (["status", "--submission", "1.5"], "--submission: found '1.5'"),
    "one of a few": (["series", "--step-s", "10.4"], "--step-s: found '10.4', expected a whole"),
    "in a room of its own": (["token", "issue", "x", "--valid-s", "70.5"], "--valid-s: found '70"),
    "a unit": (["submit", "--cores", "2GB"], "--cores: found '2GB', expected a whole number"),
    "text": (["submit", "--cores", "many"], "--cores: found 'many', expected a whole number"),
}


@pytest.mark.parametrize(
    ("text", "number"), [("30", 30), ("30.0", 30), ("0x1e", 30), ("9007199254740993", 2**53 + 1)]
)
def test_a_whole_number_is_what_it_says(text: str, number: int) -> None:
    assert converted(int, (Token(value=text),)) == number


@pytest.mark.parametrize("word", ["MaxReset", "Stuck", "stuck"])
def test_a_filter_by_the_old_name_of_a_state_keeps_working(word: str) -> None:
    kind = tuple[InputState, ...]

    assert converted(kind, [Token(value=word)]) == (InputState.STUCK,)


@pytest.mark.parametrize("case", WRONG)
def test_a_number_that_cannot_be_meant_is_refused(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, said = WRONG[case]

    assert run(words) == 2
    assert said in capsys.readouterr().err
