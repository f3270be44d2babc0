"""What every driver of a storage does: copies are whole or not at all, troubles have names."""

import contextlib
import hashlib
import os
import resource
import zlib
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pilotage.pilot.data.drivers import storages
from pilotage.pilot.data.file_storage import FileStorage
from pilotage.pilot.data.http_storage import HttpStorage
from pilotage.pilot.data.root_storage import RootStorage
from pilotage.pilot.data.storages import (
    CopyChecksums,
    CopyLocation,
    CopyMissing,
    CopyTooLong,
    GoOn,
    ResumingStorage,
    Storage,
    StorageError,
    StorageFull,
    StorageRefused,
    StorageUnavailable,
)
from pilotage.pilot.files.worker_thread import WorkAbandoned

from . import servers
from .conftest import PATH, Rig

CONTENT = bytes(range(256)) * 18_000  # more than two blocks
SUMS = CopyChecksums(
    len(CONTENT), f"{zlib.adler32(CONTENT):08x}", hashlib.sha256(CONTENT).hexdigest()
)
ODD = "local/7/1/a%2f#;ü[x]"


def _go_on() -> None:
    return


def _source(tmp_path: Path, content: bytes = CONTENT) -> Path:
    source = tmp_path / "source"
    source.write_bytes(content)
    return source


def _get(rig: Rig, to: Path, path: str = PATH, bytes_max: int = len(CONTENT)) -> CopyChecksums:
    return rig.driver.get(rig.place(path), to, bytes_max=bytes_max, go_on=_go_on)


def _put(rig: Rig, source: Path, path: str = PATH, go_on: GoOn = _go_on) -> CopyChecksums:
    return rig.driver.put(source, rig.place(path, source), go_on=go_on)


@pytest.mark.parametrize("path", [PATH, ODD, "top"])
def test_what_was_put_comes_back_with_its_sums(rig: Rig, tmp_path: Path, path: str) -> None:
    put = _put(rig, _source(tmp_path), path)
    got = _get(rig, tmp_path / "got", path)

    assert put == got == SUMS
    assert (tmp_path / "got").read_bytes() == CONTENT
    assert rig.content(path) == CONTENT
    assert rig.driver.size(rig.place(path)) == len(CONTENT)


@pytest.mark.parametrize("needed", ["adler32", "sha256"])
def test_a_download_computes_the_checksum_that_is_needed(
    rig: Rig, tmp_path: Path, needed: str
) -> None:
    rig.lay(PATH, CONTENT)
    place = replace(rig.place(), verified_by=needed)
    got = rig.driver.get(place, tmp_path / "got", bytes_max=len(CONTENT), go_on=_go_on)

    assert got == replace(SUMS, **{"adler32": "", "sha256": "", needed: getattr(SUMS, needed)})
    assert (tmp_path / "got").read_bytes() == CONTENT


@pytest.mark.parametrize("there", [0, 1, 1_000_000, len(CONTENT) - 1])
def test_a_download_continues_after_the_bytes_of_another_process(
    rig: Rig, tmp_path: Path, there: int
) -> None:
    rig.lay(PATH, b"x" * there + CONTENT[there:])
    (tmp_path / "got").write_bytes(CONTENT[:there])
    if not isinstance(rig.driver, ResumingStorage):
        assert isinstance(rig.driver, RootStorage), "all other drivers continue"
        return
    rest = rig.driver.get_rest
    got = rest(rig.place(), tmp_path / "got", bytes_max=len(CONTENT), go_on=_go_on)

    assert got == SUMS
    assert (tmp_path / "got").read_bytes() == CONTENT
    (tmp_path / "got").write_bytes(CONTENT[: there + 1])
    with pytest.raises(CopyTooLong):
        rest(rig.place(), tmp_path / "got", bytes_max=len(CONTENT) - 1, go_on=_go_on)
    with pytest.raises(CopyMissing):
        rest(rig.place("nothing"), tmp_path / "got", bytes_max=1 << 30, go_on=_go_on)


def test_a_server_without_ranges_sends_all_again(tmp_path: Path) -> None:
    (tmp_path / "got").write_bytes(b"other" * 1_000_000)
    with servers.serving(servers.gives(CONTENT)) as url:
        got = HttpStorage().get_rest(
            CopyLocation(url, PATH), tmp_path / "got", bytes_max=-1, go_on=_go_on
        )

    assert got == SUMS
    assert (tmp_path / "got").read_bytes() == CONTENT


