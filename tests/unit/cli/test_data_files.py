"""What is wrong with this machine's files is said in a line."""

from pathlib import Path

import pytest

from pilotage.central.cli import data_files
from pilotage.central.cli.exit_codes import UsageError


def test_a_folder_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "out").touch()

    def run_with(*_: object, **__: object) -> int:
        (tmp_path / "out").mkdir()
        return 0

    monkeypatch.setattr(data_files, "run_with", run_with)
    with pytest.raises(UsageError, match=r"out: File exists$"):
        data_files.get("run=7", to=tmp_path / "out")
