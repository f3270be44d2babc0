"""The task group and the time limit of Python 3.9, against what 3.11 promises of its own."""

import asyncio
import contextlib

import pytest

from pilotage.proto.tasks import Tasks, time_limit


async def _note(notes: list[str], word: str, turns: int = 0) -> None:
    try:
        for _ in range(turns):
            await asyncio.sleep(0)
        notes.append(word)
        if word == "for ever":
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        notes.append("cancelled")
        raise


async def _fail(turns: int = 2) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)
    raise KeyError("failed")


async def test_the_block_waits_for_every_task() -> None:
    notes: list[str] = []

    async with Tasks() as tasks:
        tasks.start(_note(notes, "late", 5))
        tasks.start(_note(notes, "early"))

    assert notes == ["early", "late"]


async def test_a_failing_task_cancels_its_siblings_and_the_block() -> None:
    notes: list[str] = []

    with pytest.raises(KeyError, match="failed"):
        async with Tasks() as tasks:
            tasks.start(_note(notes, "for ever"))
            tasks.start(_fail())
            await asyncio.Event().wait()

    assert notes == ["for ever", "cancelled"]
    await asyncio.sleep(0)  # the cancellation of the block was taken back


async def test_a_task_that_fails_after_the_block_has_ended_comes_out_too() -> None:
    notes: list[str] = []

    with pytest.raises(KeyError):
        async with Tasks() as tasks:
            tasks.start(_note(notes, "for ever"))
            tasks.start(_fail())

    assert notes == ["for ever", "cancelled"]


async def test_an_exception_of_the_block_cancels_the_tasks_and_comes_out() -> None:
    notes: list[str] = []

    with pytest.raises(ValueError, match="block"):
        async with Tasks() as tasks:
            tasks.start(_note(notes, "for ever"))
            await asyncio.sleep(0)
            raise ValueError("block")

    assert notes == ["for ever", "cancelled"]


@pytest.mark.parametrize("inside", [True, False], ids=["in the block", "while it waits"])
async def test_a_cancellation_from_outside_cancels_the_tasks_and_stays_one(inside: bool) -> None:
    notes: list[str] = []

    async def whole() -> None:
        async with Tasks() as tasks:
            tasks.start(_note(notes, "for ever"))
            if inside:
                await asyncio.Event().wait()

    async with Tasks() as outer:
        task = outer.start(whole())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()

    assert task.cancelled()
    assert notes == ["for ever", "cancelled"]


async def test_tasks_may_start_tasks() -> None:
    notes: list[str] = []

    async def spawn(tasks: Tasks) -> None:
        tasks.start(_note(notes, "inner", 3))

    async with Tasks() as tasks:
        tasks.start(spawn(tasks))

    assert notes == ["inner"]


async def test_a_cancelled_task_is_no_failure() -> None:
    async with Tasks() as tasks:
        tasks.start(asyncio.Event().wait()).cancel()


async def test_a_block_over_its_limit_ends_with_a_timeout() -> None:
    with pytest.raises(asyncio.TimeoutError):
        async with time_limit(0.001):
            await asyncio.Event().wait()

    await asyncio.sleep(0)


async def test_a_block_within_its_limit_keeps_its_own_end() -> None:
    async with time_limit(60):
        await asyncio.sleep(0)
    with pytest.raises(KeyError):
        async with time_limit(60):
            await _fail()


async def test_a_block_without_a_limit_is_not_ended() -> None:
    async with time_limit(None):
        await asyncio.sleep(0.01)


async def test_limits_inside_one_another_do_not_mix() -> None:
    async with time_limit(60):
        with pytest.raises(asyncio.TimeoutError):
            async with time_limit(0.001):
                await asyncio.Event().wait()

    with pytest.raises(asyncio.TimeoutError):
        async with time_limit(0.001), time_limit(60):
            await asyncio.Event().wait()


async def test_a_cancellation_inside_a_limit_is_no_timeout() -> None:
    async def whole() -> None:
        async with time_limit(60):
            await asyncio.Event().wait()

    async with Tasks() as tasks:
        task = tasks.start(whole())
        await asyncio.sleep(0)
        task.cancel()

    assert task.cancelled()


async def test_a_task_that_loses_its_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pilotage.proto.tasks.CANCEL_AGAIN_S", 0.01)

    async def hard_of_hearing() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        await asyncio.Event().wait()

    with pytest.raises(KeyError):
        async with time_limit(1.0), Tasks() as tasks:
            tasks.start(hard_of_hearing())
            await asyncio.sleep(0)
            await _fail()
