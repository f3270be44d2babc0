"""Records of what is counted beside the jobs: series over time, and accounts of what was used."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import msgspec

from pilotage.proto.ids import ID_MAX


class Step(NamedTuple):
    """How fine a series is, and for how long it is kept so."""

    step_s: int
    keep_s: int


# Coarser ones are made of the finer one before them.
STEPS: Final = (Step(10, 6 * 3_600), Step(60, 7 * 86_400), Step(600, 400 * 86_400))
DROPPED_SLOTS: Final = 30  # the oldest slots of a step that go at a time
DAY_S: Final = 86_400


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    pass


class Sums(_Record, frozen=True):
    """What ended, and what it had used."""

    done: int = 0
    failed: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    core_s: float = 0.0  # wall time of all cores that were given
    hs23_s: float = 0.0  # the same, weighed with what each core is worth
    bytes_in: int = 0
    bytes_out: int = 0

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return sums given in their order. Counts end at what a table can hold and add up."""
        done, failed, cpu_s, wall_s, core_s, hs23_s, bytes_in, bytes_out = values
        return cls(
            done=int(done),
            failed=int(failed),
            cpu_s=cpu_s,
            wall_s=wall_s,
            core_s=core_s,
            hs23_s=hs23_s,
            bytes_in=int(min(bytes_in, ID_MAX)),
            bytes_out=int(min(bytes_out, ID_MAX)),
        )


class Sample(_Record, frozen=True):
    """One slot of ten seconds: levels at its end, and what ended in it."""

    community: str
    site: str  # empty: of no site yet
    type: str
    waiting: int
    running: int
    sums: Sums


class Entry(_Record, frozen=True):
    """What is added to the accounts of one day."""

    community: str
    group: str
    owner_id: int
    type: str
    site: str
    sums: Sums


class Point(_Record, frozen=True):
    """One slot of a series: levels are means."""

    at: int
    label: str
    waiting: float
    running: float
    sums: Sums


class SeriesSearch(_Record, frozen=True):
    """Which series. `by` is site, type, community, or empty for one of all; None: any."""

    step_s: int
    since: int
    until: int
    by: str = ""
    community: str | None = None
    site: str | None = None
    type: str | None = None


class AccountSearch(_Record, frozen=True):
    """Which accounts, by days since 1970.

    `by` is day, owner, group, type, site, community, or empty.
    """

    since: int
    until: int
    by: str = ""
    community: str | None = None
    owner_id: int | None = None
    groups: tuple[str, ...] | None = None


class AccountRow(_Record, frozen=True):
    """A line of accounts. Owners are labelled by their id."""

    label: str
    sums: Sums
