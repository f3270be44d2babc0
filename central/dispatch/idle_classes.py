"""Classes without waiting or running jobs: forgotten after a while, and read again on demand."""

from collections.abc import Iterable
from typing import Final

from ..ports import Clock
from .memory import Memory

KEEP_S: Final = 300.0  # longer than it takes to read a job and to queue it again
SWEEP_S: Final = 60.0


class IdleClasses:
    """Keeps used classes in memory, and forgets the others after KEEP_S."""

    def __init__(self, memory: Memory, clock: Clock) -> None:
        self._queue, self._classes, self._leases = memory.queue, memory.classes, memory.leases
        self._clock = clock
        self._since: dict[int, float] = {}  # classes that were idle in the last sweep
        self._swept = clock.monotonic()

    async def load(self, class_ids: Iterable[int]) -> None:
        """Load classes into memory. They stay for at least KEEP_S."""
        wanted, now = set(class_ids), self._clock.monotonic()
        absent = sorted(wanted - self._queue.classes.keys())
        # Before the others are read, since a sweep may run during the read.
        self._since.update(dict.fromkeys(wanted.difference(absent), now))
        if absent:
            for info in await self._classes.read(absent):
                self._queue.learn(info)
                self._since[info.spec.class_id] = now

    def sweep(self) -> None:
        """Forget classes that have been idle for KEEP_S."""
        now = self._clock.monotonic()
        if now < self._swept + SWEEP_S:
            return
        self._swept = now
        leased, matcher = self._leases.class_ids(), self._queue.matcher
        for class_id, info in list(self._queue.classes.items()):
            if class_id in leased or not matcher.is_idle(class_id):
                self._since.pop(class_id, None)
            elif now >= self._since.setdefault(class_id, now) + KEEP_S:
                del self._since[class_id]
                self._queue.forget_class(class_id)
                self._classes.forget(info)
