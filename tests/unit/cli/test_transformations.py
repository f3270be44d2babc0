"""What `pilotage transformation` says of transformations."""

import pytest

from pilotage.central.cli.productions.transformations import print_preview, print_transformation
from pilotage.proto.api.transformations import Preview
from pilotage.proto.transformation_states import TransformationState

from ..client.test_production_ends import transformation


def test_a_group_that_does_not_go_now_is_told_to_wait(capsys: pytest.CaptureFixture[str]) -> None:
    found = Preview(inputs={"raw": 3}, groups=[["u:a", "u:b"], ["u:c"]], first_job=None, later=[1])

    print_preview(found)
    assert capsys.readouterr().out.splitlines() == [
        *("raw: 3 files", "group 1: u:a, u:b", "group 2: u:c (waits until it is full)"),
    ]


def test_one_that_is_put_away_is_told_by_the_id_by_which_it_can_be_cleaned(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_transformation(transformation(TransformationState.ARCHIVED))

    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "its name is free; to end it for good: pilotage transformation clean 7"
