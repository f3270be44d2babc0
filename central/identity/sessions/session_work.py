"""Work on sessions: one piece at a time for each session, to the end even if its caller leaves."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar
from weakref import WeakValueDictionary

from ...errors import DependencyUnavailable, Refused
from ..providers.provider_http import BadProvider, ProviderAway

T = TypeVar("T")

_Expected = Refused | DependencyUnavailable | ProviderAway | BadProvider
_EXPECTED: Final = (Refused, DependencyUnavailable, ProviderAway, BadProvider)


class SessionWork:
    """Carries requests to providers to their end: they give each refresh token once."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Carry work to its end from now on. Ends by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def lock(self, session: str) -> asyncio.Lock:
        """Return the lock of a session."""
        lock = self._locks.get(session)
        if lock is None:  # the dictionary drops a lock that nobody holds or waits for
            lock = self._locks[session] = asyncio.Lock()
        return lock

    async def to_the_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Await work that goes on if the caller is cancelled."""
        if self._tasks is None:
            return await work
        outcome = await asyncio.shield(self._tasks.create_task(_outcome(work)))
        if isinstance(outcome, _EXPECTED):
            raise outcome
        return outcome


async def _outcome(work: Coroutine[Any, Any, T]) -> T | _Expected:
    """Return the result of `work`, or its refusal: an exception would end the group of tasks."""
    try:
        return await work
    except _EXPECTED as why:
        return why
