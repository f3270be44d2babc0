"""The storages that the suite runs on."""

from collections.abc import Generator
from pathlib import Path

import pytest

from pilotage.pilot.data.file_storage import FileStorage
from pilotage.pilot.data.http_storage import HttpStorage
from pilotage.pilot.data.storages import CopyLocation, Storage
from tests.services import nginx as service

PATH = "local/7/1/results/run"


class Rig:
    """A storage, and the folder in which its files lie."""

    def __init__(self, driver: Storage, url: str, files: Path) -> None:
        self.driver, self.url, self.files = driver, url, files

    def place(self, path: str = PATH) -> CopyLocation:
        return CopyLocation(self.url, path)

    def lay(self, path: str, content: bytes) -> None:
        target = self.files / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


@pytest.fixture(params=["file", "http", "http without folders"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[Rig]:
    kind: str = request.param
    if kind == "file":
        files = tmp_path / "a storage"
        files.mkdir()
        yield Rig(FileStorage(), f"file://{tmp_path}/a%20storage", files)
        return
    if service.PROGRAM is None:
        pytest.skip("nginx is not installed")
    with service.nginx(tmp_path / "nginx", makes_folders=kind == "http") as server:
        yield Rig(HttpStorage(), server.url, server.files)
