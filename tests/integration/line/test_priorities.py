"""A priority that a job gets while it is read, and put into the queue: what memory has is what the
store has."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from pilotage.central.dispatch.follow_up import FollowUp
from pilotage.central.identity.actions import Keep
from pilotage.central.jobs import record as job_records
from pilotage.central.jobs.record_types import JobMove
from pilotage.central.observe.events import no_log
from pilotage.proto.api.jobs import Action, ActionName
from pilotage.proto.job_states import JobState
from tests import virtual
from tests.fakes import FakeInstallation
from tests.integration.line.test_on_fakes import submission, submit

OLD, NEW = 0, 7


def story(tell: Callable[[FakeInstallation, int], Awaitable[None]]) -> None:
    async def whole() -> None:
        world = FakeInstallation()
        await world.start()
        (job,) = await submit(world, submission(1, priority=OLD))
        await tell(world, job)

        standing = (await world.store.write(job_records.standing, [job]))[job]
        assert (standing.state, standing.priority) == (JobState.WAITING, NEW)
        assert world.central.memory.queue.matcher.backlog.priority(job) == NEW
        await world.kill()

    virtual.run(whole(), limit_s=1_000)


async def act(world: FakeInstallation, job: int, name: ActionName) -> None:
    priority = NEW if name is ActionName.PRIORITY else None
    action = Action(action=name, ids=(job,), priority=priority)
    reply = await world.central.services.control.act(world.user(), action)
    assert reply.done == 1


@pytest.mark.parametrize("before", [True, False])
def test_a_priority_that_is_set_while_a_held_job_is_released_holds(before: bool) -> None:
    async def tell(world: FakeInstallation, job: int) -> None:
        await act(world, job, ActionName.HOLD)

        async def move(plain: Any, moves: Sequence[JobMove], keep: Keep | None = None) -> Any:
            if before:
                await act(world, job, ActionName.PRIORITY)
            done = await plain(moves, keep=keep)
            if not before:
                await act(world, job, ActionName.PRIORITY)
            return done

        world.store.ways[job_records.move] = move
        await act(world, job, ActionName.RELEASE)

    story(tell)


def test_a_priority_that_is_set_while_a_lost_match_is_read_again_holds() -> None:
    async def tell(world: FakeInstallation, job: int) -> None:
        queue = world.central.memory.queue
        queue.matcher.remove(job)

        async def standing(plain: Any, job_ids: Sequence[int]) -> Any:
            found = await plain(job_ids)
            del world.store.ways[job_records.standing]
            await act(world, job, ActionName.PRIORITY)
            return found

        world.store.ways[job_records.standing] = standing
        follow_up = FollowUp(
            store=world.store,
            memory=world.central.memory,
            bus=None,  # type: ignore[arg-type]
            tokens=None,  # type: ignore[arg-type]
            clock=world.clock,
            log=no_log,
        )
        await follow_up.read_again([job])

    story(tell)
