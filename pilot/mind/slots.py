"""The node's capacity: what is booked by attempts, and what is free to offer. Pure."""

from dataclasses import dataclass, field
from typing import Optional

from pilotage.proto.messages import Grant

SCRATCH_STEP_MB = 1_000


@dataclass(frozen=True)
class FreeCapacity:
    """Unused capacity."""

    cores: int
    memory_mb: int
    scratch_mb: int = 0
    gpus: int = 0
    amounts: dict[str, int] = field(default_factory=dict[str, int])

    def less(self, grant: Grant) -> "FreeCapacity":
        """Return the rest after a grant."""
        return FreeCapacity(
            self.cores - grant.cores,
            self.memory_mb - grant.memory_mb,
            max(0, self.scratch_mb - grant.scratch_mb),
            self.gpus - grant.gpus,
            {name: it - grant.amounts.get(name, 0) for name, it in self.amounts.items()},
        )

    def is_news_after(self, offered: "FreeCapacity") -> bool:
        """Return whether this capacity is worth a new ask after `offered`.

        The free space of the disk changes all the time: only a large increase counts.
        """
        mine = (self.cores, self.memory_mb, self.gpus, self.amounts)
        others = (offered.cores, offered.memory_mb, offered.gpus, offered.amounts)
        return mine != others or self.scratch_mb >= offered.scratch_mb + SCRATCH_STEP_MB

    @property
    def any(self) -> bool:
        """Whether there is anything to offer; some jobs ask for no memory."""
        return self.cores > 0


class Slots:
    """Cores, memory, disk, GPUs and named amounts of the node. Overbooking is a bug.

    Bookings are subtracted from the disk's free space without payloads, so that their written files
    do not count twice. Other users write to the same disk, so the offer never exceeds its free
    space.
    """

    def __init__(
        self,
        cores: int,
        memory_mb: int,
        scratch_mb: int,
        gpus: int = 0,
        amounts: Optional[dict[str, int]] = None,
    ) -> None:
        self.cores, self.memory_mb, self.gpus = cores, memory_mb, gpus
        self.amounts = amounts or {}
        self.scratch_mb = scratch_mb  # free space of the disk now
        self._scratch_whole_mb = scratch_mb  # free space without the pilot's payloads
        self._booked: dict[int, Grant] = {}
        self._free: Optional[FreeCapacity] = None  # cached until something changes

    def scratch_measured(self, free_mb: int) -> None:
        """Record the free space of the disk."""
        self._free = None
        self.scratch_mb = free_mb
        whole_mb = max(self._scratch_whole_mb, free_mb)  # others may have freed space
        self._scratch_whole_mb = whole_mb if self._booked else free_mb

    def free(self) -> FreeCapacity:
        """Return the capacity that is not booked."""
        if self._free is None:
            self._free = self._count_free()
        return self._free

    def _count_free(self) -> FreeCapacity:
        beside_mb = self._scratch_whole_mb - sum(one.scratch_mb for one in self._booked.values())
        return FreeCapacity(
            self.cores - sum(grant.cores for grant in self._booked.values()),
            self.memory_mb - sum(grant.memory_mb for grant in self._booked.values()),
            max(0, min(self.scratch_mb, beside_mb)),
            self.gpus - sum(grant.gpus for grant in self._booked.values()),
            {
                name: it - sum(grant.amounts.get(name, 0) for grant in self._booked.values())
                for name, it in self.amounts.items()
            },
        )

    @property
    def used(self) -> bool:
        return bool(self._booked)

    def fits(self, grant: Grant) -> bool:
        """Return whether a grant fits into the free capacity."""
        free = self.free()
        return (
            grant.cores <= free.cores
            and grant.memory_mb <= free.memory_mb
            and grant.scratch_mb <= free.scratch_mb
            and grant.gpus <= free.gpus
            and all(grant.amounts.get(name, 0) <= it for name, it in free.amounts.items())
        )

    def book(self, attempt_id: int, grant: Grant) -> None:
        """Book a grant for an attempt."""
        assert self.fits(grant), f"attempt {attempt_id} does not fit"
        self._booked[attempt_id] = grant
        self._free = None

    def release(self, attempt_id: int) -> bool:
        """Release an attempt's booking; return whether there was one."""
        self._free = None
        return self._booked.pop(attempt_id, None) is not None
