"""The virtual clock: time jumps, nothing waits, and what can never go on is said."""

import asyncio
import time

import pytest

from tests import virtual


def test_a_day_passes_at_once() -> None:
    async def day() -> float:
        begun = virtual.now()
        await asyncio.sleep(86_400)
        return virtual.now() - begun

    begun = time.perf_counter()
    assert virtual.run(day()) == pytest.approx(86_400)
    assert time.perf_counter() - begun < 5


def test_timers_fire_in_the_order_of_their_time() -> None:
    async def story() -> list[int]:
        seen: list[int] = []

        async def after(delay: int) -> None:
            await asyncio.sleep(delay)
            seen.append(delay)

        await asyncio.gather(*(after(delay) for delay in (3, 1, 2)))
        return seen

    assert virtual.run(story()) == [1, 2, 3]


def test_waiting_for_what_nobody_does_is_a_deadlock() -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    with pytest.raises(virtual.Deadlock, match="waits"):
        virtual.run(waits())


def test_a_loop_without_an_end_is_cut() -> None:
    async def for_ever() -> None:
        for _ in range(1_000_000):
            await asyncio.sleep(1)

    with pytest.raises(virtual.TooLong):
        virtual.run(for_ever(), limit_s=100)


def test_threads_do_not_exist_there() -> None:
    async def threads() -> None:
        await asyncio.get_running_loop().run_in_executor(None, print)

    with pytest.raises(RuntimeError, match="threads"):
        virtual.run(threads())
