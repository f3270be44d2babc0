"""Time and chance as the client needs them, so that tests can turn the clock by hand."""

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Protocol


class Pace(Protocol):
    """A monotonic clock, a way to wait, and the spread of back-offs."""

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    def uniform(self, low: float, high: float) -> float: ...


class RealPace:
    """The machine's clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)


def pauses(pace: Pace, *, first_s: float = 0.1, longest_s: float = 5.0) -> Iterator[float]:
    """Yield waiting times for ever: doubling up to `longest_s`, each spread by ± 50 %.

    The spread keeps many clients that lost the same central from returning at the same moment.
    """
    pause_s = first_s
    while True:
        yield pause_s * pace.uniform(0.5, 1.5)
        pause_s = min(2 * pause_s, longest_s)
