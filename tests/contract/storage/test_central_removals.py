"""What the central removes by itself from real servers: what it is told to, and nothing else."""

import shutil
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pilotage.central.catalogue.remote.removals import RemoteStorage, SweptType
from pilotage.central.catalogue.remote.storage_http import (
    LIST_MAX,
    RemoteStorages,
    S3Keys,
    StorageAway,
    StorageRefuses,
    StorageToken,
)
from pilotage.central.catalogue.remote.webdav import DavPlace, WebDav
from pilotage.central.catalogue.storage_service import listed
from pilotage.central.catalogue.storage_sweeps import unswept
from pilotage.central.catalogue.storages import StorageBook, StorageEntry
from pilotage.central.operate.clocks import SystemClock
from pilotage.central.operate.storages.requests import RealStorageHttp
from pilotage.central.operate.storages.xrdfs import RealXrdfs
from pilotage.pilot.data.davs_storage import DavsStorage
from pilotage.pilot.data.storages import CopyMissing
from tests.services import s3, xrootd as grid

from . import servers
from .conftest import Rig, S3Rig, XrootdRig

FOLDER = "ctao/0123abcd/7/1"
ODD = f"{FOLDER}/a%2f#;ü[x]&+~"


class Tokens:
    """Gives tokens of an issuer that the server trusts, and the keys of an object store."""

    def __init__(self, sign: Callable[..., str] = str, secret: str = s3.SECRET) -> None:
        self._sign, self._secret = sign, secret

    async def token(self, storage: str, scopes: tuple[str, ...]) -> StorageToken:
        return StorageToken(text=self._sign(*scopes))

    async def keys(self, storage: str) -> S3Keys:
        return S3Keys(s3.KEY, self._secret)

    def width(self, storage: str) -> str:
        return ""


class Swept:
    """A rig, and the storage as the central sees it."""

    def __init__(self, rig: Rig, entry: StorageEntry, tokens: Tokens) -> None:
        remote = RemoteStorages(RealStorageHttp(), tokens, RealXrdfs(), SystemClock())
        self.rig, self.storage = rig, RemoteStorage("pic", entry, remote)

    async def remove(self, path: str, *, is_folder: bool = False, size: int | None = None) -> None:
        kind = self.storage.entry.kind
        assert isinstance(kind, SweptType)
        await kind.remove(self.storage, path, is_folder=is_folder, size=size)

    def has(self, path: str) -> bool:
        try:
            self.rig.driver.size(self.rig.place(path))
        except CopyMissing:
            return False
        return True


@pytest.fixture(params=["davs", "root", "root by https", "s3"])
def swept(request: pytest.FixtureRequest) -> Swept:
    if request.param == "s3":
        store: s3.ObjectStore = request.getfixturevalue("store")
        rig: Rig = S3Rig(store)
        return Swept(rig, StorageEntry(type="s3", url=rig.url), Tokens())
    server: grid.Xrootd = request.getfixturevalue("xrootd")
    return xrootd_swept(server, request.param)


def xrootd_swept(server: grid.Xrootd, kind: str, secret: Callable[..., str] | None = None) -> Swept:
    rig = XrootdRig(DavsStorage(), server, server.url)
    folder = rig.url.rpartition("/")[2]
    entry = StorageEntry(
        type=kind.partition(" ")[0],
        url=rig.url if kind == "davs" else f"{server.root_url}/{folder}",
        https_url=rig.url if kind == "root by https" else "",
        prefix=f"/{folder}",
        ca_file=str(server.folder / "ca" / "ca.pem"),
    )
    return Swept(rig, entry, Tokens(secret or server.token))


async def test_files_go_and_their_neighbours_stay(swept: Swept) -> None:
    for path in (ODD, f"{FOLDER}/other", f"{FOLDER}/unknown"):
        swept.rig.lay(path, b"1234567")
    await swept.remove(ODD, size=7)
    await swept.remove(ODD, size=7)
    await swept.remove(f"{FOLDER}/unknown")
    await swept.remove(f"{FOLDER}/nothing")

    assert [swept.has(path) for path in (ODD, f"{FOLDER}/unknown")] == [False, False]
    assert swept.has(f"{FOLDER}/other")


