"""Work on sessions: one piece at a time for each session, to its end even if its caller leaves.

A provider gives each refresh token once. If the central loses the answer that has the next one, or
uses one twice, the person must log in again.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from weakref import WeakValueDictionary

from pilotage.proto.problems import Code

from ...errors import DependencyUnavailable, Refused
from ...ports import Clock
from ...store.errors import StoreError
from ..providers.provider_http import BadProvider, ProviderAway

STOP_S: Final = 12.0  # for running work at a stop: more than one request to a provider takes
RUNNING_MAX: Final = 2_000  # counted pieces of work, also those that wait for their session
OF_SESSION_MAX: Final = 64  # the same for one session: commands that start at once share a login

T = TypeVar("T")

_Expected = Refused | DependencyUnavailable | StoreError | ProviderAway | BadProvider
_EXPECTED: Final = (Refused, DependencyUnavailable, StoreError, ProviderAway, BadProvider)


class NoWorkNow(Refused):
    """The work was not begun: this central stops, or too much work waits. Try again later."""


class SessionWork:
    """Does the work on all sessions. Before `run`, work ends if its caller is cancelled."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._tasks: asyncio.TaskGroup | None = None
        self._running = set[asyncio.Task[object]]()
        self._counted: dict[asyncio.Task[object], str] = {}  # running, to the session
        self._of_session = Counter[str]()
        self._is_stopping = False

    async def run(self) -> None:
        """Carry work to its end from now on. Ends by cancellation.

        It then refuses new work, and gives running work STOP_S to end.
        """
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await asyncio.Event().wait()
            finally:
                self._is_stopping = True
                await self._finish()

    async def alone(
        self, session: str, work: Callable[[], Awaitable[T]], *, is_ending: bool = False
    ) -> T:
        """Do work on a session when no other is under way; return its result.

        The work waits and goes on even if the caller is cancelled. Work must not do other work on
        the same session. Work that ends the session is not counted: requests of a thief must not
        keep its holder from a logout. Raises what `work` raises; NoWorkNow.
        """
        self._check_stop()
        if not is_ending and self._is_full(session):
            why = "too many requests wait for an identity provider: try again in some minutes"
            raise NoWorkNow(Code.TOO_MANY, why)
        if self._tasks is None:
            async with self._lock(session):
                return await work()
        task = self._tasks.create_task(self._outcome(session, work))
        self._running.add(task)
        if not is_ending:
            self._counted[task] = session
            self._of_session[session] += 1
        task.add_done_callback(self._ended)
        outcome = await asyncio.shield(task)
        if isinstance(outcome, _EXPECTED):
            raise outcome
        return outcome

    def is_busy(self, session: str) -> bool:
        """Return whether work on a session is under way, or waits."""
        lock = self._locks.get(session)
        return self._of_session[session] > 0 or (lock is not None and lock.locked())

    async def _outcome(self, session: str, work: Callable[[], Awaitable[T]]) -> T | _Expected:
        """Return the result of `work`, or its refusal: an exception would end the task group."""
        try:
            async with self._lock(session):
                self._check_stop()  # it may have begun meanwhile
                return await work()
        except _EXPECTED as why:
            return why

    def _ended(self, task: asyncio.Task[T]) -> None:
        self._running.discard(task)
        session = self._counted.pop(task, None)
        if session is None:
            return
        self._of_session[session] -= 1
        if not self._of_session[session]:
            del self._of_session[session]

    def _is_full(self, session: str) -> bool:
        """Return whether too much work waits, or too much for this session."""
        return len(self._counted) >= RUNNING_MAX or self._of_session[session] >= OF_SESSION_MAX

    def _check_stop(self) -> None:
        """Raise NoWorkNow if this central stops."""
        if self._is_stopping:
            raise NoWorkNow(Code.UNAVAILABLE, "this central is stopping: try again in a minute")

    async def _finish(self) -> None:
        """Await running work, at most STOP_S."""
        async with asyncio.TaskGroup() as waiting:
            limit = waiting.create_task(self._clock.sleep(STOP_S))
            while self._running and not limit.done():
                await asyncio.wait({limit, *self._running}, return_when=asyncio.FIRST_COMPLETED)
            limit.cancel()

    def _lock(self, session: str) -> asyncio.Lock:
        """Return the lock of a session."""
        lock = self._locks.get(session)
        if lock is None:  # the dictionary drops a lock without holder and waiters
            lock = self._locks[session] = asyncio.Lock()
        return lock
