"""What is packed of a payload's folder is what the next attempt finds, and nothing else."""

import hashlib
import os
import socket
from pathlib import Path

import pytest

from pilotage.pilot.files import checkpoint
from pilotage.pilot.files.checkpoint import pack, restore
from pilotage.pilot.ports import TooLarge, UnsafePath

DEEP = "a/" * 60 + "deep"


def a_folder(at: Path) -> Path:
    """Return an attempt's folder."""
    (at / "work").mkdir(parents=True)
    return at


def write(path: Path, content: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


def carried(tmp_path: Path, name: str = "ckpt") -> Path:
    """Pack the folder of one attempt and lay it into that of the next; return that one."""
    packed = pack(tmp_path / "one", name)
    assert packed is not None
    (output, archive), after = packed, a_folder(tmp_path / "two")
    assert hashlib.sha256(archive.read_bytes()).hexdigest() == output.sha256
    assert (archive.stat().st_size, output.name) == (output.size_bytes, ".pilotage/checkpoint.tar")
    restore(archive, after, name)
    assert {entry.name for entry in after.iterdir()} == {"work"}, "nothing is left beside it"
    return after / "work"


def test_the_next_attempt_finds_the_folder_as_the_last_one_left_it(tmp_path: Path) -> None:
    work = a_folder(tmp_path / "one") / "work"
    for name in ("ckpt/step", f"ckpt/{DEEP}", "ckpt/with space é\udcff", "out/result"):
        write(work / name, name.encode("utf-8", "replace").decode())
    write(work / "ckpt" / "run.sh")
    (work / "ckpt" / "run.sh").chmod(0o755)
    (work / "ckpt" / "empty").mkdir()
    (work / "ckpt" / "inner").symlink_to("step")
    (work / "ckpt" / "beside").symlink_to("../out/result")
    os.link(work / "ckpt" / "step", work / "ckpt" / "twice")
    found = carried(tmp_path)

    assert (found / "ckpt" / "step").read_text() == "ckpt/step"
    assert (found / "ckpt" / DEEP).read_text() == f"ckpt/{DEEP}"
    assert (found / "ckpt" / "with space é\udcff").exists()
    assert (found / "ckpt" / "twice").read_text() == "ckpt/step"
    assert os.access(found / "ckpt" / "run.sh", os.X_OK)
    assert (found / "ckpt" / "empty").is_dir()
    assert os.readlink(found / "ckpt" / "inner") == "step"
    assert os.readlink(found / "ckpt" / "beside") == "../out/result"
    assert {entry.name for entry in found.iterdir()} == {"ckpt"}, "and nothing else travels"


def test_what_the_payload_removed_does_not_come_back_with_the_input(tmp_path: Path) -> None:
    write(a_folder(tmp_path / "one") / "work" / "a" / "ckpt" / "new")
    packed = pack(tmp_path / "one", "a/ckpt")
    after = a_folder(tmp_path / "two")
    write(after / "work" / "a" / "ckpt" / "from-the-input")
    write(after / "work" / "a" / "stays")
    assert packed is not None
    restore(packed[1], after, "a/ckpt")

    assert [one.name for one in (after / "work" / "a" / "ckpt").iterdir()] == ["new"]
    assert (after / "work" / "a" / "stays").exists()


def test_what_leads_out_or_is_no_file_stays_behind(tmp_path: Path) -> None:
    work = a_folder(tmp_path / "one") / "work"
    write(tmp_path / "one" / "secret", "s")
    write(work / "ckpt" / "step")
    (work / "ckpt" / "absolute").symlink_to("/etc/passwd")
    (work / "ckpt" / "out").symlink_to("../../secret")
    (work / "ckpt" / "away").symlink_to("..")
    (work / "ckpt" / "loop").symlink_to("loop")
    os.mkfifo(work / "ckpt" / "pipe")
    listening = socket.socket(socket.AF_UNIX)
    here = os.open(work / "ckpt", os.O_PATH)
    listening.bind(f"/proc/self/fd/{here}/socket")
    os.close(here)
    listening.close()
    found = carried(tmp_path)

    names = {one.name for one in (found / "ckpt").iterdir()}
    assert names - {"loop"} == {"step", "away"}
    assert os.readlink(found / "ckpt" / "away") == "..", "the payload's folder is inside"


# What stands where the checkpoint should be → there is nothing to keep.
NOTHING = ["absent", "empty", "a file", "a link to a folder", "a link out"]


@pytest.mark.parametrize("what", NOTHING)
def test_what_is_no_folder_or_empty_replaces_no_earlier_checkpoint(
    tmp_path: Path, what: str
) -> None:
    work = a_folder(tmp_path / "one") / "work"
    write(work / "other" / "file")
    if what == "empty":
        (work / "ckpt").mkdir()
    elif what == "a file":
        write(work / "ckpt")
    elif what != "absent":
        (work / "ckpt").symlink_to("other" if what == "a link to a folder" else "/etc")

    assert pack(tmp_path / "one", "ckpt") is None


def test_a_checkpoint_below_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    work = a_folder(tmp_path / "one") / "work"
    (work / "etc").symlink_to("/etc")

    with pytest.raises(UnsafePath):
        pack(tmp_path / "one", "etc/ssl")


def test_a_checkpoint_has_bounds_and_nothing_is_written_beyond(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = a_folder(tmp_path / "one") / "work"
    write(work / "ckpt" / "sparse")
    os.truncate(work / "ckpt" / "sparse", 10**12)

    with pytest.raises(TooLarge, match="more than 1000 MB"):
        pack(tmp_path / "one", "ckpt")

    os.truncate(work / "ckpt" / "sparse", 0)
    monkeypatch.setattr(checkpoint, "MEMBERS_MAX", 3)
    for number in range(3):
        write(work / "ckpt" / str(number))
    with pytest.raises(TooLarge, match="more than 3 files"):
        pack(tmp_path / "one", "ckpt")
    assert not (tmp_path / "one" / "checkpoint.tar").exists()


def test_what_is_no_checkpoint_changes_nothing(tmp_path: Path) -> None:
    write(a_folder(tmp_path / "one") / "work" / "other" / "step")
    packed = pack(tmp_path / "one", "other")
    assert packed is not None
    after = a_folder(tmp_path / "two")
    write(after / "work" / "ckpt" / "from-the-input")
    write(tmp_path / "junk", "no archive")
    for archive in (packed[1], tmp_path / "junk"):
        with pytest.raises(UnsafePath):
            restore(archive, after, "ckpt")

    assert (after / "work" / "ckpt" / "from-the-input").exists()
    assert {entry.name for entry in after.iterdir()} == {"work"}
