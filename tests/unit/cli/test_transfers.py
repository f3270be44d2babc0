"""What is wrong with this machine's files is said in a line."""

from pathlib import Path

import pytest

from pilotage.central.cli.data import transfers
from pilotage.central.cli.exit_codes import UsageError

from .stub_client import give


def test_a_folder_that_cannot_be_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "out").touch()

    class Client:
        async def get_file(self, *_: object, **__: object) -> Path:
            (tmp_path / "out").mkdir()
            return tmp_path

    give(Client(), monkeypatch)
    with pytest.raises(UsageError, match=r"out: File exists$"):
        transfers.get("ctao:run", to=tmp_path / "out")
