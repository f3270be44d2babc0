"""Jobs that wait for other jobs, on a central whose pilot says exactly what a test lets it say."""

import asyncio
from typing import Any

import pytest

from pilotage.central.dispatch.idle_classes import KEEP_S, SWEEP_S
from pilotage.central.jobs import record_dependencies as records
from pilotage.central.store.errors import StoreFull
from pilotage.proto.api.jobs import Action, ActionName
from pilotage.proto.documents.job import Dependency, Need, When
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Ask, Assignment, Attempt, How

from .test_protocol import OFFER, Scene, ended, scene

S = JobState


async def child_of(one: Scene, parent: int, when: When = "ok", **job: object) -> int:
    (child,) = await one.submit(1, after=(Dependency(job=parent, when=when),), **job)
    await settled()
    return child


async def settled() -> None:
    await asyncio.sleep(0.1)


async def run_next(
    one: Scene, *, exit_code: int = 0, beside: Assignment | None = None
) -> int | None:
    """Let the pilot run the next job; return it, or None if there is none."""
    one.ask_n += 1
    holding = (Attempt(beside.job, beside.epoch),) if beside is not None else ()
    reply = await one.turn(ask=Ask(n=one.ask_n, offer=OFFER, holding=holding))
    assert reply.ask is not None
    for given in reply.ask.assignments:
        await one.turn(ended(given, how=How.EXITED, exit_code=exit_code))
        await settled()
        return given.job
    return None


async def act(one: Scene, name: ActionName, *jobs: int, **fields: Any) -> None:
    action = Action(action=name, ids=jobs, **fields)
    await one.world.central.services.control.act(one.world.user(), action)
    await settled()


async def restart(one: Scene) -> None:
    await one.world.kill()
    await one.world.start()
    await settled()


def waits_for(one: Scene) -> dict[int, Any]:
    return one.world.central.memory.queue.dependencies.children


def test_a_child_runs_after_its_parent_and_not_before() -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        child = await child_of(one, parent)
        last = await child_of(one, child)
        ran = [await run_next(one) for _ in range(4)]

        assert ran == [parent, child, last, None]
        assert not waits_for(one)

    scene(tell)


def test_a_child_waits_also_after_a_restart() -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        child = await child_of(one, parent)
        await restart(one)
        given = await one.ask()
        await restart(one)
        nothing = await run_next(one, beside=given)
        await one.turn(ended(given))
        await settled()

        assert (given.job, nothing) == (parent, None)
        assert await run_next(one) == child

    scene(tell)


def test_a_parent_that_ended_while_nobody_looked_releases_its_child() -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        await run_next(one)
        child = await child_of(one, parent)
        await restart(one)

        assert await run_next(one) == child

    scene(tell)


def test_a_failed_parent_stops_its_child_until_it_is_rescheduled() -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        child = await child_of(one, parent)
        skipped = await child_of(one, parent, after_failed="skip")
        last = await child_of(one, skipped, "any")
        await run_next(one, exit_code=1)
        stopped = [await one.state(job) for job in (child, skipped)]
        await restart(one)
        await act(one, ActionName.RESCHEDULE, parent)
        waits = await one.state(child)
        ran = {await run_next(one) for _ in range(3)}

        assert stopped == [S.HELD, S.KILLED]
        assert waits is S.WAITING
        assert ran == {parent, child, last}

    scene(tell)


def test_a_clean_up_job_is_skipped_if_nothing_failed() -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        child = await child_of(one, parent, "fail")
        await run_next(one)

        assert await one.state(child) is S.KILLED

    scene(tell)


def test_a_release_lets_a_stopped_job_run_without_its_parent() -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        child = await child_of(one, parent)
        await act(one, ActionName.KILL, parent)
        await act(one, ActionName.RELEASE, child)
        await restart(one)

        assert await run_next(one) == child

    scene(tell)


def test_a_job_that_a_person_holds_is_not_released_by_its_parents() -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        child = await child_of(one, parent)
        await act(one, ActionName.HOLD, child)
        ran = [await run_next(one), await run_next(one)]
        held = await one.state(child)
        await act(one, ActionName.RELEASE, child)

        assert ran == [parent, None]
        assert held is S.HELD
        assert await run_next(one) == child

    scene(tell)


