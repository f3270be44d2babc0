"""Which storages are swept: those that say so, and whose bytes are no other storage's."""

from pathlib import Path

import pytest

from pilotage.central.catalogue.storage_sweeps import SWEEP_TYPE, sweep_job, swept, unswept
from pilotage.central.catalogue.storages import StorageBook, StorageEntry, Storages


def an_entry(url: str, *, deletes: bool = True, sites: tuple[str, ...] = ()) -> StorageEntry:
    return StorageEntry(type=url.partition(":")[0], url=url, deletes=deletes, sites=sites)


def test_only_a_storage_that_says_so_is_swept() -> None:
    book = StorageBook(
        {"a": an_entry("file:///a"), "b": an_entry("file:///b", deletes=False)},
    )

    assert list(swept(book)) == ["a"]
    assert unswept(book) == {"b": "its file does not set deletes: true"}


# of the storage that says deletes: true, of another one, whether their bytes may be the same
PLACES = """
file:///srv/data     file:///srv/data          yes
file:///srv/data/    file:///srv//data         yes
file:///srv/data     file:///srv/data/pic      yes
file:///srv/data/pic file:///srv               yes
file:///srv/a%20b    file:///srv/a%20b         yes
file:///srv/data     file:///srv/data2         no
file:///srv/data     http://host/srv/data      no
http://host/data     http://HOST:80/data       yes
http://host/data     http://host:81/data       yes
http://host/data     http://host:81/x          yes
http://host/data     https://host/data         yes
http://host/data     https://host./x           yes
http://host/data     http://host/x             no
http://host/data     http://host/x/../data     yes
http://host/data     http://host/data/pic      yes
http://host          http://host/x             yes
http://host/data     http://other/data         no
"""


@pytest.mark.parametrize("line", PLACES.strip().splitlines())
def test_a_storage_that_shares_its_bytes_is_not_swept(line: str) -> None:
    url, other, shares = line.split()
    book = StorageBook({"a": an_entry(url), "b": an_entry(other, deletes=False)})

    assert ("a" in unswept(book)) is (shares == "yes")
    assert book.overlaps == ({"a": "b", "b": "a"} if shares == "yes" else {})


def test_which_of_many_lie_in_each_other_is_found_once_for_a_book() -> None:
    """Each with each would be minutes on the loop that serves everybody."""
    urls = {f"s{n}": f"file:///srv/{n}" for n in range(5_000)}
    urls |= {f"h{n}": f"http://host/{n}" for n in range(5_000)}
    urls |= {"same": "file:///srv/7", "third": "file:///srv/7", "in": "http://host/8/x/y"}
    book = StorageBook({name: an_entry(url) for name, url in urls.items()})

    assert book.overlaps == {
        "s7": "same", "same": "s7", "third": "s7", "h8": "in", "in": "h8",
    }  # fmt: skip
    assert book.overlaps is book.overlaps


def test_a_storage_whose_file_does_not_read_now_is_not_swept() -> None:
    book = {"a": an_entry("file:///a"), "b": an_entry("file:///b")}

    assert list(swept(StorageBook(book, {"a": "a.yaml:1: no"}))) == ["b"]
    assert swept(StorageBook(book, unlisted="cannot be listed")) == {}


def test_nothing_is_swept_while_a_storage_may_lie_anywhere() -> None:
    """After a restart nobody knows what a file that does not read has said before."""
    book = {"a": an_entry("file:///a"), "b": an_entry("file:///b")}
    unread = StorageBook(book, {"c": "c.yaml:1: no"})

    assert swept(unread) == {} and "the file of storage c has an error" in unswept(unread)["a"]
    assert list(swept(StorageBook(book), ["a", "b"])) == ["a", "b"]
    assert swept(StorageBook(book), ["a", "old"]) == {}
    assert "storage old has copies" in unswept(StorageBook(book), ["a", "old"])["b"]


def test_folders_are_the_same_that_a_link_makes_the_same(tmp_path: Path) -> None:
    (tmp_path / "real" / "ctao").mkdir(parents=True)
    (tmp_path / "alias").symlink_to("real")
    (tmp_path / "storages").mkdir()
    for name, folder in (("a", "real"), ("b", "alias/ctao"), ("c", "other")):
        text = f"type: file\nurl: file://{tmp_path}/{folder}\ndeletes: true\n"
        (tmp_path / "storages" / f"{name}.yaml").write_text(text)
    storages = Storages(tmp_path / "storages")
    storages.look()
    first = list(swept(storages.book))
    (tmp_path / "other").symlink_to("real")
    storages.look()

    assert first == ["c"]
    assert list(swept(storages.book)) == []


def test_the_job_of_a_sweep_runs_where_the_storage_is_seen() -> None:
    job = sweep_job("pic", an_entry("file:///a", sites=("PIC", "CSCS")), "users")

    assert (job.type, job.group, job.command) == (SWEEP_TYPE, "users", ("true",))
    assert job.needs[0].sites == ("PIC", "CSCS")
    assert job.data is not None and not job.data.outputs
    assert job.queue_s == 86_400  # one that nobody takes ends: there are no more of them each hour
