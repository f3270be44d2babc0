"""What pilots have said in their own logs, as a store keeps it, and the verbs for it."""

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

import msgspec

PARCELS_PRUNED_MAX: Final = 500  # that go in one transaction
PARCEL_BYTES: Final = 120  # what a parcel takes beside its lines, its place in indexes included
JOB_BYTES: Final = 20  # what each job takes that it is about


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    pass


class LogSource(_Record, frozen=True):
    """Who says something. Host and batch id are the pilot's word, the rest is its token's."""

    pilot: str
    community: str
    site: str
    element: str
    host: str
    batch_id: str = ""


class LogLine(_Record, frozen=True, array_like=True):
    """One event of a pilot's log."""

    n: int  # grows from line to line of a pilot
    at: float  # wall clock of the central
    event: str
    text: str = ""
    warning: bool = False
    job: int = 0  # 0: about none
    epoch: int = 0


class Parcel(_Record, frozen=True):
    """Lines that came together."""

    parcel_id: int
    source: LogSource
    lines: tuple[LogLine, ...]


class LogSearch(_Record, frozen=True):
    """Which parcels. Empty clauses hold for all; of several all must hold."""

    community: str | None = None
    pilot: str = ""
    site: str = ""
    host: str = ""
    batch_id: str = ""
    job: int = 0  # parcels in which a line is about it
    since: float = 0.0  # parcels that came then or later

    def fits(self, source: LogSource) -> bool:
        """Whether a source is one of those that are looked for."""
        return (
            self.community in (None, source.community)
            and self.pilot in ("", source.pilot)
            and self.site in ("", source.site)
            and self.host in ("", source.host)
            and self.batch_id in ("", source.batch_id)
        )


def jobs_of(lines: Sequence[LogLine]) -> list[int]:
    """Return the jobs that lines are about."""
    return sorted({line.job for line in lines if line.job})


class PilotLogs(Protocol):
    """The verbs. See `protocol` for what all verbs share."""

    async def attempts_of_pilot(
        self, pilot: str, attempt_ids: Sequence[int]
    ) -> Mapping[int, tuple[int, int]]:
        """Return (job, epoch) of those of the attempts that were this pilot's."""
        ...

    async def keep_pilot_log(
        self, source: LogSource, lines: Sequence[LogLine], *, at: float, bytes_max: int
    ) -> int:
        """Keep lines, in order of their numbers; return the highest number that is kept.

        Lines whose numbers are not above those of before are left out: they came already. Of one
        pilot at most about `bytes_max` stay: the oldest parcels make room.
        """
        ...

    async def pilot_log(self, search: LogSearch, *, after: int, limit: int) -> list[Parcel]:
        """Return parcels with an id greater than `after`, in order of the id."""
        ...

    async def pilot_log_back(self, search: LogSearch, *, before: int, limit: int) -> list[Parcel]:
        """Return parcels with an id less than `before`, the newest first."""
        ...

    async def pilot_log_end(self) -> int:
        """Return the highest id that a parcel has had."""
        ...

    async def pilot_log_bytes(self) -> int:
        """Return what all parcels take."""
        ...

    async def prune_pilot_log(self, before: float, *, limit: int) -> int:
        """Remove some of the oldest parcels that came before; return how many.

        With the last one of a pilot that is gone goes what is known of its source.
        """
        ...
