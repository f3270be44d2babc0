"""Storages' files: what is refused, and that one file disturbs no other."""

import os
from pathlib import Path

import msgspec
import pytest

from pilotage.central.catalogue.locality import ordered, steer, writable
from pilotage.central.catalogue.storages import (
    StorageBook,
    StorageEntry,
    Storages,
    read_storage,
    read_storages,
)
from pilotage.central.entry_files import BadEntryFile

GOOD = "type: http\nurl: http://host:8080/data\n"


def test_a_file_says_all_of_a_storage(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(GOOD + "sites: [PIC, CSCS]\nnear: [PIC]\npriority: 70\ndefault: true\n")

    entry = read_storage(file)

    assert (entry.sites, entry.near, entry.priority) == (("PIC", "CSCS"), ("PIC",), 70)


# What a file says; where and of what the refusal speaks.
BAD = {
    "": ("", "type"),
    "type: http\n": ("", "url"),
    "type: tape\nurl: x\n": (":1:", "unknown type 'tape'; installed types:"),
    GOOD + "colour: red\n": (":3:", "colour"),
    GOOD + "priority: 101\n": (":3:", "priority"),
    GOOD + "sites: PIC\n": (":3:", "sites"),
    GOOD + "sites: [PIC]\nnear: [CSCS]\n": (":4:", "CSCS must also be listed in sites"),
    GOOD + "writable: false\ndefault: true\n": (":4:", "default"),
    "type: http\nurl: http://me:secret@host/x\n": (":2:", "no password"),
    "type: http\nurl: ftp://host/x\n": (":2:", "expected http://"),
    "type: http\nurl: http://host/x?y\n": (":2:", "neither '?' nor '#'"),
    "type: http\nurl: http://host:99999/\n": (":2:", "expected http://"),
    "type: http\nurl: 'http://host/a b'\n": (":2:", "blanks"),
    "type: file\nurl: file://host/x\n": (":2:", "expected file:///"),
    "type: file\nurl: file:///a/../b\n": (":2:", "without '..'"),
    "type: file\nurl: /a\n": (":2:", "expected file:///"),
    "type: [\n": ("", ""),
    "- a\n": ("", ""),
    "a: &a [*a]\n": ("", ""),
}


@pytest.mark.parametrize("text", BAD)
def test_what_is_wrong_is_refused_with_its_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(text)
    line, word = BAD[text]

    with pytest.raises(BadEntryFile) as raised:
        read_storage(file)

    assert str(file) + line in str(raised.value)
    assert word in str(raised.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "large.yaml").write_text("#" * 200_000)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff")

    for name in ("pipe", "large", "bytes", "nothing"):
        with pytest.raises(BadEntryFile):
            read_storage(tmp_path / f"{name}.yaml")


def test_a_file_that_does_not_read_disturbs_no_other_nor_what_it_said(tmp_path: Path) -> None:
    said: list[StorageBook] = []
    storages = Storages(tmp_path, said.append)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(GOOD)
    (tmp_path / "-bad.yaml").write_text(GOOD)
    storages.look()
    storages.look()

    assert list(storages.book.storages) == ["a", "b"]
    assert list(storages.book.troubles) == ["-bad"]

    (tmp_path / "a.yaml").write_text("type: http")
    (tmp_path / "b.yaml").unlink()
    storages.look()

    assert list(storages.book.storages) == ["a"]
    assert "url" in storages.book.troubles["a"]
    assert len(said) == 2


def test_a_name_that_is_not_utf_8_is_a_trouble_that_can_be_told(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / os.fsdecode(b"\xff.yaml")).touch()
    storages = Storages(tmp_path)
    storages.look()

    assert list(storages.book.storages) == ["a"]
    assert list(storages.book.troubles) == ["\\xff"]
    assert "\\xff.yaml: " in storages.book.troubles["\\xff"]
    assert msgspec.json.encode(storages.book.troubles)


def test_without_a_folder_there_are_no_storages(tmp_path: Path) -> None:
    storages = Storages(tmp_path / "none")
    storages.look()

    assert storages.book == StorageBook()


# -- which storage, which site ------------------------------------------------------------------


def _book(tmp_path: Path, **files: str) -> StorageBook:
    for name, text in files.items():
        (tmp_path / f"{name}.yaml").write_text(GOOD + text)
    storages = Storages(tmp_path)
    storages.look()
    assert not storages.book.troubles
    return storages.book


@pytest.fixture
def book(tmp_path: Path) -> StorageBook:
    return _book(
        tmp_path,
        pic="sites: [PIC]\nnear: [PIC]\ndefault: true\n",
        cscs="sites: [CSCS, PIC]\nnear: [CSCS]\n",
        all="priority: 60\ndefault: true\n",
        low="near: [DESY]\npriority: 10\nwritable: false\n",
        shut="readable: false\n",
    )


SITES = {
    "PIC": "pic all cscs low",
    "CSCS": "cscs all low",
    "DESY": "low all",
    "elsewhere": "all low",
}


@pytest.mark.parametrize("site", SITES)
def test_near_copies_come_first_then_priority(site: str, book: StorageBook) -> None:
    names = [*book.storages, "gone"]

    assert " ".join(ordered(book, site, names)) == SITES[site]


def test_outputs_go_to_what_is_named_or_to_the_defaults(book: StorageBook) -> None:
    assert writable(book, ()) == ["all", "pic"]
    assert writable(book, ("cscs", "low", "gone", "pic")) == ["cscs", "pic"]


# Inputs (bytes and where copies are), outputs (where they may go); sites that will do, best first.
STEERING: list[tuple[list[tuple[int, list[str]]], list[list[str]], str | None, str]] = [
    ([], [], None, ""),
    ([(10, ["all"])], [], None, ""),
    ([(10, ["pic"])], [], "PIC", "PIC"),
    ([(10, ["pic"]), (30, ["cscs"])], [], "PIC", "PIC"),
    ([(10, ["pic", "cscs"]), (30, ["cscs"])], [], "CSCS PIC", "CSCS PIC"),
    ([(10, ["pic", "all"]), (30, ["low"])], [], None, "DESY PIC"),
    ([(10, ["all"])], [["pic"]], "PIC", ""),
    ([(10, ["low"])], [["pic"]], "PIC", ""),
    ([(10, ["shut"])], [], "", ""),
    ([(10, ["gone"])], [], "", ""),
    ([], [["pic", "all"]], None, ""),
    ([], [[]], "", ""),
]


@pytest.mark.parametrize(("inputs", "outputs", "sites", "preferred"), STEERING)
def test_jobs_go_where_all_can_be_read_and_written(
    inputs: list[tuple[int, list[str]]],
    outputs: list[list[str]],
    sites: str | None,
    preferred: str,
    book: StorageBook,
) -> None:
    found = steer(book, inputs, outputs)

    assert found.sites == (None if sites is None else frozenset(sites.split()))
    assert found.preferred == tuple(preferred.split())


@pytest.mark.parametrize(
    ("inputs", "outputs", "tags"),
    [
        (["xrd"], [], {"xrootd"}),
        (["xrd", "web"], [], set[str]()),
        (["web"], [["xrd"]], {"xrootd"}),
        (["web"], [["xrd", "web"]], set[str]()),
    ],
)
def test_jobs_that_need_xrdcp_say_so(
    inputs: list[str], outputs: list[list[str]], tags: set[str]
) -> None:
    book = StorageBook(
        storages={
            "xrd": StorageEntry(type="root", url="roots://xrd.test:1094//ctao"),
            "web": StorageEntry(type="davs", url="https://web.test/ctao"),
        }
    )

    assert steer(book, [(1, inputs)], outputs).tags == tags


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("type: http\nurl: http://x.test/a\ncredential: {source: issuer}", "credential"),
        ("type: s3\nurl: https://x.test/bucket", "credential"),
        ("type: s3\nurl: https://x.test", "url"),
        ("type: davs\nurl: http://x.test/a", "url"),
        ("type: davs\nurl: https://x.test/a\ncredential: {source: magic}", "credential.source"),
        ("type: root\nurl: roots://x.test//a\ntpc: true", "tpc"),
        ("type: root\nurl: roots://x.test/a", "url"),
        ("type: http\nurl: http://x.test/a\nchecksum: adler32", "checksum"),
        ("type: davs\nurl: https://x.test/a\nnodes: [x.test]", "nodes"),
        ("type: davs\nurl: https://x.test/a\nprefix: ctao", "prefix"),
    ],
)
def test_a_field_that_does_not_fit_its_type_is_named(text: str, field: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(text)
    book = read_storages(tmp_path, StorageBook())

    assert field in book.troubles["x"]
