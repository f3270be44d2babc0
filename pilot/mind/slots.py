"""What of the node is booked by which attempt, and what is free to be offered. Pure."""

from dataclasses import dataclass, field
from typing import Optional

from pilotage.proto.messages import Grant

SCRATCH_STEP_MB = 1_000


@dataclass(frozen=True)
class FreeCapacity:
    """Capacity that nothing uses."""

    cores: int
    memory_mb: int
    scratch_mb: int = 0
    gpus: int = 0
    amounts: dict[str, int] = field(default_factory=dict[str, int])

    def less(self, grant: Grant) -> "FreeCapacity":
        """Return what is left beside a grant."""
        return FreeCapacity(
            self.cores - grant.cores,
            self.memory_mb - grant.memory_mb,
            max(0, self.scratch_mb - grant.scratch_mb),
            self.gpus - grant.gpus,
            {name: it - grant.amounts.get(name, 0) for name, it in self.amounts.items()},
        )

    def is_news_after(self, offered: "FreeCapacity") -> bool:
        """Whether this is worth an ask after that was offered.

        The disk's free space moves all the time: it is news once much more of it is free.
        """
        mine = (self.cores, self.memory_mb, self.gpus, self.amounts)
        others = (offered.cores, offered.memory_mb, offered.gpus, offered.amounts)
        return mine != others or self.scratch_mb >= offered.scratch_mb + SCRATCH_STEP_MB

    @property
    def any(self) -> bool:
        """Whether there is anything to offer: some jobs ask for no memory."""
        return self.cores > 0


class Slots:
    """Cores, memory, disk, GPUs and named amounts of the node. Overbooking is a bug.

    Bookings are taken off what the disk had free without payloads, so that what these have written
    does not count twice. Others use the same disk: never more is free than it says.
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
        self.scratch_mb = scratch_mb  # what the disk has free now
        self._scratch_whole_mb = scratch_mb  # what it has free without our payloads
        self._booked: dict[int, Grant] = {}
        self._free: Optional[FreeCapacity] = None  # until something changes

    def scratch_measured(self, free_mb: int) -> None:
        """Take note of what the disk has free now."""
        self._free = None
        self.scratch_mb = free_mb
        whole_mb = max(self._scratch_whole_mb, free_mb)  # others may have made room
        self._scratch_whole_mb = whole_mb if self._booked else free_mb

    def free(self) -> FreeCapacity:
        """Return what is not booked."""
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
        """Say whether a grant fits into what is free now."""
        free = self.free()
        return (
            grant.cores <= free.cores
            and grant.memory_mb <= free.memory_mb
            and grant.scratch_mb <= free.scratch_mb
            and grant.gpus <= free.gpus
            and all(grant.amounts.get(name, 0) <= it for name, it in free.amounts.items())
        )

    def book(self, attempt_id: int, grant: Grant) -> None:
        """Set the grant aside for an attempt."""
        assert self.fits(grant), f"attempt {attempt_id} does not fit"
        self._booked[attempt_id] = grant
        self._free = None

    def release(self, attempt_id: int) -> bool:
        """Give an attempt's booking back; say whether there was one."""
        self._free = None
        return self._booked.pop(attempt_id, None) is not None
