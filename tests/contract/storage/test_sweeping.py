"""What is removed for good: that file or that folder, and nothing beside it."""

import os
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pilotage.pilot.data.file_storage import FileStorage
from pilotage.pilot.data.http_storage import HttpStorage
from pilotage.pilot.data.storages import Place, Refused, StorageTrouble, Unavailable
from pilotage.pilot.files.beside import GivenUp

from . import servers
from .conftest import PATH, Rig

FOLDER = "ctao/0a1b2c3d/7/1"


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
    _sweep(rig, "ctao/no/such/file/at/all")
    _sweep(rig, "ctao/no/such/folder", is_folder=True)

    assert _there(rig) == []


def test_a_folder_is_not_taken_for_a_file(rig: Rig) -> None:
    rig.lay(f"{PATH}/inside", b"x")

    with pytest.raises(StorageTrouble):
        _sweep(rig, PATH)
    assert _there(rig) == [f"{PATH}/inside"]


def test_a_file_is_not_taken_for_a_folder(rig: Rig) -> None:
    rig.lay(FOLDER, b"x")

    with pytest.raises(StorageTrouble):
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
        with pytest.raises(Refused):
            _sweep(rig, path, is_folder=is_folder)
    assert outside.exists() and _there(rig) == ["a/kept"]


# -- folders ------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Rig:
    files = tmp_path / "root"
    files.mkdir()
    return Rig(FileStorage(), f"file://{files}", files)


def test_empty_folders_above_go_but_not_the_root(folder: Rig) -> None:
    folder.lay("a/b/c/one", b"x")
    folder.lay("a/two", b"x")

    _sweep(folder, "a/b/c/one")
    assert sorted(one.name for one in (folder.files / "a").iterdir()) == ["two"]
    _sweep(folder, "a/two")

    assert folder.files.exists() and list(folder.files.iterdir()) == []


def test_empty_folders_go_where_the_file_has_gone_before(folder: Rig) -> None:
    (folder.files / "a" / "b").mkdir(parents=True)

    _sweep(folder, "a/b/c/one")

    assert list(folder.files.iterdir()) == []


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
        assert list(folder.files.iterdir()) == []
    else:
        for path, is_folder in ((FOLDER, True), (FOLDER, False), (f"{FOLDER}/kept", False)):
            with pytest.raises(Refused):
                _sweep(folder, path, is_folder=is_folder)

    assert (outside / "1" / "kept").read_bytes() == b"x"


@pytest.mark.parametrize("path", ["ctao", "ctao/0a1b2c3d", "ctao/0a1b2c3d/7", f"{FOLDER}/deep"])
def test_only_the_folder_of_one_attempt_goes_whole(folder: Rig, path: str) -> None:
    folder.lay(f"{FOLDER}/deep/file", b"x")

    with pytest.raises(Refused):
        _sweep(folder, path, is_folder=True)
    assert _there(folder) == [f"{FOLDER}/deep/file"]


def test_what_is_no_file_stays(folder: Rig) -> None:
    os.mkfifo(folder.files / "pipe")

    with pytest.raises(Refused):
        _sweep(folder, "pipe")
    assert (folder.files / "pipe").exists()


def test_a_folder_that_is_not_mounted_is_away(tmp_path: Path) -> None:
    place = Place(f"file://{tmp_path}/mnt", "a/file")

    with pytest.raises(Unavailable, match="mounted"):
        FileStorage().sweep(place, is_folder=False, go_on=_go_on)


def test_a_large_folder_can_be_given_up(folder: Rig) -> None:
    for n in range(5):
        folder.lay(f"{FOLDER}/{n}", b"x")
    looks: list[int] = []

    def go_on() -> None:
        looks.append(1)
        if len(looks) > 2:
            raise GivenUp

    with pytest.raises(GivenUp):
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

DAYS = {200: None, 204: None, 404: None, 410: None, 202: Unavailable, 500: Unavailable,
        503: Unavailable, 403: Refused, 405: Refused, 409: Refused, 302: Refused}  # fmt: skip


@pytest.mark.parametrize("status", DAYS)
def test_what_a_server_says(status: int) -> None:
    trouble = DAYS[status]
    with servers.serving(servers.says(status)) as url:
        place = Place(url, "a/x")
        if trouble is None:
            HttpStorage(timeout_s=5).sweep(place, is_folder=False, go_on=_go_on)
            return
        with pytest.raises(StorageTrouble) as raised:
            HttpStorage(timeout_s=5).sweep(place, is_folder=False, go_on=_go_on)

    assert raised.type is trouble


def test_a_file_is_asked_for_so_that_no_server_takes_a_collection_for_it() -> None:
    """Apache and others remove a collection with all that is in it, unless a depth is said."""
    depths: list[str | None] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        depths.append(request.headers.get("Depth"))
        servers.says(204)(request)

    with servers.serving(answer) as url:
        HttpStorage(timeout_s=5).sweep(Place(url, "a/x"), is_folder=False, go_on=_go_on)
        HttpStorage(timeout_s=5).sweep(Place(url, FOLDER), is_folder=True, go_on=_go_on)

    assert depths == ["0", None]
