"""What is removed for good: that file or that folder, and nothing beside it."""

import os
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pilotage.pilot.data import file_sweep
from pilotage.pilot.data.file_storage import FileStorage
from pilotage.pilot.data.http_storage import HttpStorage
from pilotage.pilot.data.storages import (
    CopyLocation,
    StorageError,
    StorageRefused,
    StorageUnavailable,
)
from pilotage.pilot.files.worker_thread import WorkAbandoned

from . import servers
from .conftest import PATH, Rig

FOLDER = "ctao/0a1b2c3d/7/1"


@pytest.fixture
def rig(replacing: Rig) -> Rig:
    """Return a storage that pilots sweep."""
    return replacing


def _go_on() -> None:
    return


def _sweep(rig: Rig, path: str, *, is_folder: bool = False) -> None:
    rig.driver.sweep(rig.place(path), is_folder=is_folder, go_on=_go_on)


def _there(rig: Rig) -> list[str]:
    return sorted(str(one.relative_to(rig.files)) for one in rig.files.rglob("*") if one.is_file())


@pytest.mark.parametrize("path", [PATH, "local/7/1/a%2f?#;ü[x]", "top"])
def test_a_file_goes_and_its_neighbours_stay(rig: Rig, path: str) -> None:
    for one in (path, f"{path}.2", "local/7/2/results/run"):
        rig.lay(one, b"x")

    _sweep(rig, path)
    _sweep(rig, path)

    assert _there(rig) == sorted([f"{path}.2", "local/7/2/results/run"])


def test_a_folder_goes_with_all_that_is_in_it(rig: Rig) -> None:
    for one in (f"{FOLDER}/a", f"{FOLDER}/deep/er/b", f"{FOLDER}/.c.part-1", f"{FOLDER}0/d"):
        rig.lay(one, b"x")

    _sweep(rig, FOLDER, is_folder=True)
    _sweep(rig, FOLDER, is_folder=True)

    assert _there(rig) == [f"{FOLDER}0/d"]
    assert not (rig.files / FOLDER).exists()


def test_what_never_was_is_gone(rig: Rig) -> None:
    rig.lay("ctao/kept", b"x")

    _sweep(rig, "ctao/no/such/file/at/all")
    _sweep(rig, "ctao/no/such/folder", is_folder=True)

    assert _there(rig) == ["ctao/kept"]


def test_a_folder_is_not_taken_for_a_file(rig: Rig) -> None:
    rig.lay(f"{PATH}/inside", b"x")

    with pytest.raises(StorageError):
        _sweep(rig, PATH)
    assert _there(rig) == [f"{PATH}/inside"]


def test_a_file_is_not_taken_for_a_folder(rig: Rig) -> None:
    rig.lay(FOLDER, b"x")

    with pytest.raises(StorageError):
        _sweep(rig, FOLDER, is_folder=True)
    assert _there(rig) == [FOLDER]


def test_what_cannot_be_called_so_is_gone(folder: Rig) -> None:
    folder.lay("ctao/kept", b"x")

    _sweep(folder, f"ctao/{'n' * 300}")
    _sweep(folder, f"ctao/{'n' * 300}/1/a")
    _sweep(folder, f"ctao/{'n' * 300}/7/1", is_folder=True)

    assert _there(folder) == ["ctao/kept"]


@pytest.mark.parametrize("path", ["../outside", "a/../../outside", "a/..", "."])
def test_no_path_leads_out(rig: Rig, path: str) -> None:
    outside = rig.files.parent / "outside"
    outside.write_bytes(b"x")
    rig.lay("a/kept", b"x")

    for is_folder in (False, True):
        with pytest.raises(StorageRefused):
            _sweep(rig, path, is_folder=is_folder)
    assert outside.exists() and _there(rig) == ["a/kept"]


@pytest.mark.parametrize("path", ["ctao", "ctao/0a1b2c3d", "ctao/0a1b2c3d/7", f"{FOLDER}/deep"])
def test_only_the_folder_of_one_attempt_goes_whole(rig: Rig, path: str) -> None:
    rig.lay(f"{FOLDER}/deep/file", b"x")

    with pytest.raises(StorageRefused):
        _sweep(rig, path, is_folder=True)
    assert _there(rig) == [f"{FOLDER}/deep/file"]


@pytest.mark.parametrize("path", ["", "/", "ctao//7/1", "/0a1b2c3d/7/1", "ctao/0a1b2c3d/7/"])
def test_a_path_with_a_part_that_is_empty_is_none(rig: Rig, path: str) -> None:
    rig.lay(f"{FOLDER}/file", b"x")

    for is_folder in (False, True):
        with pytest.raises(StorageRefused):
            _sweep(rig, path, is_folder=is_folder)
    with pytest.raises(StorageRefused):
        rig.driver.remove(rig.place(path))
    assert _there(rig) == [f"{FOLDER}/file"]


