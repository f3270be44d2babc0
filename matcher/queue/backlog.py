"""The backlog: every known job, and all changes of its state.

Only this module changes the ledger, queues and classes. It records the classes that had no waiting
job before, because parked offers must be searched for them.
"""

from array import array
from collections.abc import Iterable

from ..limits.fair_shares import Shares
from ..limits.submission_caps import SubmissionCap
from ..types import ClassSpec
from .job_classes import ClassTable, JobClass, job_of
from .ledger import KEPT, PENDING, WAITING, Ledger, mark_of, priority_of, state_of
from .wide_classes import WideClasses


class Backlog:
    """Jobs that wait, are kept for a woken pilot, or are pending."""

    def __init__(self, shares: Shares) -> None:
        self._ledger = Ledger()
        self.shares = shares
        self.classes = ClassTable()
        self.wide = WideClasses()
        self.now = 0.0  # the last reading of the caller's clock
        self.roused: set[int] = set()  # slots of classes that had no waiting job before
        self.waiting = 0  # including kept jobs
        self.caps: dict[
            tuple[str, str, str], SubmissionCap
        ] = {}  # by community, owner and submission

    @property
    def ledger(self) -> Ledger:
        """The ledger, for reading only."""
        return self._ledger

    def add_class(self, spec: ClassSpec) -> JobClass:
        owner = self.shares.owner(spec.community, spec.group, spec.owner)
        cls = self.classes.add(spec, owner)
        if spec.submission:
            key = _cap_key(spec)
            cap = self.caps.get(key)
            if cap is None:
                cap = self.caps[key] = SubmissionCap(spec.running_max, self)
            cls.cap, cls.is_shut = cap, cap.is_used_up
            cap.slots.append(cls.slot)
        return cls

    def forget_class(self, class_id: int) -> JobClass | None:
        """Forget a class without jobs, and return it. None if it has some, or is unknown."""
        cls = self.classes.forget(class_id)
        if cls is not None and cls.cap is not None:
            cls.cap.slots.remove(cls.slot)
            if not cls.cap.slots and not cls.cap.out:
                del self.caps[_cap_key(cls.spec)]
        return cls

    def turned(self, cap: SubmissionCap) -> None:
        """Open or shut the classes of a submission, whose limit was released or used up."""
        for slot in cap.slots:
            cls = self.classes.by_slot[slot]
            if cap.is_used_up:
                cls.shut(True)
                if cls.waiting:
                    self._ran_out(cls)
            else:
                if cls.waiting:
                    self._rouse(cls)
                cls.shut(False)

    def state(self, job: int) -> int:
        return state_of(self._ledger.mark(job))

    def class_of(self, job: int) -> JobClass:
        """Return the class of a known job."""
        return self.classes.by_slot[self._ledger.slot(job)]

    def priority(self, job: int) -> int:
        return priority_of(self._ledger.mark(job))

    def add(self, class_id: int, priority: int, jobs: Iterable[int]) -> None:
        """Queue jobs; known jobs are left alone."""
        cls = self.classes.get(class_id)
        queue = cls.queue(priority)
        new = self._ledger.enter(_rising(jobs), cls.slot, mark_of(WAITING, priority))
        if new:
            if cls.arrivals is not None:
                cls.arrivals.came(new[-1], self.now)
            if len(new) == 1:
                queue.push(new[0])
            else:
                queue.extend(new)
            self.waiting += len(new)
            cls.here += len(new)
            self._came(cls, priority, len(new))

    def take(self, cls: JobClass) -> int:
        """Take the best job of a class; it is pending."""
        self.waiting -= 1
        job = self._draw(cls, PENDING)
        if cls.is_wide:
            cls.served_at = self.now
            if cls.waiting:
                self.wide.put_last(cls)
        return job

    def keep(self, cls: JobClass) -> int:
        """Take the best job of a class out of its queue; it still waits, but cannot be matched."""
        job = self._draw(cls, KEPT)
        if cls.cap is not None:
            cls.cap.count(1)
        return job

    def release(self, job: int) -> None:
        """Return a kept job to its old place in the queue."""
        mark = self._ledger.mark(job)
        assert state_of(mark) == KEPT, "only a kept job is released"
        self._requeue(job, priority_of(mark))
        self._uncount_kept(job)

    def put_back(self, job: int) -> None:
        """Return a pending job to its old place in the queue."""
        mark = self._ledger.mark(job)
        assert state_of(mark) == PENDING, "only a pending job is put back"
        self.waiting += 1
        self._requeue(job, priority_of(mark))

    def confirm(self, job: int) -> None:
        """Forget a pending job."""
        cls = self.classes.by_slot[self._ledger.slot(job)]
        self._ledger.erase(job)
        cls.here -= 1

    def forget(self, job: int) -> None:
        """Forget a known job in any state."""
        mark = self._ledger.mark(job)
        cls = self.class_of(job)
        if state_of(mark) == KEPT:
            self._uncount_kept(job)
        self._ledger.erase(job)
        cls.here -= 1
        if state_of(mark) != PENDING:
            self.waiting -= 1
        if state_of(mark) == WAITING:
            self._left(cls, priority_of(mark), job)

    def set_priority(self, job: int, priority: int) -> None:
        """Change the priority of a known job; a pending job gets it if it returns."""
        mark = self._ledger.mark(job)
        if priority_of(mark) == priority:
            return
        cls = self.class_of(job)
        queue = cls.queue(priority)
        self._ledger.write(job, mark_of(state_of(mark), priority))
        if state_of(mark) == WAITING:
            cls.left(priority_of(mark), job)  # without making the owner idle in between
            queue.push(job)
            if not cls.waiting and not cls.is_shut:
                self.roused.add(cls.slot)
            cls.came(priority, 1)

    def _draw(self, cls: JobClass, state: int) -> int:
        assert cls.entry is not None, "a class without waiting jobs was chosen"
        job, priority = job_of(cls.entry[0]), cls.best_priority
        self._ledger.write(job, mark_of(state, priority))
        cls.left(priority, job)
        if not cls.waiting:
            self._ran_out(cls)
        return job

    def _requeue(self, job: int, priority: int) -> None:
        cls = self.class_of(job)
        self._ledger.write(job, mark_of(WAITING, priority))
        cls.queue(priority).push(job)
        self._came(cls, priority, 1)

    def _came(self, cls: JobClass, priority: int, count: int) -> None:
        if not cls.waiting and not cls.is_shut:
            self._rouse(cls)
        cls.came(priority, count)

    def _rouse(self, cls: JobClass) -> None:
        self.roused.add(cls.slot)
        self.shares.woke(cls.owner, self.now)
        if cls.is_wide:
            self.wide.add(cls, self.now)

    def _uncount_kept(self, job: int) -> None:
        cap = self.class_of(job).cap
        if cap is not None:
            cap.count(-1)

    def _left(self, cls: JobClass, priority: int, job: int) -> None:
        cls.left(priority, job)
        if not cls.waiting and not cls.is_shut:
            self._ran_out(cls)

    def _ran_out(self, cls: JobClass) -> None:
        self.shares.slept(cls.owner)
        if cls.is_wide:
            self.wide.remove(cls)


def _cap_key(spec: ClassSpec) -> tuple[str, str, str]:
    return (spec.community, spec.owner, spec.submission)


def _rising(jobs: Iterable[int]) -> "array[int]":
    """Return jobs in rising order, each once."""
    is_run = isinstance(jobs, range) and jobs.step == 1
    if is_run or (isinstance(jobs, tuple) and len(jobs) == 1):
        return array("q", jobs)
    return array("q", sorted(set(jobs)))
