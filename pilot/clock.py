"""The pilot's clock and randomness: the only modules that ask the operating system for them."""

import asyncio
import random
import secrets
import time


class BootClock:
    """Driver of ports.Clock with CLOCK_BOOTTIME, which also runs while the node is suspended."""

    def now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def wall() -> float:
    """Return seconds since 1970-01-01 UTC, for the times in the log."""
    return time.time()


class SystemRandomness:
    """Driver of ports.Randomness."""

    def token(self) -> str:
        return secrets.token_urlsafe(32)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)
