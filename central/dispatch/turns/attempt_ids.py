"""Attempt ids from blocks that the store reserves; no id is used twice."""

from ...jobs import record as job_records
from ...store.engine import Store

BLOCK = 1_000


class AttemptIds:
    """Hands out ids. It calls the store only once for each block."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._next = self._end = 0

    def at_hand(self, count: int) -> int | None:
        """Return an id as `take` does, or None if the block has too few ids left."""
        taken = self._next
        if self._end - taken < count:
            return None
        self._next += count
        return taken

    async def take(self, count: int) -> int:
        """Return the first of `count` consecutive ids."""
        while (taken := self.at_hand(count)) is None:
            size = max(BLOCK, count)
            first = await self._store.write(job_records.reserve_attempts, size)
            if self._end - self._next < count:  # another call may have got a new block by now
                self._next, self._end = first, first + size
        return taken