def test_another_range_than_the_asked_one_is_refused(tmp_path: Path) -> None:
    def other(request: BaseHTTPRequestHandler) -> None:
        request.send_response(206)
        request.send_header("Content-Range", "bytes 0-4/5")
        request.send_header("Content-Length", "5")
        request.end_headers()
        request.wfile.write(b"bytes")

    (tmp_path / "got").write_bytes(b"by")
    with (
        servers.serving(other) as url,
        pytest.raises(StorageUnavailable, match="it answers 'bytes 0-4/5'"),
    ):
        HttpStorage().get_rest(CopyLocation(url, PATH), tmp_path / "got", bytes_max=5, go_on=_go_on)
    assert (tmp_path / "got").read_bytes() == b"by"


def test_an_empty_file_is_a_file(rig: Rig, tmp_path: Path) -> None:
    put = _put(rig, _source(tmp_path, b""))

    assert (put.size_bytes, put.adler32) == (0, "00000001")
    assert _get(rig, tmp_path / "got") == put


def test_a_question_mark_in_a_name_is_kept_or_refused(rig: Rig, tmp_path: Path) -> None:
    try:
        _put(rig, _source(tmp_path), "local/7/1/a?b")
    except StorageRefused as why:
        assert "?" in str(why)
        return

    assert rig.content("local/7/1/a?b") == CONTENT


def test_what_is_not_there_is_said_to_be_not_there(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(CopyMissing):
        _get(rig, tmp_path / "got")
    with pytest.raises(CopyMissing):
        rig.driver.size(rig.place())


def test_a_copy_that_is_too_long_is_broken_off(rig: Rig, tmp_path: Path) -> None:
    rig.lay(PATH, CONTENT)

    with pytest.raises(CopyTooLong):
        _get(rig, tmp_path / "got", bytes_max=1_000)


def _given_up() -> None:
    raise WorkAbandoned


def test_work_is_given_up(rig: Rig, tmp_path: Path) -> None:
    rig.lay("laid", CONTENT)

    with pytest.raises(WorkAbandoned):
        _put(rig, _source(tmp_path), go_on=_given_up)
    with pytest.raises(WorkAbandoned):
        rig.driver.get(rig.place("laid"), tmp_path / "got", bytes_max=len(CONTENT), go_on=_given_up)


def test_a_file_of_ours_that_is_not_there_is_no_trouble_of_the_storage(
    rig: Rig, tmp_path: Path
) -> None:
    with pytest.raises(FileNotFoundError):
        _put(rig, tmp_path / "nothing")


# -- drivers that replace and remove files ------------------------------------------------------


def test_a_second_try_of_the_same_attempt_replaces_the_first(
    replacing: Rig, tmp_path: Path
) -> None:
    replacing.lay(PATH, b"half of it")

    _put(replacing, _source(tmp_path))

    assert replacing.content() == CONTENT


def test_what_is_removed_is_gone(replacing: Rig, tmp_path: Path) -> None:
    _put(replacing, _source(tmp_path))

    replacing.driver.remove(replacing.place())
    replacing.driver.remove(replacing.place())

    assert not (replacing.files / PATH).exists()


def test_work_that_is_given_up_leaves_nothing_under_its_name(
    replacing: Rig, tmp_path: Path
) -> None:
    with pytest.raises(WorkAbandoned):
        _put(replacing, _source(tmp_path), go_on=_given_up)

    left = [one for one in replacing.files.rglob("*") if one.is_file()]
    assert left == []


# -- drivers that create files only -------------------------------------------------------------


def test_a_second_file_of_a_name_is_refused_and_the_first_stays(
    creating: Rig, tmp_path: Path
) -> None:
    _put(creating, _source(tmp_path))

    with pytest.raises(StorageRefused, match="of that name exists"):
        _put(creating, _source(tmp_path, b"other bytes"))
    assert creating.content() == CONTENT


def test_nothing_is_removed(creating: Rig, tmp_path: Path) -> None:
    _put(creating, _source(tmp_path))
    place = creating.place()

    with pytest.raises(StorageRefused, match="the central sweeps"):
        creating.driver.remove(place)
    with pytest.raises(StorageRefused, match="the central sweeps"):
        creating.driver.sweep(place, is_folder=False, go_on=_go_on)
    assert creating.content() == CONTENT


# -- folders ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["../outside", "a/../../outside", "/outside", "a//b", "", ".", "a/.", "a\0b"]
)
def test_no_path_leads_out_of_a_folder(tmp_path: Path, path: str) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside").write_bytes(b"secret")
    place = CopyLocation(f"file://{root}", path)

    with pytest.raises(StorageRefused):
        FileStorage().put(_source(tmp_path), place, go_on=_go_on)
    with pytest.raises(StorageRefused):
        FileStorage().get(place, tmp_path / "got", bytes_max=99, go_on=_go_on)
    assert (tmp_path / "outside").read_bytes() == b"secret"


