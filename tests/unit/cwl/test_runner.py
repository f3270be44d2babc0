"""The command line of `pilotage-cwl-runner`: mistakes are told in a line."""

import pytest

from pilotage.central.cwl.runner import main


def test_a_document_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nowhere.cwl"]) == 1
    said = capsys.readouterr().err
    assert "pilotage-cwl-runner: Not found: 'nowhere.cwl'" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("words", [["--url", "http://here"], ["--url=http://here"]])
def test_a_central_is_refused_and_not_ignored(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*words, "a.cwl"])
    assert "run on this machine only" in capsys.readouterr().err
