"""Classes: jobs that are matched as one, with a queue for each priority."""

from typing import Final

from pilotage.proto.ids import ID_MAX
from pilotage.proto.job import PRIORITY_MAX, PRIORITY_MIN

from .errors import UnknownClass
from .ledger import WAITING, Ledger, mark_of
from .queues import Queue
from .types import ClassSpec

_ID_BITS: Final = ID_MAX.bit_length()

# The order of the head of a class among all heads, smaller first, and the slot of the class.
# An entry is made once for each head and shared, so that "is it the present one" is an identity.
Entry = tuple[int, int]


def rank(priority: int, job: int) -> int:
    """Return a number that orders jobs: higher priority first, then older first."""
    return (PRIORITY_MAX - priority) << _ID_BITS | job


def job_of(rank_: int) -> int:
    return rank_ & ((1 << _ID_BITS) - 1)


class JobClass:
    """One class: its queues, and the entry of its best job."""

    __slots__ = ("_ledger", "_levels", "entry", "here", "queues", "slot", "spec", "waiting")

    def __init__(self, spec: ClassSpec, slot: int, ledger: Ledger) -> None:
        self.spec = spec
        self.slot = slot
        self.queues: dict[int, Queue] = {}  # by priority
        self.entry: Entry | None = None
        self.waiting = 0  # within reach
        self.here = 0  # kept and pending ones too
        self._ledger = ledger
        self._levels = 0  # a bit for each priority at which jobs wait

    def queue(self, priority: int) -> Queue:
        """Return the queue of a priority, made on first use."""
        queue = self.queues.get(priority)
        if queue is None:
            assert PRIORITY_MIN <= priority <= PRIORITY_MAX, f"no such priority: {priority}"
            mark = mark_of(WAITING, priority)
            queue = self.queues[priority] = Queue(self._ledger, self.slot, mark)
        return queue

    def came(self, priority: int, count: int) -> bool:
        """Look again after jobs came to a queue. True if the best job is now a better one."""
        self.waiting += count
        self._levels |= 1 << priority
        old = self.entry
        self._look()
        return self.entry is not None and (old is None or self.entry[0] < old[0])

    def left(self, priority: int, job: int) -> None:
        """Look again after a job left a queue."""
        self.waiting -= 1
        queue = self.queues[priority]
        queue.leave()
        if not queue.waiting:
            self._levels &= ~(1 << priority)
        if self.entry is not None and self.entry[0] == rank(priority, job):
            self._look()

    def renumber(self, slot: int) -> None:
        """Take another slot; the ledger is told too."""
        self.slot = slot
        for queue in self.queues.values():
            queue.renumber(slot)
        if self.entry is not None:
            self.entry = (self.entry[0], slot)

    def before(self, rank_: int) -> int:
        """Return how many jobs wait here that come before this place in the order."""
        own = PRIORITY_MAX - (rank_ >> _ID_BITS)
        ahead = sum(queue.waiting for priority, queue in self.queues.items() if priority > own)
        if own in self.queues:
            ahead += self.queues[own].older_than(job_of(rank_))
        return ahead

    def _look(self) -> None:
        if not self._levels:
            self.entry = None
            return
        priority = self._levels.bit_length() - 1
        job = self.queues[priority].head()
        assert job is not None, "a queue that counts waiting jobs has a head"
        found = rank(priority, job)
        if self.entry is None or self.entry[0] != found:
            self.entry = (found, self.slot)


class Classes:
    """All known classes, by id and by slot.

    A slot is not used again until `renumber` gives all classes new ones; it is empty until then.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._by_id: dict[int, JobClass] = {}
        self.by_slot: list[JobClass] = []

    def __contains__(self, class_id: int) -> bool:
        return class_id in self._by_id

    def add(self, spec: ClassSpec) -> JobClass:
        """Make a class that is not known yet."""
        added = JobClass(spec, len(self.by_slot), self._ledger)
        self._by_id[spec.class_id] = added
        self.by_slot.append(added)
        return added

    def forget(self, class_id: int) -> bool:
        """Forget a class of which no job is here. False if some is, or if it is not known."""
        cls = self._by_id.get(class_id)
        if cls is None or cls.here:
            return False
        del self._by_id[class_id]
        return True

    @property
    def empty_slots(self) -> int:
        return len(self.by_slot) - len(self._by_id)

    def renumber(self) -> list[int | None]:
        """Give all classes new slots in the old order; return the new one of each old slot."""
        new: list[int | None] = [None] * len(self.by_slot)
        self.by_slot = [cls for cls in self.by_slot if self._by_id.get(cls.spec.class_id) is cls]
        for slot, cls in enumerate(self.by_slot):
            new[cls.slot] = slot
            cls.renumber(slot)
        self._ledger.renumber([slot or 0 for slot in new])  # no job is in a slot without a class
        return new

    def __len__(self) -> int:
        return len(self._by_id)

    def get(self, class_id: int) -> JobClass:
        """Return a class. Raises UnknownClass."""
        try:
            return self._by_id[class_id]
        except KeyError:
            raise UnknownClass(class_id) from None
