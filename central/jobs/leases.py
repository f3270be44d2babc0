"""Live and open attempts in memory, and what their deadlines call for. Pure.

Deadlines stand here and nowhere else: on the monotonic clock of this process, only ever moved
later (PROTOCOL C4). The store has no deadline; after a restart every lease gets a full new term.
"""

import enum
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from typing import Final

import msgspec

from pilotage.matcher.types import Grant
from pilotage.proto.ids import ID_MAX
from pilotage.proto.messages import Why

from ..identity.scope import CountKey


class LeasePhase(enum.Enum):
    """What is known of the attempt's row."""

    PENDING = "pending"  # the match is being written
    LIVE = "live"
    OPEN = "open"  # its lease is over, the job waits again; a beat or result may still count
    GONE = "gone"


class PendingEnd(enum.Enum):
    """What is being written that ends the attempt."""

    RESULT = "result"  # the pilot has reported the end
    REQUEUE = "requeue"  # we end the lease without the pilot


class Lease(msgspec.Struct, eq=False, gc=False):
    """One attempt as the dispatch keeps it."""

    attempt_id: int
    job: int
    epoch: int
    class_id: int
    priority: int
    kind: CountKey
    pilot: str
    session: int
    ask: int
    site: str
    element: str
    grant: Grant
    matched: float  # monotonic; after a restart by the wall clock of its row
    success_codes: tuple[int, ...] = (0,)
    checkpoint: bool = False  # whether its job has one that travels
    has_data: bool = False  # whether it reads or writes files on storages
    retries: int = 0
    failures: int = 0
    losses: int = 0
    started: bool = False
    started_at: float | None = None
    wanted: Why | None = None
    wanted_reason: str = ""  # the words of the person who wants it
    wanted_since: float = 0.0  # monotonic
    lease_s: float = 0.0  # L, as its pilot was told: by that it pauses, whatever is set now
    deadline: float = 0.0
    renewed: float = 0.0
    look_at: int = 0  # the second of the monotonic clock at which its deadline is looked at next
    phase: LeasePhase = LeasePhase.PENDING
    settling: PendingEnd | None = None


# Of an attempt: its job << EPOCH_BITS | its epoch. The collector of garbage walks pairs of numbers,
# one for each of all attempts, and no numbers.
Name = int
Attempts = dict[Name, Lease]
EPOCH_BITS: Final = ID_MAX.bit_length()


class LeaseTable:
    """All attempts that a message may still speak of: by job, and by pilot.

    A pilot may hold hundreds. What a lease says lies in places of the memory that nobody has seen
    for long, so that to look at one costs more than to compare two names.
    """

    def __init__(self) -> None:
        self._by_job: dict[int, Lease] = {}
        self._by_pilot: defaultdict[str, Attempts] = defaultdict(dict)
        self._wanted: defaultdict[str, Attempts] = defaultdict(dict)  # of which anything is wanted
        self._looks: defaultdict[int, Attempts] = defaultdict(dict)  # by seconds: when at which

    def put(self, lease: Lease) -> None:
        """Keep the job's newest attempt; an older open one of the same job is forgotten."""
        older = self._by_job.get(lease.job)
        if older is not None:
            self.forget(older)
        self._by_job[lease.job] = lease
        self._by_pilot[lease.pilot][lease.job << EPOCH_BITS | lease.epoch] = lease
        if lease.wanted is not None:
            self.note_wanted(lease)
        self._look_at(lease, lease.deadline)

    def note_wanted(self, lease: Lease) -> None:
        """Something is wanted of this attempt: the pilot will be told."""
        self._wanted[lease.pilot][lease.job << EPOCH_BITS | lease.epoch] = lease

    def forget(self, lease: Lease) -> None:
        """Nothing of this attempt counts any more."""
        lease.phase = LeasePhase.GONE
        if self._by_job.get(lease.job) is lease:
            del self._by_job[lease.job]
        name = lease.job << EPOCH_BITS | lease.epoch
        looks = self._looks.get(lease.look_at)
        if looks is not None:  # most end long before: kept until then they were most of the memory
            looks.pop(name, None)
            if not looks:
                del self._looks[lease.look_at]
        _take(self._by_pilot, lease, name)
        if self._wanted:  # nearly never
            _take(self._wanted, lease, name)

    def candidates(self, now: float) -> list[Lease]:
        """Return the live attempts whose deadline has passed: `overdue` judges them.

        Deadlines only move later, so each attempt is looked at when the one that was last seen of
        it has passed, and not with all others in every pass; then again and again until it ended.
        """
        found: list[Lease] = []
        due = sorted(second for second in self._looks if second <= now)
        for lease in [lease for second in due for lease in self._looks.pop(second).values()]:
            if lease.phase is LeasePhase.LIVE:
                if lease.deadline <= now:
                    found.append(lease)
                self._look_at(lease, max(now, lease.deadline))
            else:  # it may be taken back, for as long as it was given
                self._look_at(lease, now + max(1.0, lease.deadline - lease.renewed))
        return found

    def _look_at(self, lease: Lease, at: float) -> None:
        lease.look_at = int(at)
        self._looks[lease.look_at][lease.job << EPOCH_BITS | lease.epoch] = lease

    def find(self, job: int, epoch: int) -> Lease | None:
        """Return the attempt if it is the job's newest one."""
        lease = self._by_job.get(job)
        return lease if lease is not None and lease.epoch == epoch else None

    def of_job(self, job: int) -> Lease | None:
        return self._by_job.get(job)

    def holds(self, pilot: str) -> bool:
        """Whether there is any attempt of this pilot."""
        return pilot in self._by_pilot

    def of_pilot(self, pilot: str) -> list[Lease]:
        return list(self._by_pilot.get(pilot, {}).values())

    def unknown(self, pilot: str, known: Set[Name]) -> list[Lease]:
        """Return the attempts of a pilot that are not among those that it knows of."""
        its = self._by_pilot.get(pilot)
        if its is None or its.keys() <= known:
            return []
        return [lease for name, lease in its.items() if name not in known]

    def wanted(self, pilot: str) -> list[Lease]:
        """Return the attempts of a pilot of which anything is wanted."""
        return list(self._wanted.get(pilot, {}).values())

    def all(self) -> Iterator[Lease]:
        return iter(self._by_job.values())

    def class_ids(self) -> set[int]:
        """Return the classes of all attempts that are here."""
        return {lease.class_id for lease in self._by_job.values()}

    def live(self) -> Iterator[Lease]:
        return (lease for lease in self._by_job.values() if lease.phase is LeasePhase.LIVE)

    def live_count(self) -> int:
        return sum(1 for _ in self.live())

    def shift(self, late_s: float) -> None:
        """Move every deadline: this process slept, and beats may lie unread (PROTOCOL C4).

        What is silent is not the pilot, so that no deadline is further from a sign of life than a
        lease: as late is an attempt that is taken back looked at.
        """
        for lease in self._by_job.values():
            lease.deadline += late_s
            lease.renewed += late_s


def _take(table: dict[str, Attempts], lease: Lease, name: Name) -> None:
    of_pilot = table.get(lease.pilot)
    if of_pilot is not None and of_pilot.get(name) is lease:
        del of_pilot[name]
        if not of_pilot:
            del table[lease.pilot]


def overdue(leases: Iterable[Lease], now: float) -> list[Lease]:
    """Return the live attempts whose lease is over, longest overdue first."""
    late = [lease for lease in leases if lease.settling is None and now >= lease.deadline]
    late.sort(key=lambda lease: lease.deadline)
    return late
