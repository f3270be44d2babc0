"""Which storages are swept: those that say so, and whose bytes are no other storage's."""

import pytest

from pilotage.central.data.storages import StorageBook, StorageEntry
from pilotage.central.data.sweeping import SWEEP_TYPE, sweep_job, swept, unswept


def an_entry(url: str, *, deletes: bool = True, sites: tuple[str, ...] = ()) -> StorageEntry:
    return StorageEntry(type=url.partition(":")[0], url=url, deletes=deletes, sites=sites)


def test_only_a_storage_that_says_so_is_swept() -> None:
    book = StorageBook(
        {"a": an_entry("file:///a"), "b": an_entry("file:///b", deletes=False)},
    )

    assert list(swept(book)) == ["a"]
    assert unswept(book) == {"b": "its file does not say deletes: true"}


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
http://host/data     http://host:81/data       no
http://host/data     https://host/data         no
http://host/data     http://host/data/pic      yes
http://host          http://host/x             yes
http://host/data     http://other/data         no
"""


@pytest.mark.parametrize("line", PLACES.strip().splitlines())
def test_a_storage_that_shares_its_bytes_is_not_swept(line: str) -> None:
    url, other, shares = line.split()
    book = StorageBook({"a": an_entry(url), "b": an_entry(other, deletes=False)})

    assert ("a" in unswept(book)) is (shares == "yes")


def test_a_storage_whose_file_does_not_read_now_is_not_swept() -> None:
    entry = an_entry("file:///a")

    assert swept(StorageBook({"a": entry}, {"a": "a.yaml:1: no"})) == {}
    assert swept(StorageBook({"a": entry}, unlisted="cannot be listed")) == {}


def test_the_job_of_a_sweep_runs_where_the_storage_is_seen() -> None:
    job = sweep_job("pic", an_entry("file:///a", sites=("PIC", "CSCS")), "users")

    assert (job.type, job.group, job.command) == (SWEEP_TYPE, "users", ("true",))
    assert job.needs[0].sites == ("PIC", "CSCS")
    assert job.data is not None and not job.data.outputs