def test_a_job_that_was_held_and_released_still_waits() -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        child = await child_of(one, parent)
        given = await one.ask()
        await act(one, ActionName.HOLD, child)
        await act(one, ActionName.RELEASE, child)
        nothing = await run_next(one, beside=given)
        await one.turn(ended(given))
        await settled()

        assert nothing is None
        assert await run_next(one) == child

    scene(tell)


def test_the_queue_time_also_counts_while_a_job_waits_for_others() -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        child = await child_of(one, parent, queue_s=60)
        await asyncio.sleep(70.0)

        assert await one.state(child) is S.FAILED
        assert child not in waits_for(one)

    scene(tell)


def test_a_priority_that_is_set_while_a_job_waits_counts_when_it_is_released() -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        first, second = await child_of(one, parent), await child_of(one, parent)
        action = Action(action=ActionName.PRIORITY, ids=(second,), priority=9)
        await one.world.central.services.control.act(one.world.user(), action)

        assert [await run_next(one) for _ in range(3)] == [parent, second, first]

    scene(tell)


def test_a_full_store_delays_a_stop_and_no_release() -> None:
    async def tell(one: Scene) -> None:
        async def full(plain: Any, wanted: Any, at: float) -> Any:
            if any(item.verdict is not records.Verdict.RUN for item in wanted):
                raise StoreFull("the test says so")
            return await plain(wanted, at)

        (parent,) = await one.submit()
        child, other = await child_of(one, parent), await child_of(one, parent, "any")
        one.world.store.ways[records.settle] = full
        await run_next(one, exit_code=1)
        waits, ran = await one.state(child), await run_next(one)
        del one.world.store.ways[records.settle]
        await asyncio.sleep(2.0)

        assert (waits, ran) == (S.WAITING, other)
        assert await one.state(child) is S.HELD

    scene(tell)


@pytest.mark.parametrize("is_watched", [True, False])
def test_needs_that_change_while_a_job_waits_count_when_it_is_released(*, is_watched: bool) -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        child = await child_of(one, parent, needs=(Need(memory_mb=1_000_000),))
        if not is_watched:
            graph = one.world.central.memory.queue.dependencies
            (dependent,) = await one.world.store.read(records.dependents, [(child, 1)])
            graph.forget(child)
            graph.called = lambda: None  # the loop is busy
            graph.add([dependent])
        await act(one, ActionName.SET, child, needs={"memory_mb": 100})
        await asyncio.sleep(KEEP_S + 2 * SWEEP_S)  # the new class is idle
        before = await run_next(one)
        if not is_watched:
            await restart(one)

        assert [before, await run_next(one)] == [parent, child]

    scene(tell)


@pytest.mark.parametrize("does_restart", [True, False])
def test_a_held_job_that_is_retried_still_waits(*, does_restart: bool) -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        child = await child_of(one, parent)
        await act(one, ActionName.HOLD, child, parent)
        await act(one, ActionName.RETRY, child)
        if does_restart:
            await restart(one)
        nothing = await run_next(one)
        await act(one, ActionName.RELEASE, parent)

        assert nothing is None
        assert [await run_next(one), await run_next(one)] == [parent, child]

    scene(tell)


def test_a_large_fan_in_runs_once_the_last_parent_has_ended() -> None:
    async def tell(one: Scene) -> None:
        parents = await one.submit(50)
        all_of_them = tuple(Dependency(job=job, when="any") for job in parents)
        (child,) = await one.submit(after=all_of_them)
        ran = [await run_next(one, exit_code=n % 2) for n in range(52)]

        assert ran == [*parents, child, None]

    scene(tell)


def test_an_explanation_names_what_a_job_waits_for() -> None:
    async def tell(one: Scene) -> None:
        (parent,) = await one.submit()
        child = await child_of(one, parent)
        services = one.world.central.services
        waits = await services.explainer.job(one.world.user(), child)
        await act(one, ActionName.KILL, parent)
        stopped = await services.explainer.job(one.world.user(), child)
        detail = await services.queries.job(one.world.user(), child)

        assert waits.notes == [f"it waits for job {parent} to end well"]
        assert f"job {parent} is Killed" in stopped.notes[0]
        assert stopped.notes[0].endswith("a reschedule of that job, or after its own release")
        assert (detail.after, detail.after_count) == ([f"{parent}:ok"], 1)

    scene(tell)