# -- folders ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Rig:
    files = tmp_path / "root"
    files.mkdir()
    return Rig(FileStorage(), f"file://{files}", files)


def test_empty_folders_above_go_but_not_the_topmost(folder: Rig) -> None:
    folder.lay("a/b/c/one", b"x")
    folder.lay("a/two", b"x")

    _sweep(folder, "a/b/c/one")
    assert sorted(one.name for one in (folder.files / "a").iterdir()) == ["two"]
    _sweep(folder, "a/two")

    assert list(folder.files.rglob("*")) == [folder.files / "a"]


def test_empty_folders_go_where_the_file_has_gone_before(folder: Rig) -> None:
    (folder.files / "a" / "b").mkdir(parents=True)

    _sweep(folder, "a/b/c/one")

    assert list(folder.files.rglob("*")) == [folder.files / "a"]


def test_parts_of_a_file_go_with_it_and_no_others(folder: Rig) -> None:
    others = [f"a/.{name}" for name in ("one.part-1", "one.part-x", f"two.part-{'0' * 16}", "one")]
    for path in (*others, f"a/.one.part-{'0' * 15}f"):
        folder.lay(path, b"x")
    (folder.files / "a" / f".one.part-{'1' * 16}").mkdir()

    _sweep(folder, "a/one")

    assert _there(folder) == sorted(others)


@pytest.mark.parametrize("where", ["last", "middle", "inside"])
def test_no_link_is_followed(folder: Rig, tmp_path: Path, where: str) -> None:
    outside = tmp_path / "outside"
    (outside / "1").mkdir(parents=True)
    (outside / "1" / "kept").write_bytes(b"x")
    inside = folder.files / "ctao" / "0a1b2c3d" / "7"
    inside.mkdir(parents=True)
    if where == "last":
        (inside / "1").symlink_to(outside / "1")
    elif where == "middle":
        inside.rmdir()
        inside.symlink_to(outside)
    else:
        (inside / "1").mkdir()
        (inside / "1" / "link").symlink_to(outside / "1")
        (inside / "1" / "file").symlink_to(outside / "1" / "kept")
    if where == "inside":
        _sweep(folder, FOLDER, is_folder=True)
        assert list(folder.files.rglob("*")) == [folder.files / "ctao"]
    else:
        for path, is_folder in ((FOLDER, True), (FOLDER, False), (f"{FOLDER}/kept", False)):
            with pytest.raises(StorageRefused):
                _sweep(folder, path, is_folder=is_folder)

    assert (outside / "1" / "kept").read_bytes() == b"x"


def test_what_is_no_file_stays(folder: Rig) -> None:
    os.mkfifo(folder.files / "pipe")

    with pytest.raises(StorageRefused):
        _sweep(folder, "pipe")
    assert (folder.files / "pipe").exists()


def test_a_folder_that_is_not_mounted_is_away(tmp_path: Path) -> None:
    place = CopyLocation(f"file://{tmp_path}/mnt", "a/file")

    with pytest.raises(StorageUnavailable, match="mounted"):
        FileStorage().sweep(place, is_folder=False, go_on=_go_on)


def test_a_mount_point_without_its_file_system_is_away(folder: Rig) -> None:
    for path, is_folder in (("ctao/a", False), (FOLDER, True)):
        with pytest.raises(StorageUnavailable, match="mounted"):
            _sweep(folder, path, is_folder=is_folder)
    folder.lay("ctao/7/a", b"x")

    for _ in range(2):  # the folder of the community stays, so that the root is not empty
        _sweep(folder, "ctao/7/a")


def test_a_folder_goes_however_deep_it_is(folder: Rig) -> None:
    folder.lay(f"{FOLDER}/file", b"x")
    folder.lay(f"{FOLDER}0/file", b"x")
    at = os.open(folder.files / FOLDER, os.O_RDONLY)
    for n in range(3_000):
        os.mkdir("d", dir_fd=at)
        for name in (f"f{n % 3}", f".g{n % 2}"):
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, dir_fd=at))
        os.mkdir("empty", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)

    _sweep(folder, FOLDER, is_folder=True)

    assert _there(folder) == [f"{FOLDER}0/file"]
    assert not (folder.files / FOLDER).exists()


def test_a_folder_goes_however_wide_it_is(folder: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_sweep, "_NAMES_MAX", 3)
    for n in range(20):
        folder.lay(f"{FOLDER}/{n}", b"x")
        folder.lay(f"{FOLDER}/d{n % 5}/e/{n}", b"x")

    _sweep(folder, FOLDER, is_folder=True)

    assert _there(folder) == [] and not (folder.files / FOLDER).exists()


def test_a_large_folder_can_be_given_up(folder: Rig) -> None:
    for n in range(5):
        folder.lay(f"{FOLDER}/{n}", b"x")
    looks: list[int] = []

    def go_on() -> None:
        looks.append(1)
        if len(looks) > 2:
            raise WorkAbandoned

    with pytest.raises(WorkAbandoned):
        folder.driver.sweep(folder.place(FOLDER), is_folder=True, go_on=go_on)
    assert len(_there(folder)) == 3


