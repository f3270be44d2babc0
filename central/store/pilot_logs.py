"""What pilots have said in their own logs, as a store keeps it."""

from collections.abc import Sequence
from typing import Final

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
