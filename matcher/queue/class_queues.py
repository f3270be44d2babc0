"""The queue of one class at one priority: job ids in rising order, in 8 bytes each.

The ids are in blocks of some thousand, so an insertion or removal moves only one block. No entries
of removed jobs remain, so no sweep is needed.
"""

from array import array
from bisect import bisect_left, bisect_right
from typing import Final

BLOCK: Final = 2_048  # ids; half of them after a block was split


class ClassQueue:
    """Sorted ids. Those before the head of the first block have left already."""

    __slots__ = ("_blocks", "_firsts", "_head", "waiting")

    def __init__(self) -> None:
        self._blocks: list[array[int]] = []  # none is empty
        self._firsts: list[int] = []  # of each block: a lower bound of its ids
        self._head = 0
        self.waiting = 0

    def extend(self, jobs: "array[int]") -> None:
        """Add new jobs in rising order."""
        split = bisect_left(jobs, self._blocks[-1][-1]) if self._blocks else 0
        if split > BLOCK:  # the new jobs lie among many existing ones: build the blocks again
            jobs, split = array("q", sorted([*self.ids(), *jobs])), 0
            self._blocks, self._firsts, self._head, self.waiting = [], [], 0, 0
        for job in jobs[:split]:
            self.push(job)
        self.waiting += len(jobs) - split
        start = split
        if self._blocks and len(self._blocks[-1]) < BLOCK:
            start += BLOCK - len(self._blocks[-1])
            self._blocks[-1].extend(jobs[split:start])
        for at in range(start, len(jobs), BLOCK):
            self._firsts.append(jobs[at])
            self._blocks.append(jobs[at : at + BLOCK])

    def push(self, job: int) -> None:
        """Add a new job in the place of its id."""
        self.waiting += 1
        at = max(0, bisect_right(self._firsts, job) - 1)
        if not self._blocks or (job > self._blocks[-1][-1] and len(self._blocks[-1]) >= BLOCK):
            self._firsts.append(job)
            self._blocks.append(array("q", (job,)))
            return
        block = self._blocks[at]
        if at == 0:
            self._trim()
            self._firsts[0] = min(self._firsts[0], job)
        block.insert(bisect_left(block, job), job)
        if len(block) > BLOCK:
            self._blocks[at : at + 1] = [block[: BLOCK // 2], block[BLOCK // 2 :]]
            self._firsts.insert(at + 1, block[BLOCK // 2])

    def leave(self, job: int) -> None:
        """Remove a job of this queue."""
        self.waiting -= 1
        first = self._blocks[0]
        if first[self._head] == job:
            self._head += 1
            if self._head == len(first):
                self._drop(0)
            return
        at = bisect_right(self._firsts, job) - 1
        block = self._blocks[at]
        place = bisect_left(block, job)
        assert block[place] == job, "only a job that is here leaves"
        del block[place]
        if len(block) == (0 if at else self._head):
            self._drop(at)

    def head(self) -> int | None:
        """Return the oldest job."""
        return self._blocks[0][self._head] if self._blocks else None

    def older_than(self, job: int) -> int:
        """Return the number of older jobs in this queue."""
        at = bisect_right(self._firsts, job) - 1
        if at < 0:
            return 0
        before = sum([len(block) for block in self._blocks[:at]])
        return max(0, before + bisect_left(self._blocks[at], job) - self._head)

    def ids(self) -> list[int]:
        """Return the jobs of this queue, oldest first."""
        return [job for block in self._blocks for job in block][self._head :]

    def _trim(self) -> None:
        """Free the entries at the head that have left."""
        del self._blocks[0][: self._head]
        self._head = 0

    def _drop(self, at: int) -> None:
        del self._blocks[at], self._firsts[at]
        if at == 0:
            self._head = 0
