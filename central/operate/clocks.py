"""Real time and real randomness."""

import asyncio
import random
import secrets
import time


class SystemClock:
    """Driver of `ports.Clock`."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SystemRandomness:
    """Driver of `ports.Randomness`: secrets from the operating system."""

    def token(self, size: int = 32) -> str:
        return secrets.token_urlsafe(size)

    def uniform(self, low: float, high: float) -> float:
        return random.SystemRandom().uniform(low, high)
