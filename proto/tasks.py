"""Structured concurrency for Python 3.9: TaskGroup and asyncio.timeout as in Python 3.11.

The pilot runs on Python 3.9 and the client on 3.10. The central uses asyncio's own.
"""

import asyncio
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Optional

# Cancel a task again if it still runs after this time. Before Python 3.12, asyncio.wait_for, which
# aiomqtt uses, loses a cancellation that arrives together with its result.
CANCEL_AGAIN_S = 2.0


class Tasks:
    """A group of tasks that end together.

    `async with Tasks() as tasks: tasks.start(coroutine)`. The block waits for all tasks. The first
    exception, from a task or from the block, cancels the rest and is raised. No task outlives the
    block.
    """

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()
        self._owner: Optional[asyncio.Task[Any]] = None
        self._first: Optional[BaseException] = None
        self._cancelled_owner = False
        self._waiting = False
        self._before = 0

    async def __aenter__(self) -> "Tasks":
        self._owner = asyncio.current_task()
        self._before = _cancellations(self._owner)
        return self

    def start(self, coroutine: Coroutine[Any, Any, Any], *, name: str = "") -> "asyncio.Task[Any]":
        """Run the coroutine as a task of this group."""
        assert self._owner is not None, "a group is entered before it starts tasks"
        if self._first is not None:
            coroutine.close()
            raise RuntimeError("the group is ending: one of its tasks has failed")
        task = asyncio.create_task(coroutine, name=name or None)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        if self._first is not None:
            return
        self._first = task.exception()
        self._cancel_all()
        # The block awaits something else: interrupt it. __aexit__ takes the mark back.
        if not self._waiting and self._owner is not None and not self._owner.done():
            self._cancelled_owner = True
            self._owner.cancel()

    def _cancel_all(self) -> None:
        for task in tuple(self._running):
            task.cancel()

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self._waiting = True
        if error is not None:
            if self._first is None and not isinstance(error, asyncio.CancelledError):
                self._first = error
            self._cancel_all()
        cancelled = isinstance(error, asyncio.CancelledError) and not self._cancelled_owner
        while self._running:
            ending = cancelled or error is not None or self._first is not None
            try:
                await asyncio.wait(
                    tuple(self._running),
                    timeout=CANCEL_AGAIN_S if ending else None,
                    return_when=asyncio.ALL_COMPLETED if ending else asyncio.FIRST_COMPLETED,
                )
                if ending:
                    self._cancel_all()
            except asyncio.CancelledError:
                cancelled = cancelled or not self._cancelled_owner
                self._cancel_all()
        if self._cancelled_owner:
            _uncancel(self._owner)
            cancelled = cancelled or _cancellations(self._owner) > self._before
        if cancelled:
            raise asyncio.CancelledError
        if self._first is not None and self._first is not error:
            raise self._first


class time_limit:
    """Cancel the block after `seconds` and raise asyncio.TimeoutError: `async with time_limit(5):`.

    None sets no limit. Before Python 3.11, asyncio.TimeoutError is not the built-in TimeoutError.
    """

    def __init__(self, seconds: Optional[float]) -> None:
        self._seconds = seconds
        self._task: Optional[asyncio.Task[Any]] = None
        self._timer: Optional[asyncio.TimerHandle] = None
        self._over = False
        self._before = 0

    async def __aenter__(self) -> "time_limit":
        self._task = asyncio.current_task()
        self._before = _cancellations(self._task)
        loop = asyncio.get_running_loop()
        if self._seconds is not None:
            self._timer = loop.call_later(max(0.0, self._seconds), self._cut)
        return self

    def _cut(self) -> None:
        assert self._task is not None
        self._over = True
        self._task.cancel()

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._over:
            _uncancel(self._task)
            # A second cancellation at the same time came from outside and has precedence.
            ours = _cancellations(self._task) <= self._before
            if isinstance(error, asyncio.CancelledError) and ours:
                raise asyncio.TimeoutError from error


def _uncancel(task: "Optional[asyncio.Task[Any]]") -> None:
    """Take back a cancellation that this module requested: Python counts them from 3.11 on."""
    uncancel = getattr(task, "uncancel", None)
    if uncancel is not None:
        uncancel()


def _cancellations(task: "Optional[asyncio.Task[Any]]") -> int:
    """Return the number of requested cancellations of the task; 0 if Python does not count them."""
    cancelling = getattr(task, "cancelling", None)
    return 0 if cancelling is None else int(cancelling())
