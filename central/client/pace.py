"""The clock and the random numbers of the client. Tests replace them."""

import asyncio
import random
import time
from collections.abc import Iterator
from typing import Protocol


class Pace(Protocol):
    """A monotonic clock, waiting, and the jitter of pauses."""

    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    def uniform(self, low: float, high: float) -> float: ...


class RealPace:
    """The clock of the machine."""

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)


def pauses(pace: Pace, *, first_s: float = 0.1, longest_s: float = 5.0) -> Iterator[float]:
    """Yield pauses without end. They double up to `longest_s`, with a jitter of ± 50 %.

    The jitter keeps the clients of a restarted central from returning at the same moment.
    """
    pause_s = first_s
    while True:
        yield pause_s * pace.uniform(0.5, 1.5)
        pause_s = min(2 * pause_s, longest_s)
