"""Classes: jobs that are matched alike, with a queue for each priority."""

from collections.abc import Iterable
from typing import Final, Protocol

from pilotage.proto.documents.job import PRIORITY_MAX, PRIORITY_MIN, Need
from pilotage.proto.ids import ID_MAX

from ..clauses.amounts import offered
from ..errors import UnknownClass
from ..limits.fair_shares import ShareNode
from ..limits.submission_caps import SubmissionCap
from ..types import ClassSpec
from .arrivals import Arrivals
from .class_queues import ClassQueue

_ID_BITS: Final = ID_MAX.bit_length()

# The order of the head of a class among all heads, smaller first, and the slot of the class. Each
# head has one shared entry, so that a comparison by identity tells whether it is still current.
QueueEntry = tuple[int, int]


def rank(priority: int, job: int) -> int:
    """Return a number that orders jobs: higher priority first, then older first."""
    return (PRIORITY_MAX - priority) << _ID_BITS | job


def job_of(rank_: int) -> int:
    return rank_ & ((1 << _ID_BITS) - 1)


class Watcher(Protocol):
    """The object that must know when the best job or the hunger of a class changes."""

    def changed(self, cls: "JobClass", old: QueueEntry | None) -> None: ...

    def hungers(self, cls: "JobClass") -> None: ...


class JobClass:
    """One class: its queues, and the entry of its best job."""

    __slots__ = (
        "_levels",
        "arrivals",
        "cap",
        "entry",
        "here",
        "first_row",
        "is_hungry",
        "is_shut",
        "is_wide",
        "needs",
        "owner",
        "prefers_until",
        "queues",
        "ripens",
        "served_at",
        "slot",
        "spec",
        "timer",
        "waiting",
        "waits_since",
        "watcher",
        "wide_order",
    )

    def __init__(self, spec: ClassSpec, slot: int, owner: ShareNode) -> None:
        self.spec = spec
        self.slot = slot
        self.owner = owner
        self.is_wide = any(_is_wide(need) for need in spec.needs)
        self.waits_since = 0.0  # of a wide class: since when jobs of it wait without a break
        self.wide_order = 0  # among waiting wide classes: the lowest was served longest ago
        self.ripens = False  # whether its wait is being timed
        self.is_hungry = False  # it has waited so long that it may reserve an offer
        self.served_at = float("-inf")  # of a wide class: when a job of it was last matched
        preference = spec.preference
        self.arrivals = Arrivals(preference.for_s) if preference and preference.sites else None
        self.watcher: Watcher | None = None
        self.first_row = 0  # in the index
        self.needs = (1 << len(spec.needs)) - 1  # a bit for each
        self.timer = 0.0  # when the index checks whether the preference is over
        self.prefers_until = 0.0  # until when the best job prefers its sites
        self.cap: SubmissionCap | None = None  # of its submission
        self.is_shut = False  # the cap is used up: no job of the class can be matched
        self.queues: dict[int, ClassQueue] = {}  # by priority
        self.entry: QueueEntry | None = None
        self.waiting = 0  # jobs that can be matched
        self.here = 0  # including kept and pending jobs
        self._levels = 0  # a bit for each priority with waiting jobs

    def queue(self, priority: int) -> ClassQueue:
        """Return the queue of a priority, which is made on first use."""
        queue = self.queues.get(priority)
        if queue is None:
            assert PRIORITY_MIN <= priority <= PRIORITY_MAX, f"no such priority: {priority}"
            queue = self.queues[priority] = ClassQueue()
        return queue

    def came(self, priority: int, count: int) -> None:
        """Update the best job after jobs were added to a queue."""
        self.waiting += count
        self._levels |= 1 << priority
        self._look()

    def left(self, priority: int, job: int) -> None:
        """Update the best job after a job left a queue."""
        self.waiting -= 1
        queue = self.queues[priority]
        queue.leave(job)
        if not queue.waiting:
            self._levels &= ~(1 << priority)
        entry = self.entry
        if entry is not None and entry[0] == (PRIORITY_MAX - priority) << _ID_BITS | job:
            self._look()

    def shut(self, is_shut: bool) -> None:
        """Set whether its jobs cannot be matched."""
        self.is_shut = is_shut
        self._look()

    def hunger(self, is_hungry: bool) -> None:
        """Set whether jobs of a wide class have waited for long."""
        self.is_hungry = is_hungry
        if self.watcher is not None:
            self.watcher.hungers(self)

    @property
    def best_priority(self) -> int:
        """The priority of the best job, which must exist."""
        return self._levels.bit_length() - 1

    def before(self, rank_: int) -> int:
        """Return the number of waiting jobs before this place in the order."""
        own = PRIORITY_MAX - (rank_ >> _ID_BITS)
        ahead = sum(queue.waiting for priority, queue in self.queues.items() if priority > own)
        if own in self.queues:
            ahead += self.queues[own].older_than(job_of(rank_))
        return ahead

    def _look(self) -> None:
        """Find the best job, and notify the watcher if it has changed."""
        old = self.entry
        if self._levels and not self.is_shut:
            priority = self._levels.bit_length() - 1
            job = self.queues[priority].head()
            assert job is not None, "a queue that counts waiting jobs has a head"
            found = (PRIORITY_MAX - priority) << _ID_BITS | job
            if old is not None and old[0] == found:
                return
            self.entry = (found, self.slot)
            if self.arrivals is not None:
                self.prefers_until = self.arrivals.prefers_until(job)
        else:
            if old is None:
                return
            self.entry = None
        if self.watcher is not None:
            self.watcher.changed(self, old)


def _is_wide(need: Need) -> bool:
    """Return whether a need asks for more than one core, so that smaller jobs may starve it."""
    return bool(
        need.cores_min > 1
        or need.whole_node
        or need.memory_mb
        or need.memory_per_core_mb
        or need.scratch_mb
        or need.gpus_min
        or offered(need)
    )


class ClassTable:
    """All known classes, by id and by slot. A new class may get the slot of a forgotten one."""

    def __init__(self) -> None:
        self.by_id: dict[int, JobClass] = {}
        self.by_slot: list[JobClass] = []  # including forgotten classes whose slot is still free
        self._free: list[int] = []

    def __contains__(self, which: object) -> bool:
        """Return whether a class is known, by itself or by its id."""
        if isinstance(which, JobClass):
            return self.by_id.get(which.spec.class_id) is which
        return which in self.by_id

    def add(self, spec: ClassSpec, owner: ShareNode) -> JobClass:
        """Add a new class."""
        slot = self._free.pop() if self._free else len(self.by_slot)
        added = self.by_id[spec.class_id] = JobClass(spec, slot, owner)
        owner.users += 1
        self.by_slot[slot : slot + 1] = [added]
        return added

    def forget(self, class_id: int) -> JobClass | None:
        """Forget a class without jobs, and return it. None if it has some, or is unknown."""
        cls = self.by_id.get(class_id)
        if cls is None or cls.here:
            return None
        del self.by_id[class_id]
        cls.owner.users -= 1
        self._free.append(cls.slot)
        return cls

    def __len__(self) -> int:
        return len(self.by_id)

    def find(self, class_id: int) -> JobClass | None:
        return self.by_id.get(class_id)

    def all(self) -> Iterable[JobClass]:
        """Return all known classes."""
        return self.by_id.values()

    def get(self, class_id: int) -> JobClass:
        """Return a class. Raises UnknownClass."""
        try:
            return self.by_id[class_id]
        except KeyError:
            raise UnknownClass(class_id) from None
