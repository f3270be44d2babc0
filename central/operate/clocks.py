"""Real time and real randomness."""

import asyncio
import random
import secrets
import time


def boottime() -> float:
    """Return seconds that also pass while the machine is suspended, if the system has them."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


class SystemClock:
    """Driver of `ports.Clock`."""

    # Called some ten times for each job, so without a wrapper.
    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemRandomness:
    """Driver of `ports.Randomness`: secrets from the operating system."""

    def token(self, size: int = 32) -> str:
        return secrets.token_urlsafe(size)

    def uniform(self, low: float, high: float) -> float:
        return random.SystemRandom().uniform(low, high)
