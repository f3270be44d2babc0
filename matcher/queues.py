"""The queue of one class at one priority: job ids in rising order, in 8 bytes each.

Nothing is taken out of the middle. The ledger says which entries still count; what does not is
stepped over when it comes to the head, and swept out when it is more than half.
"""

from array import array
from bisect import bisect_left
from heapq import heapify, heappop, heappush
from typing import Final

from .ledger import PAGE_BITS, PAGE_MASK, Ledger

SLACK: Final = 64  # entries that are not worth sweeping
TRIM: Final = 4096  # ids before the head after which their room is given back


class Queue:
    """A row of ids that were added in order, with a head, and a heap of those that came late.

    Late is a job that was put back, or that is older than the last of the row. An id may have
    more than one entry; it counts once, since the ledger is changed when the job is taken.
    """

    __slots__ = ("_head", "_late", "_ledger", "_mark", "_row", "_slot", "waiting")

    def __init__(self, ledger: Ledger, slot: int, mark: int) -> None:
        self._ledger = ledger
        self._slot = slot
        self._mark = mark  # of the jobs that wait in this queue
        self._row: array[int] = array("q")
        self._head = 0
        self._late: list[int] = []
        self.waiting = 0

    def __len__(self) -> int:
        """The number of entries, dead ones included."""
        return len(self._row) - self._head + len(self._late)

    def renumber(self, slot: int) -> None:
        """The class has another slot; the ledger is told too."""
        self._slot = slot

    def extend(self, jobs: "array[int]") -> None:
        """Add jobs, in rising order, that the ledger has entered here."""
        self.waiting += len(jobs)
        split = bisect_left(jobs, self._row[-1]) if self._row else 0
        if split:
            self._late.extend(jobs[:split])
            heapify(self._late)
        self._row.extend(jobs[split:])
        self._tidy()

    def push(self, job: int) -> None:
        """Add a job in the place that its id gives it."""
        self.waiting += 1
        if not self._row or job > self._row[-1]:
            self._row.append(job)
        else:
            heappush(self._late, job)
            self._tidy()

    def leave(self) -> None:
        """Note that a job left: the ledger was changed, its entry is dead."""
        self.waiting -= 1
        self._tidy()

    def head(self) -> int | None:
        """Return the oldest waiting job: the smaller of the row's head and the heap's top."""
        pages, slot, mark = self._ledger.pages, self._slot, self._mark
        row, late = self._row, self._late
        at, end = self._head, len(row)
        while at < end:
            job = row[at]
            page = pages.get(job >> PAGE_BITS)
            place = job & PAGE_MASK
            if page is not None and page.marks[place] == mark and page.slots[place] == slot:
                break
            at += 1
        if at > TRIM and at > end >> 1:
            del row[:at]
            end -= at
            at = 0
        self._head = at
        while late and not self._ledger.agrees(late[0], slot, mark):
            heappop(late)
        if not late:
            return row[at] if at < end else None
        return min(late[0], row[at]) if at < end else late[0]

    def older_than(self, job: int) -> int:
        """Return how many jobs wait here that are older."""
        if len(self) == self.waiting:
            in_row = bisect_left(self._row, job, self._head) - self._head
            return in_row + sum(late < job for late in self._late)
        return bisect_left(self.ids(), job)

    def ids(self) -> list[int]:
        """Return the jobs that wait here, oldest first."""
        agrees, slot, mark = self._ledger.agrees, self._slot, self._mark
        entries = {*self._row[self._head :], *self._late}
        return sorted(job for job in entries if agrees(job, slot, mark))

    def _tidy(self) -> None:
        """Sweep when dead or late entries are more than half: constant work for each that came."""
        row = len(self._row) - self._head
        late = len(self._late)
        if row + late > 2 * self.waiting + SLACK or late > row + SLACK:
            self._row = array("q", self.ids())
            self._head = 0
            self._late = []