@pytest.mark.parametrize("is_last", [True, False])
def test_no_link_in_a_folder_is_followed(tmp_path: Path, is_last: bool) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "local").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_bytes(b"secret")
    if is_last:
        (root / "local" / "file").symlink_to(outside / "file")
    else:
        (root / "local").rmdir()
        (root / "local").symlink_to(outside)
    place = CopyLocation(f"file://{root}", "local/file")

    with pytest.raises(StorageRefused):
        FileStorage().get(place, tmp_path / "got", bytes_max=99, go_on=_go_on)
    with contextlib.suppress(StorageRefused):  # a link of the file itself is replaced
        FileStorage().put(_source(tmp_path), place, go_on=_go_on)
    assert (outside / "file").read_bytes() == b"secret"
    assert list(outside.iterdir()) == [outside / "file"]


def test_no_folder_is_made_below_a_link(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "local").symlink_to(outside)

    with pytest.raises(StorageRefused):
        FileStorage().put(
            _source(tmp_path), CopyLocation(f"file://{root}", "local/7/f"), go_on=_go_on
        )
    assert list(outside.iterdir()) == []


def test_a_pipe_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(StorageRefused):
        place = CopyLocation(f"file://{tmp_path}", "pipe")
        FileStorage().get(place, tmp_path / "got", bytes_max=99, go_on=_go_on)


def test_a_folder_that_is_not_mounted_is_away_and_is_not_made(tmp_path: Path) -> None:
    place = CopyLocation(f"file://{tmp_path}/mnt", "local/7/1/x")

    with pytest.raises(StorageUnavailable, match="mounted"):
        FileStorage().put(_source(tmp_path), place, go_on=_go_on)
    assert not (tmp_path / "mnt").exists()


def test_a_folder_that_takes_no_more_is_full_and_keeps_nothing(tmp_path: Path) -> None:
    root, source = tmp_path / "root", _source(tmp_path)
    root.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(StorageFull):
            FileStorage().put(source, CopyLocation(f"file://{root}", "a/x"), go_on=_go_on)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert [one for one in root.rglob("*") if one.is_file()] == []


# -- HTTP on a bad day --------------------------------------------------------------------------

BAD_GETS = {
    "it closes in the middle": (servers.gives(CONTENT[:5_000], promised=9_000), StorageUnavailable),
    "it closes at once": (servers.hangs_up, StorageUnavailable),
    "404": (servers.says(404), CopyMissing),
    "410": (servers.says(410), CopyMissing),
    "500": (servers.says(500), StorageUnavailable),
    "503": (servers.says(503), StorageUnavailable),
    "429": (servers.says(429), StorageUnavailable),
    "401": (servers.says(401), StorageRefused),
    "403": (servers.says(403), StorageRefused),
    "a redirect": (servers.says(302, "http://127.0.0.1:1/x"), StorageRefused),
    "an endless redirect": (servers.says(307, "/data/x"), StorageRefused),
    "204": (servers.says(204), StorageRefused),
}
BAD_PUTS = {
    "507": (servers.says(507), StorageFull),
    "413": (servers.says(413), StorageFull),
    "403": (servers.says(403), StorageRefused),
    "409 for ever": (servers.says(409), StorageRefused),
    "500": (servers.says(500), StorageUnavailable),
    "a redirect": (servers.says(307, "/elsewhere"), StorageRefused),
    "it closes in the middle": (servers.hangs_up, StorageUnavailable),
    "it keeps less than it took": (servers.forgets(3), StorageUnavailable),
}


