"""The backlog: every job that is here, and each way in which one comes, moves and goes.

Ledger, queues and classes are changed here and nowhere else. Two things are noted for others:
whose best job became a better one (the index looks it up) and who had none before (parked offers
are looked up for those).
"""

from array import array
from collections.abc import Iterable
from typing import Final

from .classes import Classes, JobClass, job_of
from .ledger import KEPT, PENDING, WAITING, Ledger, mark_of, priority_of, state_of
from .types import ClassSpec

NOTES_MAX: Final = 4096


class Improved:
    """The last few thousand slots whose best job became a better one, numbered through."""

    __slots__ = ("first", "slots")

    def __init__(self) -> None:
        self.first = 0  # number of the oldest note that is still here
        self.slots: list[int] = []

    @property
    def end(self) -> int:
        """Number of the next note."""
        return self.first + len(self.slots)

    def note(self, slot: int) -> None:
        if len(self.slots) >= NOTES_MAX:
            self.first += NOTES_MAX // 2
            del self.slots[: NOTES_MAX // 2]
        self.slots.append(slot)

    def forget(self) -> None:
        """Forget all notes: the slots in them mean nothing any more."""
        self.first = self.end
        self.slots.clear()

    def since(self, number: int) -> list[int] | None:
        """Return the notes from this number on, or None if some are gone."""
        return None if number < self.first else self.slots[number - self.first :]


class Backlog:
    """Jobs that wait, are kept for a woken pilot, or are pending."""

    def __init__(self) -> None:
        self._ledger = Ledger()
        self.classes = Classes(self._ledger)
        self.improved = Improved()
        self.roused: set[int] = set()  # slots of classes in which no job waited before
        self.waiting = 0  # kept ones included

    @property
    def ledger(self) -> Ledger:
        """For looking at; only this class writes."""
        return self._ledger

    def add_class(self, spec: ClassSpec) -> JobClass:
        return self.classes.add(spec)

    def renumber(self) -> None:
        """Give all classes new slots, without the empty ones."""
        new = self.classes.renumber()
        self.roused = {slot for old in self.roused if (slot := new[old]) is not None}
        self.improved.forget()

    def state(self, job: int) -> int:
        return state_of(self._ledger.mark(job))

    def class_of(self, job: int) -> JobClass:
        """Return the class of a job that is here."""
        return self.classes.by_slot[self._ledger.slot(job)]

    def priority(self, job: int) -> int:
        return priority_of(self._ledger.mark(job))

    def add(self, class_id: int, priority: int, jobs: Iterable[int]) -> None:
        """Queue jobs; those that are here already are left alone."""
        cls = self.classes.get(class_id)
        queue = cls.queue(priority)
        new = self._ledger.enter(_rising(jobs), cls.slot, mark_of(WAITING, priority))
        if new:
            queue.extend(new)
            self.waiting += len(new)
            cls.here += len(new)
            self._came(cls, priority, len(new))

    def take(self, cls: JobClass) -> int:
        """Take the best job of a class; it is pending."""
        self.waiting -= 1
        return self._draw(cls, PENDING)

    def keep(self, cls: JobClass) -> int:
        """Take the best job of a class out of its queue; it waits on, out of reach."""
        return self._draw(cls, KEPT)

    def release(self, job: int) -> None:
        """Let a kept job wait in its old place again."""
        mark = self._ledger.mark(job)
        assert state_of(mark) == KEPT, "only a kept job is released"
        self._requeue(job, priority_of(mark))

    def put_back(self, job: int) -> None:
        """Let a pending job wait in its old place again."""
        mark = self._ledger.mark(job)
        assert state_of(mark) == PENDING, "only a pending job is put back"
        self.waiting += 1
        self._requeue(job, priority_of(mark))

    def forget(self, job: int) -> None:
        """Forget a job that is here, whatever it does."""
        mark = self._ledger.mark(job)
        cls = self.class_of(job)
        self._ledger.erase(job)
        cls.here -= 1
        if state_of(mark) != PENDING:
            self.waiting -= 1
        if state_of(mark) == WAITING:
            cls.left(priority_of(mark), job)

    def set_priority(self, job: int, priority: int) -> None:
        """Change the priority of a job that is here; a pending one comes back with it."""
        mark = self._ledger.mark(job)
        if priority_of(mark) == priority:
            return
        cls = self.class_of(job)
        queue = cls.queue(priority)
        self._ledger.write(job, mark_of(state_of(mark), priority))
        if state_of(mark) == WAITING:
            cls.left(priority_of(mark), job)
            queue.push(job)
            self._came(cls, priority, 1)

    def _draw(self, cls: JobClass, state: int) -> int:
        assert cls.entry is not None, "a class without waiting jobs was chosen"
        job = job_of(cls.entry[0])
        priority = self.priority(job)
        self._ledger.write(job, mark_of(state, priority))
        cls.left(priority, job)
        return job

    def _requeue(self, job: int, priority: int) -> None:
        cls = self.class_of(job)
        self._ledger.write(job, mark_of(WAITING, priority))
        cls.queue(priority).push(job)
        self._came(cls, priority, 1)

    def _came(self, cls: JobClass, priority: int, count: int) -> None:
        if not cls.waiting:
            self.roused.add(cls.slot)
        if cls.came(priority, count):
            self.improved.note(cls.slot)


def _rising(jobs: Iterable[int]) -> "array[int]":
    """Return jobs in rising order, each once."""
    if isinstance(jobs, range) and jobs.step == 1:
        return array("q", jobs)
    return array("q", sorted(set(jobs)))
