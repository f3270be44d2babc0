"""Virtual time beside a real store: it stands still while the store works.

The store has threads, whose answers come in real time. So the loop waits for them before it lets
time jump to the next timer: what is simulated sees a store that takes no time.
"""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar, cast

from tests.virtual import VirtualLoop

T = TypeVar("T")
PATIENCE_S = 60.0  # of real time: longer, and the store hangs


class YearLoop(VirtualLoop):
    """A virtual loop on which threads may answer."""

    def __init__(self, limit_s: float) -> None:
        self.under_way = 0  # calls of the store
        self._woken = threading.Event()
        super().__init__(limit_s)

    def let_pass(self, timeout: float | None) -> None:
        if self._woken.is_set() or not self.under_way:
            if not self._woken.is_set() and timeout != 0:
                super().let_pass(timeout)
        elif timeout != 0 and not self._woken.wait(PATIENCE_S):
            raise TimeoutError(f"{self.under_way} calls of the store do not return")
        self._woken.clear()

    async def held(self, call: Awaitable[T]) -> T:
        """Let time wait for a call that threads answer."""
        self.under_way += 1
        try:
            return await call
        finally:
            self.under_way -= 1

    def _write_to_self(self) -> None:
        self._woken.set()

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Any, *args: Any
    ) -> Any:
        """Run it in a thread; time waits for it."""
        self.under_way += 1
        future = asyncio.BaseEventLoop.run_in_executor(self, executor, func, *args)
        future.add_done_callback(self._returned)
        return future

    def _returned(self, _: object) -> None:
        self.under_way -= 1


class _Waited:
    """A store whose calls hold time."""

    def __init__(self, store: object, loop: YearLoop) -> None:
        self._of, self._loop = store, loop

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._of, name)
        return self._holding(found) if callable(found) else found

    def _holding(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def held(*args: Any, **named: Any) -> Any:
            result = call(*args, **named)
            if inspect.isawaitable(result):
                return self._loop.held(result)
            return self._each(result) if hasattr(result, "__aiter__") else result

        return held

    async def _each(self, values: AsyncIterable[Any]) -> AsyncIterator[Any]:
        rest = aiter(values)
        while True:
            try:
                value = await self._loop.held(anext(rest))
            except StopAsyncIteration:
                return
            yield value


def waited_for(store: T, loop: YearLoop) -> T:
    """Return the same store; time stands while it works."""
    return cast(T, _Waited(store, loop))