def test_who_stores_beside_it_finds_a_folder_again(
    folder: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep removes the folder that was made for a new file, for it was empty still."""
    source = tmp_path / "source"
    source.write_bytes(b"x")
    real, swept = os.open, list[str]()

    def opened(path: str, *args: int, **more: int) -> int:
        if ".part-" in str(path) and not swept:
            swept.append(str(path))
            _sweep(folder, "a/b/gone")
        return real(path, *args, **more)

    monkeypatch.setattr(os, "open", opened)
    folder.driver.put(source, folder.place("a/b/new"), go_on=_go_on)

    assert swept and _there(folder) == ["a/b/new"]


# -- HTTP on a bad day --------------------------------------------------------------------------

DAYS = {
    **dict.fromkeys((200, 204)),
    **dict.fromkeys((202, 404, 410, 500, 503), StorageUnavailable),
    **dict.fromkeys((403, 405, 409, 302), StorageRefused),
}


@pytest.mark.parametrize("status", DAYS)
def test_what_a_server_says(status: int) -> None:
    trouble = DAYS[status]
    with servers.serving(servers.says(status)) as url:
        place = CopyLocation(url, "a/x")
        if trouble is None:
            HttpStorage(timeout_s=5).sweep(place, is_folder=False, go_on=_go_on)
            return
        with pytest.raises(StorageError) as raised:
            HttpStorage(timeout_s=5).sweep(place, is_folder=False, go_on=_go_on)

    assert raised.type is trouble


@pytest.mark.parametrize("root", [200, 301, 403, 405, 404, 410, 503])
def test_what_is_not_there_is_gone_where_the_storage_itself_is_there(root: int) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        servers.says(root if request.path == "/data/" else 404)(request)

    with servers.serving(answer) as url:
        if root in (404, 410, 503):
            with pytest.raises(StorageUnavailable, match="perhaps its disk is missing"):
                HttpStorage(timeout_s=5).sweep(
                    CopyLocation(url, "a/x"), is_folder=False, go_on=_go_on
                )
        else:
            HttpStorage(timeout_s=5).sweep(CopyLocation(url, "a/x"), is_folder=False, go_on=_go_on)


def test_a_file_is_asked_for_so_that_no_server_takes_a_collection_for_it() -> None:
    """Apache and others remove a collection with all that is in it, unless a depth is said."""
    depths: list[str | None] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        depths.append(request.headers.get("Depth"))
        servers.says(204)(request)

    with servers.serving(answer) as url:
        HttpStorage(timeout_s=5).sweep(CopyLocation(url, "a/x"), is_folder=False, go_on=_go_on)
        HttpStorage(timeout_s=5).sweep(CopyLocation(url, FOLDER), is_folder=True, go_on=_go_on)

    assert depths == ["0", None]


class Looked:
    """A server that has something at each path; it removes whatever it is asked to."""

    def __init__(self, status: int, length: str = "") -> None:
        self.status, self.length, self.asked = status, length, list[str]()

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.command)
        if request.command == "DELETE":
            servers.says(204)(request)
            return
        request.send_response(200 if request.path == "/data/" else self.status)
        if self.length:
            request.send_header("Content-Length", self.length)
        request.end_headers()


FOUND = {
    (200, "7"): "",
    (404, "0"): "",
    (200, "9"): "9 bytes are stored, but 7 were expected",
    (200, ""): "an unknown number of bytes are stored",
    (405, "0"): "it is not a file",
    (301, "0"): "HTTP 301",
}


@pytest.mark.parametrize("found", FOUND)
def test_only_the_file_that_was_stored_is_asked_to_go(found: tuple[int, str]) -> None:
    """Some servers take a folder for it, with all that is in it, whatever the depth."""
    looked, trouble = Looked(*found), FOUND[found]
    with servers.serving(looked) as url:
        if trouble:
            with pytest.raises(StorageRefused, match=trouble):
                HttpStorage(timeout_s=5).sweep(
                    CopyLocation(url, "a/x"), is_folder=False, go_on=_go_on, size=7
                )
        else:
            HttpStorage(timeout_s=5).sweep(
                CopyLocation(url, "a/x"), is_folder=False, go_on=_go_on, size=7
            )

    wanted = ["HEAD", "DELETE"] if found == (200, "7") else ["HEAD", "HEAD"]
    assert looked.asked == (["HEAD"] if trouble else wanted)


def test_a_file_that_has_its_size_goes(rig: Rig) -> None:
    rig.lay("ctao/run", b"seven b")

    rig.driver.sweep(rig.place("ctao/run"), is_folder=False, go_on=_go_on, size=7)

    assert _there(rig) == []
