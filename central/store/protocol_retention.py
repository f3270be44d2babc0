"""The verbs of a store for what goes after a time: retention. See `protocol`."""

from collections.abc import Sequence
from typing import Final, Protocol

from .records import EndedJob

PRUNED_MAX: Final = 500  # jobs that go in one transaction


class RetentionStore(Protocol):
    """What does not stay. Logs of pilots are in `pilot_logs`."""

    async def ended_jobs(self, *, after: int, before: float) -> tuple[list[EndedJob], int | None]:
        """Return jobs with an id greater than `after` that ended before, some thousand ids at a
        time, and the id to go on after; None: that was the end."""
        ...

    async def prune_jobs(self, jobs: Sequence[tuple[int, float]]) -> list[tuple[int, bool]]:
        """Remove jobs that still have ended at that time, at most PRUNED_MAX.

        Return which went, each with whether it was marked deleted.

        With them go their bodies, attempts, notes and evidence. The key of a submission stays.
        """
        ...

    async def prune_evidence(self, before: float, *, limit: int) -> int:
        """Remove some of the oldest evidence; return how much."""
        ...

    async def prune_tokens(self, before: float, *, limit: int) -> int:
        """Remove some of the tokens that expired before, revoked ones too; return how many."""
        ...

    async def never_registered(self, now: float, *, limit: int) -> list[str]:
        """Return pilots whose secrets were not used in time."""
        ...

    async def ended_pilots(self, *, after: str, before: float, limit: int) -> list[str]:
        """Return pilots that ended before, in order of their name."""
        ...

    async def prune_pilots(self, pilots: Sequence[str], before: float) -> None:
        """Remove those of the pilots that ended before, and their secrets."""
        ...
