"""Requests to one host at once: few are sent, some wait, the others are refused."""

import asyncio

import pytest

from pilotage.central.identity.providers.provider_http import TooManyRequests
from pilotage.central.operate.providers.host_turns import HostTurns
from tests.fake_central import settle


class Host:
    """Requests that hold their turns until the test ends them."""

    def __init__(self, turns: HostTurns, name: str = "iam.test") -> None:
        self.turns, self.name = turns, name
        self.sent = list[int]()
        self.end = asyncio.Event()

    async def ask(self, number: int) -> None:
        async with self.turns.turn(self.name):
            self.sent.append(number)
            await self.end.wait()


async def test_further_requests_wait_in_their_order() -> None:
    host = Host(HostTurns(at_once_max=2, waiting_max=3))
    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(host.ask(number))
        await settle()
        at_once = list(host.sent)
        with pytest.raises(TooManyRequests, match=r"iam\.test: 3 requests of this central wait"):
            await host.ask(5)
        host.end.set()

    assert at_once == [0, 1]
    assert host.sent == [0, 1, 2, 3, 4]
    await host.ask(6)
    assert host.sent[-1] == 6


async def test_a_slow_host_delays_no_other() -> None:
    turns = HostTurns(at_once_max=1, waiting_max=0)
    slow, other = Host(turns), Host(turns, "other.test")
    other.end.set()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(slow.ask(1))
        await settle()
        await other.ask(2)
        slow.end.set()

    assert other.sent == [2]


async def test_a_request_that_is_cancelled_gives_its_turn_back() -> None:
    host = Host(HostTurns(at_once_max=1, waiting_max=1))
    async with asyncio.TaskGroup() as tasks:
        running, waiting = (tasks.create_task(host.ask(number)) for number in (1, 2))
        await settle()
        waiting.cancel()
        await settle()
        third = tasks.create_task(host.ask(3))
        await settle()
        running.cancel()
        await settle()
        host.end.set()

    assert host.sent == [1, 3] and not third.cancelled()