@pytest.mark.parametrize("day", BAD_GETS)
def test_what_goes_wrong_with_a_get(day: str, tmp_path: Path) -> None:
    answer, trouble = BAD_GETS[day]
    with servers.serving(answer) as url, pytest.raises(StorageError) as raised:
        HttpStorage(timeout_s=5).get(
            CopyLocation(url, "x"), tmp_path / "got", bytes_max=10_000, go_on=_go_on
        )

    assert raised.type is trouble, raised.value


@pytest.mark.parametrize("day", BAD_PUTS)
def test_what_goes_wrong_with_a_put(day: str, tmp_path: Path) -> None:
    answer, trouble = BAD_PUTS[day]
    source = _source(tmp_path, CONTENT * 3)
    with servers.serving(answer) as url, pytest.raises(StorageError) as raised:
        HttpStorage(timeout_s=5).put(source, CopyLocation(url, "a/x"), go_on=_go_on)

    assert raised.type is trouble, raised.value


@pytest.mark.parametrize("answers", [204, 404, 405, 503])
def test_what_is_not_whole_is_taken_back(tmp_path: Path, answers: int) -> None:
    """It may be stored elsewhere then. What may still be removed later is not stored again."""
    asked: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        asked.append(request.command)
        is_last = request.command == "DELETE"
        (servers.says(answers) if is_last else servers.forgets(3))(request)

    with servers.serving(answer) as url, pytest.raises(StorageError, match="3 bytes") as raised:
        HttpStorage(timeout_s=5).put(_source(tmp_path), CopyLocation(url, "a/x"), go_on=_go_on)

    assert asked == ["PUT", "HEAD", "DELETE"]
    assert raised.type is (StorageRefused if answers == 503 else StorageUnavailable)


def test_what_a_server_took_and_has_not_is_not_stored(tmp_path: Path) -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        servers.says(404 if request.command == "HEAD" else 201)(request)

    with (
        servers.serving(answer) as url,
        pytest.raises(StorageUnavailable, match="does not have it"),
    ):
        HttpStorage(timeout_s=5).put(_source(tmp_path), CopyLocation(url, "a/x"), go_on=_go_on)


def test_a_file_that_is_not_whole_in_a_folder_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    real = os.replace

    def replaced(source: Path, target: Path) -> None:
        real(source, target)
        os.truncate(target, 3)

    monkeypatch.setattr(os, "replace", replaced)
    with pytest.raises(StorageUnavailable, match="3 bytes"):
        FileStorage().put(_source(tmp_path), CopyLocation(f"file://{root}", "a/x"), go_on=_go_on)

    assert list((root / "a").iterdir()) == []


def test_a_server_that_says_nothing_is_away(tmp_path: Path) -> None:
    silent = servers.gives(b"x" * 2_000, pause_s=5)
    with servers.serving(silent) as url, pytest.raises(StorageUnavailable, match="in time"):
        HttpStorage(timeout_s=0.2).get(
            CopyLocation(url, "x"), tmp_path / "got", bytes_max=10_000, go_on=_go_on
        )


def test_a_slow_one_can_be_given_up(tmp_path: Path) -> None:
    looks: list[int] = []

    def go_on() -> None:
        looks.append(1)
        if len(looks) > 1:
            raise WorkAbandoned

    slow = servers.gives(b"x" * 2_000_000, pause_s=0.0001)
    with servers.serving(slow) as url, pytest.raises(WorkAbandoned):
        HttpStorage().get(CopyLocation(url, "x"), tmp_path / "got", bytes_max=10**7, go_on=go_on)


def test_nobody_there_is_away(tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        HttpStorage().size(CopyLocation("http://127.0.0.1:1", "x"))


WRONG: dict[str, Callable[[], Storage]] = {
    "ftp://host/x": HttpStorage,
    "http:///x": HttpStorage,
    "http://host:99999/x": HttpStorage,
    "http://host/x?y": HttpStorage,
    "http://h/x": FileStorage,
    "file://elsewhere/x": FileStorage,
    "file:x": FileStorage,
}


@pytest.mark.parametrize("url", WRONG)
def test_a_url_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(StorageRefused):
        WRONG[url]().size(CopyLocation(url, "x"))


def test_a_pilot_knows_these_types() -> None:
    left_out: list[str] = []

    assert set(storages(lambda event, _: left_out.append(event))) == {
        "davs",
        "file",
        "http",
        "root",
        "s3",
    }
    assert not left_out