async def test_a_file_of_another_size_stays(swept: Swept) -> None:
    swept.rig.lay(ODD, b"12345678")
    with pytest.raises(StorageRefuses, match="8 bytes are stored, but 7 were expected"):
        await swept.remove(ODD, size=7)

    assert swept.has(ODD)


@pytest.mark.parametrize("kind", ["davs", "root", "root by https"])
async def test_a_name_that_the_server_cuts_removes_no_other_file(
    xrootd: grid.Xrootd, kind: str
) -> None:
    wide = xrootd.token("storage.modify:/", "storage.read:/")
    swept = xrootd_swept(xrootd, kind, lambda *_: wide)
    swept.rig.lay("ctao/a", b"other")

    with pytest.raises(StorageRefuses, match="cut the name"):
        await swept.remove("ctao/a?b", size=5)
    assert swept.has("ctao/a")


@pytest.mark.parametrize("kind", ["davs", "root", "root by https"])
@pytest.mark.parametrize("is_folder", [True, False])
async def test_nothing_counts_as_removed_if_the_storage_itself_is_missing(
    xrootd: grid.Xrootd, kind: str, is_folder: bool
) -> None:
    swept = xrootd_swept(xrootd, kind)
    swept.rig.lay("elsewhere/a", b"x")
    await swept.remove(FOLDER, is_folder=is_folder, size=None if is_folder else 5)
    shutil.rmtree(swept.rig.files)

    with pytest.raises(StorageAway, match="perhaps its disk is not mounted"):
        await swept.remove(FOLDER, is_folder=is_folder, size=None if is_folder else 5)


async def test_the_folder_of_an_attempt_goes_with_its_contents(swept: Swept) -> None:
    below = [ODD, f"{FOLDER}/b", f"{FOLDER}/c/d/e", f"{FOLDER}/c/f"]
    beside = [f"{FOLDER}0/a", f"{FOLDER.rpartition('/')[0]}/2"]
    for path in (*below, *beside):
        swept.rig.lay(path, b"x")
    await swept.remove(FOLDER, is_folder=True)
    await swept.remove(FOLDER, is_folder=True)

    assert [one for one in below if swept.has(one)] == []
    assert all(swept.has(one) for one in beside)


@pytest.mark.parametrize("kind", ["davs", "root"])
async def test_a_token_for_another_folder_removes_nothing(xrootd: grid.Xrootd, kind: str) -> None:
    def narrow(*scopes: str) -> str:
        return xrootd.token("storage.modify:/elsewhere", *scopes[1:])

    swept = xrootd_swept(xrootd, kind, narrow)
    swept.rig.lay(ODD, b"1234567")
    for is_folder in (False, True):
        with pytest.raises(StorageRefuses):
            await swept.remove(FOLDER if is_folder else ODD, is_folder=is_folder)

    assert swept.has(ODD)


async def test_wrong_keys_remove_nothing_and_are_not_shown(store: s3.ObjectStore) -> None:
    rig = S3Rig(store)
    swept = Swept(rig, StorageEntry(type="s3", url=rig.url), Tokens(secret="wrong"))
    rig.lay(ODD, b"1234567")
    for is_folder in (False, True):
        with pytest.raises(StorageRefuses, match="HTTP 403") as why:
            await swept.remove(FOLDER if is_folder else ODD, is_folder=is_folder)
        assert "wrong" not in str(why.value)

    assert swept.has(ODD)


@pytest.mark.parametrize("kind", ["davs", "root", "root by https"])
@pytest.mark.parametrize("is_empty", [True, False])
async def test_without_its_disk_a_storage_has_removed_nothing(
    xrootd: grid.Xrootd, kind: str, is_empty: bool
) -> None:
    swept = xrootd_swept(xrootd, kind)
    swept.rig.lay(ODD, b"1234567")
    disk = swept.rig.files.with_name(f"{swept.rig.files.name}-disk")
    swept.rig.files.rename(disk)
    if is_empty:
        swept.rig.files.mkdir()
        xrootd.own(swept.rig.files)
    for path, size in ((ODD, 7), (ODD, None), (FOLDER, None)):
        with pytest.raises(StorageAway, match="perhaps its disk is not mounted"):
            await swept.remove(path, is_folder=path == FOLDER, size=size)
    if is_empty:
        swept.rig.files.rmdir()
    disk.rename(swept.rig.files)
    await swept.remove(ODD, size=7)
    await swept.remove(ODD, size=7)

    assert not swept.has(ODD)


