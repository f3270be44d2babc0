"""The journal after crashes: an entry is there whole, or it is left out and named."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from pilotage.pilot import journal
from pilotage.pilot.journal import FileJournal


def test_what_was_kept_is_there_in_the_next_life(tmp_path: Path) -> None:
    first = FileJournal(tmp_path / "journal")
    first.keep_identity(b"old")
    first.keep_identity(b"me")
    first.keep_assignment(7, b"seven")
    first.keep_assignment(8, b"eight of two words")
    first.keep_ended(8, b"")
    first.sync()

    second = FileJournal(tmp_path / "journal")

    assert second.identity() == b"me"
    assert second.assignments() == {7: b"seven", 8: b"eight of two words"}
    assert second.ended() == {8: b""}
    assert second.torn == []


def test_an_empty_journal_knows_nothing(tmp_path: Path) -> None:
    kept = FileJournal(tmp_path)

    assert (kept.identity(), kept.assignments(), kept.ended()) == (None, {}, {})


def test_what_is_answered_is_forgotten_and_twice_does_no_harm(tmp_path: Path) -> None:
    first = FileJournal(tmp_path)
    first.keep_assignment(7, b"seven")
    first.keep_ended(7, b"ended")
    first.forget(7)
    first.forget(7)

    second = FileJournal(tmp_path)

    assert (second.assignments(), second.ended()) == ({}, {})
    assert (tmp_path / "attempts.log").stat().st_size == 0


def test_the_log_does_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "LOG_BYTES_MAX", 10_000)
    first = FileJournal(tmp_path)
    first.keep_assignment(0, b"stays")
    for attempt_id in range(1, 1_000):
        first.keep_assignment(attempt_id, b"comes and goes")
        first.forget(attempt_id)

    assert (tmp_path / "attempts.log").stat().st_size < 11_000
    assert FileJournal(tmp_path).assignments() == {0: b"stays"}


def test_every_cut_of_the_last_line_costs_that_entry_alone(tmp_path: Path) -> None:
    first = FileJournal(tmp_path)
    first.keep_assignment(7, b"seven")
    before = (tmp_path / "attempts.log").stat().st_size
    first.keep_assignment(8, b"eight")
    whole = (tmp_path / "attempts.log").read_bytes()

    for length in range(before, len(whole) - 1):
        (tmp_path / "attempts.log").write_bytes(whole[:length])
        assert FileJournal(tmp_path).assignments() == {7: b"seven"}


def test_a_damaged_line_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    first = FileJournal(tmp_path)
    first.keep_assignment(7, b"seven")
    first.keep_assignment(8, b"eight")
    log = tmp_path / "attempts.log"
    log.write_bytes(log.read_bytes().replace(b"seven", b"\0\0\0\0\0"))

    again = FileJournal(tmp_path)

    assert again.assignments() == {8: b"eight"}
    assert again.torn == ["attempts.log:1"]


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"no digest\nme", b"half a di"])
def test_a_damaged_identity_is_set_aside(tmp_path: Path, content: bytes) -> None:
    FileJournal(tmp_path).keep_identity(b"me")
    (tmp_path / "identity").write_bytes(content)

    again = FileJournal(tmp_path)

    assert again.identity() is None
    assert again.torn == ["identity"]
    assert (tmp_path / "torn-identity").read_bytes() == content


def test_every_cut_of_a_write_leaves_the_old_identity(tmp_path: Path) -> None:
    FileJournal(tmp_path).keep_identity(b"old")
    whole = (tmp_path / "identity").read_bytes()
    for length in range(len(whole)):
        (tmp_path / ".new-identity").write_bytes(whole[:length])

        assert FileJournal(tmp_path).identity() == b"old"
    assert not list(tmp_path.glob(".new-*"))


def test_every_cut_of_a_write_over_a_slot_leaves_the_identity_of_before(tmp_path: Path) -> None:
    first = FileJournal(tmp_path)
    for word in (b"one", b"two", b"three"):
        first.keep_identity(word)
    before = (tmp_path / "identity").read_bytes()
    first.keep_identity(b"four")
    after = (tmp_path / "identity").read_bytes()
    (changed,) = [at for at in (0, journal.SLOT_BYTES) if before[at:][:90] != after[at:][:90]]

    for length in range(changed, changed + 90):
        (tmp_path / "identity").write_bytes(after[:length] + before[length:])
        assert FileJournal(tmp_path).identity() in (b"three", b"four")
    assert len(before) == len(after) == 2 * journal.SLOT_BYTES


def test_an_identity_is_written_where_the_disk_has_no_room_for_anything_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FileJournal(tmp_path).keep_identity(b"one")
    again = FileJournal(tmp_path)
    again.identity()
    plain = os.open

    def full(path: str | Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return plain(path, flags, mode)

    monkeypatch.setattr(os, "open", full)
    for word in (b"two", b"three"):
        again.keep_identity(word)
    monkeypatch.undo()

    assert FileJournal(tmp_path).identity() == b"three"


def test_an_identity_that_could_not_be_written_leaves_the_one_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = FileJournal(tmp_path)
    for word in (b"one", b"two"):
        first.keep_identity(word)
    plain = os.pwrite

    def cut(fd: int, data: bytes, at: int) -> int:
        return plain(fd, data[:30], at)

    monkeypatch.setattr(os, "pwrite", cut)
    for _ in range(2):
        with pytest.raises(OSError):
            first.keep_identity(b"three")
    monkeypatch.undo()
    before = FileJournal(tmp_path).identity()
    first.keep_identity(b"four")

    assert (before, FileJournal(tmp_path).identity()) == (b"two", b"four")


def test_the_identity_of_a_pilot_of_release_0_1_is_read_and_then_kept_in_slots(
    tmp_path: Path,
) -> None:
    digest = hashlib.sha256(b"old").hexdigest().encode()
    (tmp_path / "identity").write_bytes(digest + b"\nold")
    first = FileJournal(tmp_path)
    old = first.identity()
    first.keep_identity(b"new")

    assert (old, first.torn) == (b"old", [])
    assert FileJournal(tmp_path).identity() == b"new"


def test_nobody_else_reads_the_journal(tmp_path: Path) -> None:
    FileJournal(tmp_path / "journal").keep_identity(b"secret")

    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "journal" / "identity").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "journal" / "attempts.log").stat().st_mode & 0o777 == 0o600


class _FullDisk:
    """os.write, and os.fsync, of a disk with so many bytes left."""

    def __init__(self, left: int) -> None:
        self.left = left
        self._write, self._fsync = os.write, os.fsync

    def write(self, handle: int, data: bytes) -> int:
        if not self.left:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = data[: self.left]
        self.left -= len(taken)
        return self._write(handle, taken)

    def fsync(self, handle: int) -> None:
        if not self.left:
            raise OSError(errno.ENOSPC, "No space left on device")
        self._fsync(handle)


@pytest.mark.parametrize("left", [0, 1, 60, 100, 180])
def test_a_full_disk_costs_the_journal_nothing_once_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    told: list[str] = []
    kept = FileJournal(tmp_path, told.append)
    kept.keep_assignment(1, b"before")
    kept.sync()
    disk = _FullDisk(left)
    monkeypatch.setattr(os, "write", disk.write)
    monkeypatch.setattr(os, "fsync", disk.fsync)
    for attempt_id in (2, 3, 4):
        kept.keep_assignment(attempt_id, b"while it is full")
        kept.sync()

    assert kept.behind == "No space left on device"
    disk.left = 1 << 20
    kept.keep_ended(1, b"after")
    kept.sync()
    assert told == ["No space left on device", ""]
    monkeypatch.undo()
    again = FileJournal(tmp_path)
    assert set(again.assignments()) == {1, 2, 3, 4}
    assert again.ended() == {1: b"after"}
    assert again.torn == []
