"""What of the node is booked by which attempt, and what is free to be offered."""

from dataclasses import dataclass

from pilotage.proto.messages import Grant


@dataclass(frozen=True)
class Free:
    """Capacity that nothing uses."""

    cores: int
    memory_mb: int

    @property
    def any(self) -> bool:
        """Whether there is anything to offer: some jobs ask for no memory."""
        return self.cores > 0


class Slots:
    """Cores and memory of the node. Never oversubscribed: a booking that does not fit is a bug."""

    def __init__(self, cores: int, memory_mb: int) -> None:
        self.cores, self.memory_mb = cores, memory_mb
        self._booked: dict[int, Grant] = {}

    def free(self) -> Free:
        """Return what is not booked."""
        return Free(
            self.cores - sum(grant.cores for grant in self._booked.values()),
            self.memory_mb - sum(grant.memory_mb for grant in self._booked.values()),
        )

    @property
    def used(self) -> bool:
        return bool(self._booked)

    def fits(self, grant: Grant) -> bool:
        """Say whether a grant fits into what is free now."""
        free = self.free()
        return grant.cores <= free.cores and grant.memory_mb <= free.memory_mb

    def book(self, attempt_id: int, grant: Grant) -> None:
        """Set the grant aside for an attempt."""
        assert self.fits(grant), f"attempt {attempt_id} does not fit"
        self._booked[attempt_id] = grant

    def release(self, attempt_id: int) -> bool:
        """Give an attempt's booking back; say whether there was one."""
        return self._booked.pop(attempt_id, None) is not None
