"""Numbers that are no whole ones, or too small, are refused before anybody is asked."""

import pytest

from pilotage.central.cli.main import run

WRONG = {
    "a part of a task": (["transformation", "extend", "sim", "2.5"], "expected a whole number"),
    "tasks taken back": (["transformation", "extend", "sim", "-2"], "Must be >= 0"),
    "fewer files than none": (["data", "find", "--limit", "-3"], "Must be >= 0"),
    "no jobs": (["data", "lineage", "a:b", "--limit", "0"], "Must be >= 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_number_that_cannot_be_meant_is_refused(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words, said = WRONG[case]

    assert run(words) == 2
    assert said in capsys.readouterr().err
