"""An event loop on a virtual clock: no sockets, no threads, no waiting.

Time stands still while anything can run and then jumps to the next timer. When nothing can run and
no timer is left, nothing will ever happen again: that is a deadlock, and it is raised.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

START_S = 1_000.0  # not 0, so that a time that was forgotten to be set is seen


class Deadlock(Exception):
    """Every task waits for something that no task and no timer will do."""

    def __init__(self, waiting: list[str]) -> None:
        super().__init__("nothing will ever happen again; waiting: " + "; ".join(waiting))


class TooLong(Exception):
    """Virtual time has passed the limit: probably a loop without an end."""


class _Selector:
    """Stands where the loop looks for sockets: it only lets time pass."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        self._loop.let_pass(timeout)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """A loop whose time jumps. `limit_s` bounds how long the virtual world may live."""

    def __init__(self, limit_s: float) -> None:
        super().__init__()
        self.now = START_S  # the virtual time, whoever asks
        self._until_s = START_S + limit_s
        self._selector = _Selector(self)

    def time(self) -> float:
        return self.now

    def let_pass(self, timeout: float | None) -> None:
        """Jump to the next timer, which is `timeout` seconds away."""
        if timeout is None:
            raise Deadlock(sorted(repr(task.get_coro()) for task in asyncio.all_tasks(self)))
        self.now += max(0.0, timeout)
        if self.now > self._until_s:
            raise TooLong(f"{self.now - START_S:.0f} s of virtual time have passed")

    def lift_limit(self) -> None:
        """Let the tasks that are left end, whatever the time."""
        self._until_s = float("inf")

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        raise RuntimeError("no threads on the virtual clock")

    def _process_events(self, event_list: Any) -> None:
        assert not event_list

    def _write_to_self(self) -> None:
        pass  # wakes a selector that waits: ours never does


def run(main: Coroutine[Any, Any, T], *, limit_s: float = 1e6) -> T:
    """Run `main` on a fresh virtual loop and return its result. All its tasks end with it."""
    loop = VirtualLoop(limit_s)
    try:
        asyncio.set_event_loop(loop)
        task = loop.create_task(main)
        try:
            return loop.run_until_complete(task)
        finally:
            loop.lift_limit()
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _cancel_all(loop: VirtualLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))


def now() -> float:
    """Return the virtual time of the running loop."""
    return asyncio.get_running_loop().time()
