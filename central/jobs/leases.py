"""Live and open attempts in memory, and what their deadlines call for. Pure.

Deadlines stand here and nowhere else: on the monotonic clock of this process, only ever moved
later (PROTOCOL C4). The store has no deadline; after a restart every lease gets a full new term.
"""

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pilotage.proto.messages import Why

from .counters import Kind


class Phase(enum.Enum):
    """What is known of the attempt's row."""

    PENDING = "pending"  # the match is being written
    LIVE = "live"
    OPEN = "open"  # its lease is over, the job waits again; a beat or result may still count
    GONE = "gone"


class Settling(enum.Enum):
    """What is being written that ends the attempt."""

    RESULT = "result"  # the pilot has reported the end
    REQUEUE = "requeue"  # we end the lease without the pilot


@dataclass(eq=False)
class Lease:
    """One attempt as the dispatch keeps it."""

    attempt_id: int
    job: int
    epoch: int
    class_id: int
    priority: int
    kind: Kind
    pilot: str
    session: int
    ask: int
    site: str
    element: str
    cores: int
    memory_mb: int
    scratch_mb: int
    wall_s: float
    success_codes: tuple[int, ...] = (0,)
    retries: int = 0
    failures: int = 0
    losses: int = 0
    started: bool = False
    started_at: float | None = None
    wanted: Why | None = None
    wanted_reason: str = ""  # the words of the person who wants it
    deadline: float = 0.0
    renewed: float = 0.0
    phase: Phase = Phase.PENDING
    settling: Settling | None = None


class LeaseTable:
    """All attempts that a message may still speak of: by job, and by pilot."""

    def __init__(self) -> None:
        self._by_job: dict[int, Lease] = {}
        self._by_pilot: defaultdict[str, dict[int, Lease]] = defaultdict(dict)

    def put(self, lease: Lease) -> None:
        """Keep the job's newest attempt; an older open one of the same job is forgotten."""
        older = self._by_job.get(lease.job)
        if older is not None:
            self.forget(older)
        self._by_job[lease.job] = lease
        self._by_pilot[lease.pilot][lease.job] = lease

    def forget(self, lease: Lease) -> None:
        """Nothing of this attempt counts any more."""
        lease.phase = Phase.GONE
        if self._by_job.get(lease.job) is lease:
            del self._by_job[lease.job]
        of_pilot = self._by_pilot.get(lease.pilot)
        if of_pilot is not None and of_pilot.get(lease.job) is lease:
            del of_pilot[lease.job]
            if not of_pilot:
                del self._by_pilot[lease.pilot]

    def find(self, job: int, epoch: int) -> Lease | None:
        """Return the attempt if it is the job's newest one."""
        lease = self._by_job.get(job)
        return lease if lease is not None and lease.epoch == epoch else None

    def of_job(self, job: int) -> Lease | None:
        return self._by_job.get(job)

    def of_pilot(self, pilot: str) -> list[Lease]:
        return list(self._by_pilot.get(pilot, {}).values())

    def class_ids(self) -> set[int]:
        """Return the classes of all attempts that are here."""
        return {lease.class_id for lease in self._by_job.values()}

    def live(self) -> Iterator[Lease]:
        return (lease for lease in self._by_job.values() if lease.phase is Phase.LIVE)

    def live_count(self) -> int:
        return sum(1 for _ in self.live())

    def shift(self, late_s: float) -> None:
        """Move every deadline: this process slept, and beats may lie unread (PROTOCOL C4)."""
        for lease in self._by_job.values():
            lease.deadline += late_s


def overdue(leases: Iterable[Lease], now: float) -> list[Lease]:
    """Return the live attempts whose lease is over, longest overdue first."""
    late = [lease for lease in leases if lease.settling is None and now >= lease.deadline]
    late.sort(key=lambda lease: lease.deadline)
    return late
