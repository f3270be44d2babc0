"""What the central asks of storages to remove files, where real servers are too good-natured."""

import urllib.parse
from collections.abc import Mapping

import pytest

from pilotage.central.catalogue.remote.removals import RemoteStorage, SweptType
from pilotage.central.catalogue.remote.storage_http import (
    RemoteStorages,
    StorageAnswer,
    StorageRefuses,
)
from pilotage.central.catalogue.storages import StorageEntry
from tests.fake_central import FakeClock
from tests.fake_storage_server import (
    FakeStorageNetwork,
    FakeStorageServer,
    FakeStorageTokens,
    FakeXrdfs,
    fake_remote,
)


class ShortPages(FakeStorageNetwork):
    """An object store that lists two names at a time."""

    def __init__(self, *names: str) -> None:
        super().__init__()
        self.names = list(names)
        self.regions: set[str] = set()

    async def answer(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> StorageAnswer:
        parts = urllib.parse.urlsplit(url)
        query = dict(urllib.parse.parse_qsl(parts.query))
        self.regions.add(query["X-Amz-Credential"].split("/")[2])
        if method == "DELETE":
            self.names.remove(urllib.parse.unquote(parts.path).removeprefix("/bucket/"))
            return StorageAnswer(204, {})
        assert parts.path == "/bucket"
        after = query.get("start-after", "")
        found = [one for one in self.names if one > after and one.startswith(query["prefix"])][:2]
        listed = "".join(f"<Contents><Key>{one}</Key></Contents>" for one in found)
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        return StorageAnswer(200, {}, f'<List xmlns="{space}">{listed}</List>'.encode())


async def remove(entry: StorageEntry, remote: RemoteStorages, path: str) -> None:
    kind = entry.kind
    assert isinstance(kind, SweptType)
    await kind.remove(RemoteStorage("pic", entry, remote), path, is_folder=True, size=None)


async def test_all_pages_of_a_folder_go() -> None:
    store = ShortPages(*(f"x/c/g/7/1/{name}" for name in "abcde"), "x/c/g/7/10/a")
    remote = fake_remote(store)
    entry = StorageEntry(type="s3", url="https://s3.test/bucket/x", region="eu")
    await remove(entry, remote, "c/g/7/1")

    assert store.names == ["x/c/g/7/10/a"] and store.regions == {"eu"}


@pytest.mark.parametrize("line", ["-rw- a a 1 2026-01-01 00:00:00 /x/c/other", "", "rubbish"])
async def test_xrdfs_that_lists_other_files_removes_none(line: str) -> None:
    network = FakeStorageNetwork(FakeStorageServer("unused"))
    xrdfs = FakeXrdfs(ls=f"{line}\n-rw- a a 1 2026-01-01 00:00:00 /x/c/g/7/1/../../f")
    remote = RemoteStorages(network, FakeStorageTokens(), xrdfs, FakeClock())
    with pytest.raises(StorageRefuses, match="which is not in the folder"):
        await remove(StorageEntry(type="root", url="root://h//x"), remote, "c/g/7/1")

    assert [words[0] for words in xrdfs.ran] == ["ls"]


async def test_a_dav_server_that_does_not_encode_names_loses_both_readings() -> None:
    server = FakeStorageServer("se", {"/x/c/g/7/1/a%41": b"1", "/x/c/g/7/1/b": b"2"})
    await remove(
        StorageEntry(type="davs", url="https://se/x"),
        fake_remote(FakeStorageNetwork(server)),
        "c/g/7/1",
    )

    assert server.files == {}
