"""The journal after crashes: an entry is there whole, or it is set aside and named."""

from pathlib import Path

import pytest

from pilotage.pilot.journal import FileJournal


def test_what_was_kept_is_there_in_the_next_life(tmp_path: Path) -> None:
    first = FileJournal(tmp_path / "journal")
    first.keep_identity(b"old")
    first.keep_identity(b"me")
    first.keep_assignment(7, b"seven")
    first.keep_assignment(8, b"eight")
    first.keep_ended(8, b"")

    second = FileJournal(tmp_path / "journal")

    assert second.identity() == b"me"
    assert second.assignments() == {7: b"seven", 8: b"eight"}
    assert second.ended() == {8: b""}
    assert second.torn == []


def test_an_empty_journal_knows_nothing(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)

    assert (journal.identity(), journal.assignments(), journal.ended()) == (None, {}, {})


def test_what_is_answered_is_forgotten_and_twice_does_no_harm(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path)
    journal.keep_assignment(7, b"seven")
    journal.keep_ended(7, b"ended")

    journal.forget(7)
    journal.forget(7)

    assert (journal.assignments(), journal.ended()) == ({}, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"no digest\nseven", b"half a di"])
def test_a_torn_entry_is_set_aside_and_the_others_are_read(tmp_path: Path, content: bytes) -> None:
    journal = FileJournal(tmp_path)
    journal.keep_assignment(7, b"seven")
    journal.keep_assignment(8, b"eight")
    journal.keep_identity(b"me")
    (tmp_path / "assignment-7").write_bytes(content)
    (tmp_path / "identity").write_bytes(content)

    again = FileJournal(tmp_path)

    assert again.assignments() == {8: b"eight"}
    assert again.identity() is None
    assert again.torn == ["assignment-7", "identity"]
    assert (tmp_path / "torn-assignment-7").read_bytes() == content


def test_every_cut_of_a_write_leaves_the_old_entry(tmp_path: Path) -> None:
    FileJournal(tmp_path).keep_identity(b"old")
    whole = (tmp_path / "identity").read_bytes()
    for length in range(len(whole)):
        (tmp_path / ".new-identity").write_bytes(whole[:length])

        assert FileJournal(tmp_path).identity() == b"old"
    assert not list(tmp_path.glob(".new-*"))


def test_strange_names_are_no_entries(tmp_path: Path) -> None:
    (tmp_path / "assignment-x").write_text("?")
    (tmp_path / "assignment-7x").write_text("?")
    (tmp_path / "notes").write_text("?")

    assert FileJournal(tmp_path).assignments() == {}


def test_nobody_else_reads_the_journal(tmp_path: Path) -> None:
    FileJournal(tmp_path / "journal").keep_identity(b"secret")

    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "journal" / "identity").stat().st_mode & 0o777 == 0o600
