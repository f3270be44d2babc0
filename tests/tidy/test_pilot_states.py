"""Pilots move along the table of `proto.pilot_states`: no statement knows a state by itself."""

from pathlib import Path

import pytest

from pilotage.proto.pilot_states import PilotState

SQL = Path(__file__).parents[2] / "central" / "pilots"


@pytest.mark.parametrize("file", [*SQL.glob("pilots*.sql"), *SQL.glob("slots*.sql")])
def test_statements_are_told_the_states_of_pilots(file: Path) -> None:
    said = [state.value for state in PilotState if f"'{state.value}'" in file.read_text()]

    assert not said, f"{file.name} moves pilots past the table: {said}"
