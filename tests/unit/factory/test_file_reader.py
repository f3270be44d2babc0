"""Files that would hold up whoever reads them."""

import asyncio
import os
import threading
from pathlib import Path

import pytest

from pilotage.central.factory.credentials.sources import source
from pilotage.central.factory.elements.web import opened
from pilotage.central.factory.errors import CredentialExpired, Denied
from pilotage.central.factory.file_reader import ReaderThread
from pilotage.central.factory.site_files.sites import FILE_MAX_BYTES, SiteBook, read_sites
from pilotage.central.regular_files import read_regular

from .test_credentials import Printing
from .test_factory import HandClock


def test_a_pipe_and_a_folder_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    for name in ("pipe", ""):
        with pytest.raises(OSError, match="not a regular file"):
            read_regular(tmp_path / name, 10)


def test_a_site_that_is_a_pipe_or_has_no_end_harms_no_other(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with (tmp_path / "huge.yaml").open("wb") as huge:
        huge.truncate(FILE_MAX_BYTES + 1)
    (tmp_path / "PIC.yaml").write_text("elements:\n  a:\n    kind: local\n")

    book = read_sites(tmp_path, SiteBook())

    assert list(book.sites) == ["PIC"]
    assert "not a regular file" in book.troubles["pipe"]
    assert f"more than {FILE_MAX_BYTES} bytes" in book.troubles["huge"]


@pytest.mark.parametrize("kind", ["file", "renewed", "proxy"])
async def test_a_credential_that_is_a_pipe_is_told_of_at_once(tmp_path: Path, kind: str) -> None:
    os.mkfifo(tmp_path / "token")
    options = {"path": str(tmp_path / "token")}
    held = source(kind, options, commands=Printing(), clock=HandClock())

    async with asyncio.timeout(10):
        with pytest.raises(CredentialExpired, match="cannot be read"):
            await held.current()


async def test_work_that_hangs_has_one_thread_however_often_it_is_asked_for() -> None:
    ends = threading.Event()
    begun: list[int] = []

    def hangs() -> int:
        begun.append(1)
        ends.wait(60)
        return len(begun)

    reader = ReaderThread(within_s=0.05)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            await reader.do(hangs)
    assert len(begun) == 1

    ends.set()
    assert await ReaderThread(within_s=30).do(hangs) == 2


async def test_what_work_raises_is_raised() -> None:
    with pytest.raises(OSError, match="/no/such"):
        await ReaderThread().do(lambda: read_regular(Path("/no/such"), 1) and 0)


async def test_authorities_that_are_a_pipe_are_told_of_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ca.pem")

    async with asyncio.timeout(10):
        with pytest.raises(Denied, match="not a regular file"):
            way = opened(
                "https://k.example.org",
                ca_file=str(tmp_path / "ca.pem"),
                timeout_s=5.0,
                transport=None,
            )
            async with way:
                pass
