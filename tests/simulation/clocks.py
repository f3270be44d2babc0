"""Clocks of simulated hosts, and randomness that a seed decides."""

import base64
import random
from collections.abc import Coroutine
from typing import Any

from tests.fakes import WALL_S

from .processes import Host, HostLoop


class CentralClock:
    """The central's clock: drifts with its host; the wall clock jumps."""

    def __init__(self, loop: HostLoop, host: Host) -> None:
        self._loop, self._host = loop, host

    def monotonic(self) -> float:
        return self._host.monotonic(self._loop.now)

    def wall(self) -> float:
        return WALL_S + self._loop.now + self._host.wall_jump_s

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        return sleep(self._loop, seconds)


class PilotClock:
    """CLOCK_BOOTTIME of a pilot's host."""

    def __init__(self, loop: HostLoop, host: Host) -> None:
        self._loop, self._host = loop, host

    def now(self) -> float:
        return self._host.boottime(self._loop.now)

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        return sleep(self._loop, seconds)


class ClientPace:
    """Time and chance of a submitter's client."""

    def __init__(self, loop: HostLoop, chance: random.Random) -> None:
        self._loop, self._chance = loop, chance

    def monotonic(self) -> float:
        return self._loop.time()

    def sleep(self, seconds: float) -> Coroutine[Any, Any, None]:
        return sleep(self._loop, seconds)

    def uniform(self, low: float, high: float) -> float:
        return self._chance.uniform(low, high)


class Tokens:
    """Repeatable tokens and spreads, for central and pilots."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def token(self, size: int = 32) -> str:
        drawn = self._chance.randbytes(size)
        return base64.urlsafe_b64encode(drawn).rstrip(b"=").decode()

    def uniform(self, low: float, high: float) -> float:
        return self._chance.uniform(low, high)


async def sleep(loop: HostLoop, seconds: float) -> None:
    """Wait so long on the clock of the host that waits."""
    future = loop.create_future()
    loop.call_later(max(0.0, seconds), _wake, future)
    await future


def _wake(future: "object") -> None:
    if not future.done():  # type: ignore[attr-defined]
        future.set_result(None)  # type: ignore[attr-defined]
