"""Secrets and blobs on a real disk, and the double of it."""

import errno
import hashlib
import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from pilotage.central.errors import BlobMismatch, BlobNotFound, BlobTooLarge, NoSpace
from pilotage.central.operate.datadir import (
    CentralProcess,
    DataInUse,
    announce,
    locked,
    running_on,
    tighten,
)
from pilotage.central.operate.files import (
    LEFT_OVER_S,
    RealBlobs,
    RealDisk,
    RealSpace,
    remove_left_overs,
)
from pilotage.central.ports import Blobs, Disk
from tests.fake_central import FakeBlobs, FakeDisk

CONTENT = b"abc" * 100_000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = "0" * 64


async def parts(content: bytes = CONTENT) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 65_536):
        yield content[start : start + 65_536]


async def test_the_log_of_the_store_counts_as_room_that_is_used(tmp_path: Path) -> None:
    log = tmp_path / "log"
    plain, with_log = RealSpace(tmp_path), RealSpace(tmp_path, log)
    before, same = await plain.read(), await with_log.read()
    assert before is not None
    assert same is not None
    with log.open("wb") as file:
        file.truncate(same[0] // 2)  # it takes no room itself
    free, total = await with_log.read() or (0, 0)

    assert same[0] > before[0] * 0.9
    assert free < before[0] * 0.6
    assert total == before[1]


async def cut_off() -> AsyncIterator[bytes]:
    yield b"abc"
    raise ConnectionResetError


async def read(blobs: Blobs, sha256: str) -> bytes:
    return b"".join([part async for part in blobs.read(sha256)])


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def age(path: Path) -> None:
    """Let it be as old as nothing is that anybody still writes."""
    then = path.stat().st_mtime - LEFT_OVER_S - 60
    os.utime(path, (then, then))


@pytest.fixture(params=["real", "fake"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return RealBlobs(tmp_path) if request.param == "real" else FakeBlobs()


async def test_a_blob_comes_back(blobs: Blobs) -> None:
    size = await blobs.put(SHA256, parts(), size_max=len(CONTENT))

    assert size == await blobs.size(SHA256) == len(CONTENT)
    assert await read(blobs, SHA256) == CONTENT
    assert await blobs.missing([OTHER, SHA256]) == [OTHER]


async def test_a_blob_may_come_again(blobs: Blobs) -> None:
    for _ in range(2):
        await blobs.put(SHA256, parts(), size_max=10**6)

    assert await read(blobs, SHA256) == CONTENT


async def test_other_bytes_are_refused(blobs: Blobs) -> None:
    with pytest.raises(BlobMismatch):
        await blobs.put(OTHER, parts(), size_max=10**6)

    assert await blobs.missing([OTHER]) == [OTHER]


async def test_too_many_bytes_are_refused(blobs: Blobs) -> None:
    with pytest.raises(BlobTooLarge):
        await blobs.put(SHA256, parts(), size_max=len(CONTENT) - 1)

    assert await blobs.size(SHA256) is None


async def test_an_upload_that_breaks_off_leaves_nothing(blobs: Blobs) -> None:
    with pytest.raises(ConnectionResetError):
        await blobs.put(SHA256, cut_off(), size_max=10**6)

    assert await blobs.missing([SHA256]) == [SHA256]


async def test_what_is_not_here_is_said_to_be_so(blobs: Blobs) -> None:
    with pytest.raises(BlobNotFound):
        await read(blobs, OTHER)

    assert await blobs.size(OTHER) is None


async def test_refused_uploads_leave_no_file(tmp_path: Path) -> None:
    blobs = RealBlobs(tmp_path)
    for sha256, content, size_max in [(OTHER, CONTENT, 10**6), (SHA256, CONTENT, 5)]:
        with pytest.raises((BlobMismatch, BlobTooLarge)):
            await blobs.put(sha256, parts(content), size_max=size_max)

    assert files_in(tmp_path) == []


async def test_what_a_crash_left_over_goes_at_a_start_when_it_is_old(tmp_path: Path) -> None:
    RealBlobs(tmp_path)
    long_ago, just_now = tmp_path / "incoming" / "half", tmp_path / "incoming" / "new"
    for one in (long_ago, just_now):
        one.write_bytes(b"abc")
    age(long_ago)
    RealBlobs(tmp_path)

    assert list((tmp_path / "incoming").iterdir()) == [just_now]


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "a" * 63, "/" * 64])
async def test_only_a_hash_becomes_a_path(tmp_path: Path, name: str) -> None:
    blobs = RealBlobs(tmp_path)

    with pytest.raises(BlobNotFound):
        await read(blobs, name)
    with pytest.raises(BlobNotFound):
        await blobs.put(name, parts(), size_max=10**6)
    assert await blobs.missing([name]) == [name]


async def test_a_full_disk_says_so_and_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = RealBlobs(tmp_path)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(NoSpace):
        await blobs.put(SHA256, parts(), size_max=10**6)

    assert files_in(tmp_path) == []


async def test_the_bytes_are_synced_before_they_have_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    blobs = RealBlobs(tmp_path)
    fsync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        done.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        done.append("name")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    await blobs.put(SHA256, parts(), size_max=10**6)

    assert done == ["file", "name", "folder", "folder"]  # its own folder, and the one above


def test_a_secret_is_for_its_owner_alone(tmp_path: Path) -> None:
    disk, path = RealDisk(), tmp_path / "new" / "key"
    old = os.umask(0)
    try:
        disk.write_secret(path, b"one")
        disk.write_secret(path, b"two")
    finally:
        os.umask(old)

    assert disk.read(path) == b"two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [one.name for one in path.parent.iterdir()] == ["key"]


def test_what_others_write_of_a_secret_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "key"
    theirs = tmp_path / f".key.{os.getpid()}"  # on another machine the same process
    theirs.write_bytes(b"half")
    RealDisk().write_secret(path, b"whole")

    assert theirs.read_bytes() == b"half"
    assert path.read_bytes() == b"whole"


@pytest.mark.parametrize("disk", [RealDisk(), FakeDisk()])
def test_of_two_processes_that_make_a_key_the_first_does(disk: Disk, tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"

    assert disk.make_secret(path, b"one") == b"one"
    assert disk.make_secret(path, b"two") == b"one"
    assert disk.read(path) == b"one"
    assert [one.name for one in path.parent.glob("*")] in (["key"], [])  # one is in memory


def test_a_key_is_made_where_a_file_system_has_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", none)

    assert RealDisk().make_secret(tmp_path / "key", b"one") == b"one"
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert files_in(tmp_path) == [tmp_path / "key"]


def test_what_a_crash_left_of_a_secret_goes_when_it_is_old(tmp_path: Path) -> None:
    old, new = (tmp_path / f".key.{digit * 32}" for digit in "12")
    for one in (old, new, tmp_path / ".profile", tmp_path / "key"):
        one.write_bytes(b"x")
        age(one)
    new.touch()
    remove_left_overs(tmp_path)

    assert sorted(files_in(tmp_path)) == sorted([new, tmp_path / ".profile", tmp_path / "key"])


def test_a_file_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert RealDisk().read(tmp_path / "key") is None


@pytest.mark.parametrize(("mode", "was", "left"), [(0o755, "0755", 0o700), (0o700, "", 0o700)])
def test_a_data_directory_that_is_open_to_others_is_closed(
    mode: int, was: str, left: int, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(mode)

    assert tighten(data) == was
    assert stat.S_IMODE(data.stat().st_mode) == left


def test_what_another_process_says_meanwhile_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / ".central.json"
    theirs.write_bytes(b"half")
    announce(tmp_path, CentralProcess(url="http://127.0.0.1:1", pid=1))

    assert running_on(tmp_path) == CentralProcess(url="http://127.0.0.1:1", pid=1)
    assert theirs.read_bytes() == b"half"


def test_a_start_removes_what_a_crash_left_of_a_secret(tmp_path: Path) -> None:
    left_over = tmp_path / f".key.{'1' * 32}"
    left_over.touch()
    age(left_over)
    with locked(tmp_path):
        assert not left_over.exists()


def test_a_store_that_is_a_link_is_locked_with_the_directory_that_it_lies_in(
    tmp_path: Path,
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    two.mkdir()
    (two / "store.sqlite").symlink_to(one / "store.sqlite")
    with locked(one):
        (one / "store.sqlite").touch()
        with pytest.raises(DataInUse, match=f"runs on {one}"), locked(two):
            pass
    with locked(two), pytest.raises(DataInUse), locked(one):
        pass


async def test_the_beginnings_of_blobs_come_in_order(blobs: Blobs) -> None:
    await blobs.put(SHA256, parts(), size_max=len(CONTENT))
    empty = hashlib.sha256(b"").hexdigest()
    await blobs.put(empty, parts(b""), size_max=0)

    assert await blobs.beginnings([SHA256, OTHER, empty], 4) == [b"abca", None, b""]
    assert await blobs.beginnings([SHA256], 10**6) == [CONTENT]
