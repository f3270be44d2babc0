"""The state of each job: its class and one byte, in pages of neighbouring ids.

Ids come from a counter, so neighbours arrive together. A page costs 5 bytes for each job. Only the
ledger holds a job's state.
"""

from array import array
from bisect import bisect_left
from typing import Final

PAGE_BITS: Final = 10
PAGE_SIZE: Final = 1 << PAGE_BITS
PAGE_MASK: Final = PAGE_SIZE - 1

ABSENT: Final = 0
WAITING: Final = 1  # in its queue
KEPT: Final = 2  # waits too, but outside the queue, for a woken pilot
PENDING: Final = 3  # matched, but not known to be stored
_STATE_MASK: Final = 3
_NO_CLASSES: Final = array("I", [0]) * PAGE_SIZE


def mark_of(state: int, priority: int) -> int:
    """Return the byte for a state and a priority."""
    return state | priority << 2


def state_of(mark: int) -> int:
    return mark & _STATE_MASK


def priority_of(mark: int) -> int:
    return mark >> 2


class LedgerPage:
    """The marks and the classes (as slots) of neighbouring ids."""

    __slots__ = ("count", "marks", "slots")

    def __init__(self) -> None:
        self.marks = bytearray(PAGE_SIZE)
        self.slots = array("I", _NO_CLASSES)
        self.count = 0


class Ledger:
    """A mark and a class for each known job."""

    __slots__ = ("pages",)

    def __init__(self) -> None:
        self.pages: dict[int, LedgerPage] = {}

    def mark(self, job: int) -> int:
        """Return the job's byte; 0 if it is unknown."""
        page = self.pages.get(job >> PAGE_BITS)
        return 0 if page is None else page.marks[job & PAGE_MASK]

    def slot(self, job: int) -> int:
        """Return the slot of the class of a known job."""
        return self.pages[job >> PAGE_BITS].slots[job & PAGE_MASK]

    def write(self, job: int, mark: int) -> None:
        """Change the mark of a known job."""
        self.pages[job >> PAGE_BITS].marks[job & PAGE_MASK] = mark

    def erase(self, job: int) -> None:
        """Forget a known job."""
        number = job >> PAGE_BITS
        page = self.pages[number]
        page.marks[job & PAGE_MASK] = ABSENT
        page.count -= 1
        if not page.count:
            del self.pages[number]

    def _enter_one(self, job: int, slot: int, mark: int) -> bool:
        page = self.pages.get(job >> PAGE_BITS)
        if page is None:
            page = self.pages[job >> PAGE_BITS] = LedgerPage()
        place = job & PAGE_MASK
        if page.marks[place] != ABSENT:
            return False
        page.marks[place] = mark
        page.slots[place] = slot
        page.count += 1
        return True

    def enter(self, jobs: "array[int]", slot: int, mark: int) -> "array[int]":
        """Record jobs, given in rising order, and return those that were unknown before."""
        if len(jobs) == 1:
            return jobs if self._enter_one(jobs[0], slot, mark) else jobs[:0]
        new: array[int] = array("q")
        start = 0
        while start < len(jobs):
            number = jobs[start] >> PAGE_BITS
            end = bisect_left(jobs, (number + 1) << PAGE_BITS, start)
            page = self.pages.get(number)
            if page is None:
                page = self.pages[number] = LedgerPage()
            part = jobs[start:end]
            new.extend(
                part if _enter_run(page, part, slot, mark) else _enter(page, part, slot, mark)
            )
            start = end
        return new


def _enter_run(page: LedgerPage, jobs: "array[int]", slot: int, mark: int) -> bool:
    """Record a run of consecutive new jobs in one stroke; return False if some are not new."""
    count = len(jobs)
    first = jobs[0] & PAGE_MASK
    if jobs[-1] - jobs[0] != count - 1 or any(page.marks[first : first + count]):
        return False
    page.marks[first : first + count] = bytes((mark,)) * count
    page.slots[first : first + count] = array("I", (slot,)) * count
    page.count += count
    return True


def _enter(page: LedgerPage, jobs: "array[int]", slot: int, mark: int) -> "array[int]":
    new: array[int] = array("q")
    for job in jobs:
        place = job & PAGE_MASK
        if page.marks[place] == ABSENT:
            page.marks[place] = mark
            page.slots[place] = slot
            page.count += 1
            new.append(job)
    return new
