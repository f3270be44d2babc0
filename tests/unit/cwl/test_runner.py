"""The command line of `pilotage-cwl-runner`: mistakes are told in a line."""

import pytest

from pilotage.central.cwl.runner import main


def test_a_document_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nowhere.cwl"]) == 1
    said = capsys.readouterr().err
    assert "pilotage-cwl-runner: Not found: 'nowhere.cwl'" in said
    assert "Traceback" not in said


def test_a_central_and_this_machine_are_not_both_asked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--local", "--url", "http://here", "a.cwl"])
    assert "give either --local or --url" in capsys.readouterr().err
