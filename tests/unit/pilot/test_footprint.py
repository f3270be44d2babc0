"""How the disk of a payload is counted, whatever it has done to its folder."""

import contextlib
import os
import stat
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from pilotage.pilot.files import footprint
from pilotage.pilot.files.footprint import Footprint, measure

MB = 1_000_000


def _fill(path: Path, mb: int) -> None:
    path.write_bytes(b"x" * (mb * MB))


def _measured(folder: Path, *processes: int) -> Footprint:
    return measure(folder, processes, pause=time.sleep)


def test_files_at_all_depths_count_with_what_they_take(tmp_path: Path) -> None:
    (tmp_path / "work" / "a" / "b").mkdir(parents=True)
    _fill(tmp_path / "work" / "a" / "b" / "c", 3)
    _fill(tmp_path / "stdout", 2)

    found = _measured(tmp_path)

    assert 5.0 <= found.scratch_mb < 5.2
    assert (found.files, found.streams_mb, found.unmeasurable) == (5, 2.0, "")


def test_a_sparse_file_counts_at_full_length(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(500 * MB)

    assert 500.0 <= _measured(tmp_path).scratch_mb < 500.2


def test_a_file_with_two_names_counts_once_and_links_are_not_followed(tmp_path: Path) -> None:
    _fill(tmp_path / "one", 2)
    os.link(tmp_path / "one", tmp_path / "other")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "all").symlink_to("/")

    assert 2.0 <= _measured(tmp_path).scratch_mb < 2.1


def test_a_file_that_was_deleted_counts_as_long_as_it_is_open(tmp_path: Path) -> None:
    before = _measured(tmp_path, os.getpid())  # other tests may hold some too
    with open(tmp_path / "gone", "wb") as file:
        file.write(b"x" * (3 * MB))
        file.flush()
        (tmp_path / "gone").unlink()
        found = _measured(tmp_path, os.getpid())
    after = _measured(tmp_path, os.getpid())

    assert 3.0 <= found.scratch_mb - before.scratch_mb < 3.1
    assert abs(after.scratch_mb - before.scratch_mb) < 0.1


def test_a_folder_that_is_gone_or_no_folder_has_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    assert _measured(tmp_path / "gone") == Footprint()
    assert _measured(tmp_path / "file") == Footprint()


@pytest.mark.parametrize("mode", [0o000, 0o400, 0o100, 0o700])
def test_a_closed_folder_is_opened_while_it_is_counted(
    tmp_path: Path, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a user that is not root, who can do without."""
    modes: list[int] = []
    real = os.scandir

    @contextlib.contextmanager
    def noting(path: str) -> Generator[Iterator["os.DirEntry[str]"]]:
        modes.append(stat.S_IMODE(os.stat(path).st_mode))
        with real(path) as entries:
            yield entries

    (tmp_path / "closed").mkdir()
    _fill(tmp_path / "closed" / "filled", 2)
    (tmp_path / "closed").chmod(mode)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "scandir", noting)

    found = _measured(tmp_path)

    assert found.scratch_mb >= 2.0
    assert modes[-1] & 0o500 == 0o500
    assert stat.S_IMODE((tmp_path / "closed").stat().st_mode) == mode


def test_what_lies_too_deep_is_said(tmp_path: Path) -> None:
    handle, name = os.open(tmp_path, os.O_RDONLY), "d" * 200
    for _ in range(30):
        os.mkdir(name, dir_fd=handle)
        inner = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)

    assert _measured(tmp_path).unmeasurable.startswith("its folders are nested too deep")


def test_a_large_folder_is_counted_in_pieces_with_pauses(tmp_path: Path) -> None:
    for n in range(5):
        (tmp_path / str(n)).mkdir()
        for m in range(20):
            (tmp_path / str(n) / str(m)).touch()
    seconds, pauses = iter(range(1000)), list[float]()
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(footprint, "PIECE", 50)
        found = measure(tmp_path, spent=lambda: float(next(seconds)), pause=pauses.append)

    assert found.files == 105
    assert pauses == [footprint.PAUSE * 1.0] * 2


def test_the_nodes_own_shared_memory_is_no_payloads() -> None:
    assert footprint.with_shared_files_mb((os.getpid(),)) == 0.0
