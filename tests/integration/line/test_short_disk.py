"""A central whose disk is short: what it refuses, and what goes on."""

import asyncio

import pytest

from pilotage.central.accounts.disk_room import EVERY_S, DiskRoom
from pilotage.central.app.api import ApiHealth
from pilotage.central.observe.events import no_log
from pilotage.central.store.errors import StoreFull
from pilotage.proto.api.health import Readiness
from pilotage.proto.transformation_states import TaskState, TransformationState
from tests.fakes import FakeInstallation

from .test_data_transformations import registered, story as story_of_files
from .test_failover_cycle import CYCLE_S, GIVEN, reported
from .test_on_fakes import lasts, story, submission, submit
from .test_transformations import added, is_in, until

MB = 1_000_000
S = TransformationState


class Disk:
    """A disk of 1 000 MB, so that the reserve is 25 MB."""

    def __init__(self) -> None:
        self.free_mb = 500

    async def read(self) -> tuple[int, int]:
        return self.free_mb * MB, 1_000 * MB


async def with_disk(world: FakeInstallation) -> Disk:
    """Start the central again, on a disk."""
    world.space = disk = Disk()
    await world.kill()
    await world.start()
    return disk


async def left(disk: Disk, free_mb: int) -> None:
    """Let so much be left, and wait until the central has seen it."""
    disk.free_mb = free_mb
    await asyncio.sleep(EVERY_S + 1.0)


async def ready_beside(world: FakeInstallation) -> Readiness:
    """Return how a process beside the leader is, on the same disk."""
    room = DiskRoom(world.space, world.clock, no_log, reserve_mb=0.0)
    await room.look()
    one = ApiHealth(world.store, world.clock, room)
    one.set_ready(True)
    return one.ready()


@pytest.mark.parametrize(
    ("free_mb", "is_ready", "short"),
    [(51, True, "ok"), (49, True, "uploads are refused"), (24, False, "and submissions are")],
)
def test_a_central_that_refuses_uploads_alone_is_ready_and_says_what_is_short(
    free_mb: int, is_ready: bool, short: str
) -> None:
    async def tell(world: FakeInstallation) -> None:
        disk = await with_disk(world)
        await left(disk, free_mb)
        found = world.central.services.health.ready()
        beside = await ready_beside(world)

        assert found.ready is beside.ready is is_ready
        assert short in found.disk
        assert short in beside.disk
        if is_ready:
            await submit(world, submission(1))
        else:
            with pytest.raises(StoreFull):
                await submit(world, submission(1))

    story(tell, script=lasts(30.0))


def test_one_that_has_no_room_for_tasks_waits_and_holds_up_no_other() -> None:
    async def tell(world: FakeInstallation) -> None:
        disk = await with_disk(world)
        ends = await added(world, tasks=2)
        await until(world, ends, lambda view: view.tasks_made == 2)
        await left(disk, 24)
        waits = await added(world, name="waits", tasks=3)
        waiting = await until(world, waits, lambda view: view.reason.startswith("waits: "))
        done = await until(world, ends, is_in(S.COMPLETED))
        disk.free_mb = 500
        view = await until(world, waits, is_in(S.COMPLETED))

        assert (waiting.state, waiting.tasks_made) == (S.ACTIVE, 0)
        assert "24.0 MB free, 25.0 MB required" in waiting.reason
        assert done.tasks == {TaskState.DONE: 2}
        assert (view.tasks, view.reason) == ({TaskState.DONE: 3}, "")

    story(tell, script=lasts(30.0))


def test_one_that_waits_for_room_is_not_flushed() -> None:
    async def tell(world: FakeInstallation) -> None:
        disk = await with_disk(world)
        await registered(world, range(1, 3))
        one = await added(world, **{**GIVEN, "grouping": {"size": 2}, "tasks_open_max": 1})
        await until(world, one, lambda view: view.tasks == {TaskState.DONE: 1})
        await left(disk, 24)
        await registered(world, range(3, 6))
        await until(world, one, lambda view: view.reason.startswith("waits: "))
        await asyncio.sleep(5 * CYCLE_S)
        before = await reported(world)
        disk.free_mb = 500
        view = await until(world, one, is_in(S.COMPLETED))

        assert before == []
        assert view.tasks == {TaskState.DONE: 3}

    story_of_files(tell, script=lasts(30.0))
