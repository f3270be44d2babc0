"""The reserve of the disk: uploads stop first, submissions later, and it is said once."""

from collections.abc import AsyncIterator

import pytest

from pilotage.central.accounts.disk_room import OF_OUTPUTS, DiskRoom
from pilotage.central.errors import NoSpace
from pilotage.central.store.errors import StoreFull
from tests.fake_central import FakeClock

MB = 1_000_000


class Disk:
    """A disk of 1 000 MB; None: nobody can tell."""

    def __init__(self) -> None:
        self.free_mb: float | None = 500.0

    async def read(self) -> tuple[int, int] | None:
        return None if self.free_mb is None else (int(self.free_mb * MB), 1_000 * MB)


class Stage:
    def __init__(self, reserve_mb: float = 0.0) -> None:
        self.disk, self.clock, self.told = Disk(), FakeClock(), list[str]()
        self.room = DiskRoom(self.disk, self.clock, self._log, reserve_mb=reserve_mb)

    def _log(self, event: str, **fields: object) -> None:
        self.told.append(event)

    async def now(self, free_mb: float | None) -> "Stage":
        self.disk.free_mb = free_mb
        self.clock.move(2.0)
        await self.room.look()
        return self

    async def refused(self) -> tuple[bool, bool]:
        """Return whether uploads and submissions are refused."""
        found: list[bool] = []
        for check in (self.room.check_upload, self.room.check_new):
            try:
                await check()
                found.append(False)
            except (NoSpace, StoreFull) as why:
                assert why.status == 507
                found.append(True)
        return found[0], found[1]


@pytest.mark.parametrize(
    ("reserve_mb", "free_mb", "refused"),
    [
        (0.0, 51.0, (False, False)),  # 2.5 % of 1 000 MB are kept
        (0.0, 49.0, (True, False)),
        (0.0, 24.0, (True, True)),
        (100.0, 201.0, (False, False)),
        (100.0, 199.0, (True, False)),
        (100.0, 99.0, (True, True)),
        (100.0, None, (False, False)),
    ],
)
async def test_uploads_stop_at_twice_the_reserve_and_submissions_at_the_reserve(
    reserve_mb: float, free_mb: float | None, refused: tuple[bool, bool]
) -> None:
    stage = await Stage(reserve_mb).now(free_mb)

    assert await stage.refused() == refused
    assert bool(stage.room.short) is refused[0]


async def test_outputs_of_jobs_may_come_until_the_reserve() -> None:
    stage = await Stage(100.0).now(150.0)
    await stage.room.check_upload(50 * MB, share=OF_OUTPUTS)
    with pytest.raises(NoSpace):
        await stage.room.check_upload(51 * MB, share=OF_OUTPUTS)


async def test_a_file_that_would_touch_the_reserve_is_refused_before_it_comes() -> None:
    stage = await Stage(100.0).now(250.0)
    await stage.room.check_upload(50 * MB)
    with pytest.raises(
        NoSpace, match="uploads are refused: 250.0 MB free, [0-9.]+ MB required; make room"
    ):
        await stage.room.check_upload(51 * MB)


async def test_files_that_come_together_count_together_between_two_looks() -> None:
    stage = await Stage(100.0).now(250.0)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield bytes(2 * MB)

    async def taken() -> int:
        return sum([len(one) async for one in stage.room.watched(chunks())])

    assert await taken() == 40 * MB
    with pytest.raises(NoSpace):
        await taken()


async def test_what_is_stored_counts_twice_for_the_log_and_the_file_of_the_store() -> None:
    stage = await Stage(100.0).now(250.0)
    for _ in range(7):
        await stage.room.check_new(10 * MB)
    with pytest.raises(StoreFull, match="110.0 MB free, 120.0 MB required"):
        await stage.room.check_new(10 * MB)
    await stage.room.check_new(5 * MB)


async def test_a_shortage_is_logged_when_it_begins_and_when_it_ends() -> None:
    stage = Stage(100.0)
    for free_mb in (500.0, 150.0, 120.0, 50.0, 300.0, 300.0):
        await stage.now(free_mb)

    assert stage.told == ["disk_short", "disk_has_room"]
