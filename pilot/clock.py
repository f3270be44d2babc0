"""The pilot's clock and its randomness: the only places that ask the operating system for them."""

import asyncio
import random
import secrets
import time


class BootClock:
    """Driver of ports.Clock: CLOCK_BOOTTIME, which goes on while the node is suspended."""

    def now(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemRandomness:
    """Driver of ports.Randomness."""

    def token(self) -> str:
        return secrets.token_urlsafe(32)

    def uniform(self, low: float, high: float) -> float:
        return random.uniform(low, high)
