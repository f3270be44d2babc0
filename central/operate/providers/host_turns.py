"""Limits how many requests are sent to one host at once. Further ones wait for their turn."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from ...identity.providers.provider_http import TooManyRequests

AT_ONCE_MAX: Final = 16
WAITING_MAX: Final = 64


class _Host:
    def __init__(self, at_once_max: int) -> None:
        self.turns = asyncio.Semaphore(at_once_max)  # first come, first served
        self.requests = 0  # in progress and waiting


class HostTurns:
    """The requests in progress and waiting, host by host. One slow host delays no other.

    Requests for public documents, such as keys, have turns of their own at each host.
    """

    def __init__(self, *, at_once_max: int = AT_ONCE_MAX, waiting_max: int = WAITING_MAX) -> None:
        self._at_once_max, self._waiting_max = at_once_max, waiting_max
        self._hosts: dict[tuple[str, bool], _Host] = {}  # with requests

    @asynccontextmanager
    async def turn(self, name: str, *, is_public: bool = False) -> AsyncGenerator[None]:
        """Wait for a turn at a host, and hold it. Raises TooManyRequests if too many wait.

        A request holds its turn for a limited time, so the wait is limited too.
        """
        key = (name, is_public)
        host = self._hosts.setdefault(key, _Host(self._at_once_max))
        if host.requests >= self._at_once_max + self._waiting_max:
            why = f"{self._waiting_max} requests of this central wait for it already"
            raise TooManyRequests(f"{name}: {why}")
        host.requests += 1
        try:
            async with host.turns:
                yield
        finally:
            host.requests -= 1
            if not host.requests:
                del self._hosts[key]