async def test_a_missing_bucket_does_not_count_as_removed(store: s3.ObjectStore) -> None:
    entry = StorageEntry(type="s3", url=store.url.replace("/ctao", "/nothing"))
    with pytest.raises((StorageAway, StorageRefuses)):
        await Swept(S3Rig(store), entry, Tokens()).remove("a", is_folder=True)


async def test_a_server_that_is_away_is_said_to_be_away(xrootd: grid.Xrootd) -> None:
    swept = xrootd_swept(xrootd, "root")
    away = StorageEntry(type="root", url="roots://localhost:1//data")
    storage = RemoteStorage("pic", away, swept.storage.remote)
    kind = away.kind
    assert isinstance(kind, SweptType)
    with pytest.raises(StorageAway):
        await kind.remove(storage, ODD, is_folder=False, size=None)


LISTS = {
    "of an unknown encoding": b'<?xml version="1.0" encoding="utf-99"?><a/>',
    "of an encoding that is none": b'<?xml version="1.0" encoding="idna"?><a/>',
    "too long": b"<a>" + b" " * LIST_MAX + b"</a>",
    "with a bomb": (
        b'<!DOCTYPE l [<!ENTITY a "%s">' % (b"x" * 1_000)
        + b"".join(b'<!ENTITY %c "%s">' % (c, b"&%c;" % (c - 1) * 100) for c in range(98, 106))
        + b"]><l>&i;</l>"
    ),
    "of another folder": (b'<m xmlns="DAV:"><response><href>/data/cta/x</href></response></m>'),
}


@pytest.mark.parametrize("kind", LISTS)
async def test_a_list_that_is_none_is_refused(kind: str) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(207)
        request.send_header("Content-Length", str(len(LISTS[kind])))
        request.end_headers()
        request.wfile.write(LISTS[kind])

    with servers.serving(answer) as url, pytest.raises(StorageRefuses, match="its list|it lists"):
        await WebDav(RealStorageHttp()).remove_folder(DavPlace(url=f"{url}/{FOLDER}"))


async def test_an_answer_that_drips_has_an_end() -> None:
    drips = servers.gives(b"x" * 100_000, pause_s=0.02)
    with servers.serving(drips) as url, pytest.raises(StorageAway, match="did not end after 0.3 s"):
        await RealStorageHttp().ask("GET", url, headers={}, whole_s=0.3)


async def test_a_token_that_a_server_repeats_is_not_shown() -> None:
    token = "opaque" * 100

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(403)
        body = f"{'no ' * 50}{request.headers['Authorization']}".encode()
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    with servers.serving(answer) as url, pytest.raises(StorageRefuses) as raised:
        await WebDav(RealStorageHttp()).get(DavPlace(url=url, token=token))

    assert "Bearer …" in str(raised.value)
    assert "opaque" not in str(raised.value)


def test_without_xrdfs_only_an_https_url_lets_the_central_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = StorageEntry(type="root", url="roots://a.test//x", deletes=True)
    by_https = StorageEntry(
        type="root", url="roots://b.test//x", https_url="https://b.test:1/x", deletes=True
    )
    book = StorageBook(storages={"a": root, "b": by_https})
    monkeypatch.setenv("PATH", str(tmp_path))
    why, shown = unswept(book), {one.name: one.trouble for one in listed(book).storages}
    monkeypatch.setattr(shutil, "which", lambda _: "/usr/bin/xrdfs")

    assert list(why) == ["a"] and "install it, or set https_url" in why["a"]
    assert why["a"] in shown["a"] and shown["b"] == ""
    assert unswept(book) == {}
