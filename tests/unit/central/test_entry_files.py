"""Folders of files with one entry each: which files count, and what stays in force."""

import os
from pathlib import Path

import msgspec
import pytest

from pilotage.central.entry_files import (
    BadEntryFile,
    WatchedFolder,
    read_folder,
    read_text,
    read_yaml,
)
from pilotage.central.factory.site_files.sites import read_site
from pilotage.central.identity.providers.provider_files import read_provider

MAX_BYTES = 100


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    n: int = 0
    inside: dict[str, "Inner"] = {}


def entry(file: Path) -> Inner:
    read = read_yaml(file, MAX_BYTES)
    return read.converted(read.found, Inner)


def books(folder: Path) -> tuple[WatchedFolder[dict[str, Inner]], list[dict[str, Inner]]]:
    changes: list[dict[str, Inner]] = []

    def read(where: Path, before: dict[str, Inner]) -> dict[str, Inner]:
        return read_folder(where, "test", entry, before, files_max=3).entries

    return WatchedFolder(folder, {}, read, changes.append), changes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("n: x", ":1: n: "),
        ("n: 1\ninside:\n  a:\n    m: 1", ":2: inside[...].m: "),
        ("- a", ": the file: "),
        ("n: [", ":2: "),
        ("n: 1\nn: 2", ":2: "),
        ("n: 1\ninside: &a {b: {inside: *a}}", ":2: the anchor &a"),
    ],
)
def test_an_error_has_its_line_and_field(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)

    with pytest.raises(BadEntryFile) as refused:
        entry(file)

    assert str(refused.value).startswith(str(file))
    assert said in str(refused.value)


def test_an_alias_to_its_own_parent_is_an_error_in_each_kind_of_file(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("issuer: https://a.example\nsubjects: &a {b: *a}\nelements: *a\n")

    for read in (read_provider, read_site):
        with pytest.raises(BadEntryFile, match=r"a\.yaml"):
            read(file)


def test_a_part_of_a_file_is_converted_with_its_own_place(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("inside:\n  a: {n: 1}\n  b:\n    n: x\n")
    read = read_yaml(file, MAX_BYTES)

    assert read.converted(read.found["inside"]["a"], Inner, ("inside", "a")).n == 1
    with pytest.raises(BadEntryFile, match=r"a\.yaml:4: inside\.b\.n: "):
        read.converted(read.found["inside"]["b"], Inner, ("inside", "b"))


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "fits").write_text("#" * MAX_BYTES)
    (tmp_path / "large").write_text("#" * (MAX_BYTES + 1))

    assert read_text(tmp_path / "fits", MAX_BYTES) == "#" * MAX_BYTES
    for name, said in (("pipe", "not a regular file"), ("large", "has more than 100 bytes")):
        with pytest.raises(BadEntryFile, match=said):
            read_text(tmp_path / name, MAX_BYTES)


def test_a_bad_file_keeps_its_entry_and_a_removed_one_does_not(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.yaml").write_text("n: 1")
    first = read_folder(tmp_path, "test", entry, {}, files_max=3)
    (tmp_path / "a.yaml").write_text("n: x")
    (tmp_path / "b.yaml").unlink()
    (tmp_path / "new.yaml").write_text("n: x")
    second = read_folder(tmp_path, "test", entry, first.entries, files_max=3)

    assert (list(first.entries), first.troubles) == (["a", "b", "c"], {})
    assert (list(second.entries), list(second.troubles)) == (["a", "c"], ["a", "new"])
    assert second.entries["a"].n == 1


def test_too_many_files_are_an_error_and_the_first_ones_count(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.yaml").write_text("n: 1")
    content = read_folder(tmp_path, "test", entry, {}, files_max=3)

    assert list(content.entries) == ["a", "b", "c"]
    assert content.too_many == f"{tmp_path}: has more than 3 files"


def test_a_file_with_another_ending_is_an_error(tmp_path: Path) -> None:
    for name in ("a.yaml", "a.yml", "b.YML", "c.json", ".d.yml", "notes.txt"):
        (tmp_path / name).write_text("n: 1")
    content = read_folder(tmp_path, "test", entry, {}, files_max=3)

    assert (list(content.entries), content.too_many) == (["a"], "")
    assert list(content.troubles) == ["a", "b", "c"]
    end = "is not read: its name does not end in .yaml: name it b.yaml, or move it elsewhere"
    assert content.troubles["b"] == f"{tmp_path}/b.YML: {end}"


def test_a_watched_folder_notices_a_file_with_another_ending(tmp_path: Path) -> None:
    watched, changes = books(tmp_path)
    watched.look()
    (tmp_path / "a.yml").write_text("n: 1")
    watched.look()

    assert changes == [{}, {}]


def test_a_watched_folder_is_read_again_only_after_a_change(tmp_path: Path) -> None:
    watched, changes = books(tmp_path)
    for _ in range(2):
        watched.look()
    (tmp_path / "a.yaml").write_text("n: 1")
    (tmp_path / "notes.txt").write_text("n: 1")
    for _ in range(2):
        watched.look()
    (tmp_path / "other.txt").write_text("n: 1")
    watched.look()

    assert [list(one) for one in changes] == [[], ["a"]]
    assert watched.book == {"a": Inner(n=1)}
