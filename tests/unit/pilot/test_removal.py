"""What payloads leave goes away, whatever it is."""

import os
import resource
from pathlib import Path

from pilotage.pilot.files.removal import remove

DEEP = 1500


def deep(top: Path, *, levels: int = DEEP) -> None:
    """Make a folder in a folder in a folder, each with a file."""
    handle = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("dddddddd", dir_fd=handle)
        inner = os.open("dddddddd", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=inner))
        handle = inner
    os.close(handle)


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_folders_that_are_nested_deeper_than_any_path_go_away(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    deep(tmp_path / "work")
    before, (soft, hard) = open_files(), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, hard))

    try:
        gone = remove(tmp_path / "work")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert gone and not list(tmp_path.iterdir())
    assert open_files() == before


def test_a_wide_tree_with_links_pipes_and_modes_goes_away_and_links_are_not_followed(
    tmp_path: Path,
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    work = tmp_path / "work"
    for number in range(20):
        (work / f"{number}" / "in" / "side").mkdir(parents=True)
        (work / f"{number}" / "in" / "link").symlink_to(kept)
    os.mkfifo(work / "pipe")
    for folder in ("1/in/side", "1/in", "1", ""):
        (work / folder).chmod(0)

    assert remove(work)
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]


def test_a_file_a_link_and_nothing_at_all_are_removed_too(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("nothing")

    assert all(remove(tmp_path / name) for name in ("file", "link", "absent"))
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_removed_is_told_and_raises_nothing(tmp_path: Path) -> None:
    assert not remove(Path("/proc/self"))
    assert not remove(Path("/proc/self/fd"))
