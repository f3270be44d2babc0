"""Work on the files of strangers: nobody waits for it who does not want to."""

import asyncio
import io
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.pilot.files import archives, workspace
from pilotage.pilot.files.worker_thread import BackgroundWork, GoOn, WorkAbandoned
from pilotage.pilot.files.workspace import Workspaces
from pilotage.pilot.ports import TooLarge


def until_given_up(go_on: GoOn) -> str:
    while True:
        go_on()
        time.sleep(0.001)


async def test_what_takes_too_long_is_given_up_and_ends_by_itself() -> None:
    work = BackgroundWork(until_given_up)

    with pytest.raises(TimeoutError, match="not finished after 0 s"):
        await work.result(0.01)
    assert await work.ends(10)


async def test_what_nobody_waits_for_any_more_ends_by_itself() -> None:
    work = BackgroundWork(until_given_up)
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(work.result(100))
        await asyncio.sleep(0.01)
        waiting.cancel()

    assert waiting.cancelled()
    assert await work.ends(10)


async def test_a_result_and_what_is_said_against_it_come_through() -> None:
    def full(go_on: GoOn) -> None:
        raise TooLarge("too large")

    assert await BackgroundWork(lambda go_on: 7).result(10) == 7
    with pytest.raises(TooLarge):
        await BackgroundWork(full).result(10)


def bomb(path: Path, size: int, name: str = "zeros") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = size
        tar.addfile(member, io.BytesIO(bytes(size)))
    return path


def rooms(*bytes_free: int) -> Callable[[Path], int]:
    """Return a disk that has so much room, each time it is asked; the last for ever."""
    left = list(bytes_free)

    def room(folder: Path) -> int:
        return left.pop(0) if len(left) > 1 else left[0]

    return room


async def test_work_that_hangs_keeps_no_neighbour_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, extract = threading.Event(), archives.extract

    def hangs(archive: Path, root: Path, *, bytes_max: int, go_on: GoOn) -> int:
        if archive.name == "bad":
            released.wait(30)
        return extract(archive, root, bytes_max=bytes_max, go_on=go_on)

    monkeypatch.setattr(archives, "extract", hangs)
    monkeypatch.setattr(workspace, "END_PATIENCE_S", 0.01)
    folders = Workspaces(tmp_path)
    bad, good = bomb(tmp_path / "bad", 9), bomb(tmp_path / "good", 9)
    held = [folders.make(number) for number in range(50)]
    neighbour = folders.make(50)
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        many = [tasks.create_task(folders.unpack(bad, one / "work", "", True)) for one in held]
        await asyncio.sleep(0)
        await folders.unpack(good, neighbour / "work", "", True)
        for number, one in enumerate(many):
            one.cancel()
            await folders.remove(number)
    later = folders.make(51)
    released.set()

    assert (neighbour / "work" / "zeros").stat().st_size == 9
    assert later not in held, "a thread may still write there"


async def test_an_input_takes_no_more_than_the_job_was_given_and_leaves_nothing(
    tmp_path: Path,
) -> None:
    folders, archive = Workspaces(tmp_path), bomb(tmp_path / "a.tgz", 4_000_000)
    folder = folders.make(1)
    laid = await folders.unpack(archive, folder / "work", "", True, bytes_max=5_000_000)

    assert laid == 4_000_512
    with pytest.raises(TooLarge, match=r"more than 999488 bytes, all that is left of the scratch"):
        await folders.unpack(archive, folder / "work", "", True, bytes_max=5_000_000 - laid)
    with pytest.raises(TooLarge, match=r"has \d+ bytes, but there is room for 10 bytes"):
        await folders.unpack(archive, folder / "work", "a", False, bytes_max=10)
    assert not list((folder / "work").iterdir())


async def test_an_input_does_not_fill_the_disk_and_says_whose_fault_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, archive = Workspaces(tmp_path), bomb(tmp_path / "a.tgz", 4_000_000)
    folder = folders.make(1)
    monkeypatch.setattr(workspace, "_room", rooms(3_000_000))

    with pytest.raises(
        TooLarge, match="more than 3 MB: the disk has 3 MB for input; set scratch_mb"
    ):
        await folders.unpack(archive, folder / "work", "", True)
    with pytest.raises(OSError, match="the disk has 3 MB") as promised:
        await folders.unpack(archive, folder / "work", "", True, bytes_max=5_000_000)
    assert not isinstance(promised.value, TooLarge), "another node has what was promised"


async def test_what_others_write_meanwhile_counts_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders, archive = Workspaces(tmp_path), bomb(tmp_path / "a.tgz", 4_000_000)
    folder = folders.make(1)
    monkeypatch.setattr(workspace, "_room", rooms(9_000_000, 5_000_000, 2_000_000, -1))

    with pytest.raises(TooLarge, match="it fills the disk"):
        await folders.unpack(archive, folder / "work", "", True)
    assert not list((folder / "work").iterdir())


def test_a_file_that_the_disk_has_no_room_for_is_not_even_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = Workspaces(tmp_path)
    folder = folders.make(1)
    monkeypatch.setattr(workspace, "_room", rooms(*[3_000_000] * 3))

    assert folders.room(folder, 3_000_000) == 3_000_000
    with pytest.raises(
        TooLarge, match="it has 4.0 MB: the disk has 3 MB for input; set scratch_mb"
    ):
        folders.room(folder, 4_000_000)
    with pytest.raises(OSError, match="it has 4.0 MB: the disk has 3 MB for input") as found:
        folders.room(folder, 4_000_000, bytes_max=5_000_000)
    assert not isinstance(found.value, TooLarge), "another node may have what was promised"


async def test_a_checkpoint_unpacks_to_no_more_than_one_may_have(tmp_path: Path) -> None:
    folders = Workspaces(tmp_path, checkpoint_bytes_max=1_000_000)
    archive, folder = bomb(tmp_path / "a.tgz", 2_000_000, "state/zeros"), folders.make(1)

    with pytest.raises(TooLarge, match="more than 1 MB"):
        await folders.restore(archive, folder, "state")
    assert sorted(one.name for one in folder.rglob("*")) == ["private", "tmp", "work"]


async def test_work_that_is_given_up_stops_within_an_archive(tmp_path: Path) -> None:
    archive, asked = bomb(tmp_path / "a.tgz", 40_000_000), list[int]()
    (tmp_path / "work").mkdir()

    def go_on() -> None:
        asked.append(1)
        if len(asked) > 5:
            raise WorkAbandoned

    with pytest.raises(WorkAbandoned):
        archives.extract(archive, tmp_path / "work", go_on=go_on)
    assert (tmp_path / "work" / "zeros").stat().st_size < 10_000_000


async def test_work_after_work_shares_threads_and_work_that_hangs_holds_up_none() -> None:
    release = threading.Event()
    hanging = [BackgroundWork(lambda _: release.wait(10)) for _ in range(3)]
    before = set(threading.enumerate())
    works = (BackgroundWork(lambda _: threading.current_thread()) for _ in range(50))
    used = {await one.result(10) for one in works}
    release.set()

    assert len(used - before) <= 3, "a thread serves again once it has told its result"
    assert all([await one.result(10) for one in hanging])
