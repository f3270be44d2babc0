"""The stored series over time, and the accounts of used resources."""

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import msgspec

from pilotage.proto.ids import ID_MAX

from ..store.engine import takes_long
from ..store.session import Session, json_list


class SeriesResolution(NamedTuple):
    """The step of a series, and the time for which the store keeps it."""

    step_s: int
    keep_s: int


# Each coarser series is made from the finer one before it.
STEPS: Final = (
    SeriesResolution(10, 6 * 3_600),
    SeriesResolution(60, 7 * 86_400),
    SeriesResolution(600, 400 * 86_400),
)
DROPPED_SLOTS: Final = 30  # old slots of a step that are removed at a time
DAY_S: Final = 86_400


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    pass


class AccountSums(_Record, frozen=True):
    """Numbers of ended jobs, and the resources that attempts used."""

    done: int = 0
    failed: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0
    core_s: float = 0.0  # wall time multiplied by the number of assigned cores
    hs23_s: float = 0.0  # the same, weighted with the speed of a core in HS23
    bytes_in: int = 0
    bytes_out: int = 0

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Return the sums of values in field order. Bytes are capped at what a table can add up."""
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


class SeriesSample(_Record, frozen=True):
    """One slot of ten seconds: waiting and running jobs at its end, and the sums of the slot."""

    community: str
    site: str  # empty: no site yet
    type: str
    waiting: int
    running: int
    sums: AccountSums


class AccountEntry(_Record, frozen=True):
    """Sums to add to the accounts of one day."""

    community: str
    group: str
    owner_id: int
    type: str
    site: str
    sums: AccountSums


class Point(_Record, frozen=True):
    """One slot of a series. `waiting` and `running` are means."""

    at: int
    label: str
    waiting: float
    running: float
    sums: AccountSums


class SeriesSearch(_Record, frozen=True):
    """Selects series. `by` is site, type or community; empty gives one series of all.

    None means any value.
    """

    step_s: int
    since: int
    until: int
    by: str = ""
    community: str | None = None
    site: str | None = None
    type: str | None = None


class AccountSearch(_Record, frozen=True):
    """Selects accounts, by days since 1970.

    `by` is day, owner, group, type, site, community, or empty.
    """

    since: int
    until: int
    by: str = ""
    community: str | None = None
    owner_id: int | None = None
    groups: tuple[str, ...] | None = None


class AccountRow(_Record, frozen=True):
    """A line of accounts. The label of an owner is its id."""

    label: str
    sums: AccountSums


def keep_counts(
    session: Session,
    at: int,
    samples: Sequence[SeriesSample],
    entries: Sequence[AccountEntry],
    *,
    drop: bool = True,
) -> None:
    """Write the slot of ten seconds that began at `at`, and add to the accounts of its day.

    It also makes the coarser slots that are complete. With `drop`, it removes slots older than
    STEPS allows. Slots in the future, made by a wrong clock, stay and do no harm. If a slot is
    written twice, the sums are added, and the later numbers of waiting and running jobs count.
    """
    finest = STEPS[0].step_s
    session.run("insert_series_slot", {"step_s": finest, "at": at})
    session.many(
        "insert_series",
        [
            {
                "step_s": finest,
                "at": at,
                "key_id": _key(session, one),
                "waiting": one.waiting,
                "running": one.running,
                **msgspec.structs.asdict(one.sums),
            }
            for one in samples
        ],
    )
    session.many(
        "add_to_account",
        [
            {
                "day": at // DAY_S,
                "community": one.community,
                "group": one.group,
                "owner_id": one.owner_id,
                "type": one.type,
                "site": one.site,
                **msgspec.structs.asdict(one.sums),
            }
            for one in entries
        ],
    )
    _roll_up(session, at + finest)
    if drop:
        _drop_old(session, at)


def series_slots(session: Session, search: SeriesSearch, *, limit: int) -> list[int]:
    """Return the start times of the stored slots. In missing slots the central was down."""
    fields = {**msgspec.structs.asdict(search), "limit": limit}
    return [row[0] for row in session.rows("series_slots", fields)]


@takes_long
def series(session: Session, search: SeriesSearch) -> list[Point]:
    """Return the points of series by label and time. Points with only zeros are omitted."""
    rows = session.rows("series", msgspec.structs.asdict(search))
    return [
        Point(at=row[0], label=row[1], waiting=row[2], running=row[3], sums=AccountSums.of(row[4:]))
        for row in rows
    ]


@takes_long
def accounts(session: Session, search: AccountSearch, *, limit: int) -> list[AccountRow]:
    """Return sums from the accounts, by label."""
    groups = None if search.groups is None else json_list(search.groups)
    fields = {**msgspec.structs.asdict(search), "groups": groups, "limit": limit}
    rows = session.rows("accounts", fields)
    return [AccountRow(label=row[0], sums=AccountSums.of(row[1:])) for row in rows]


# -- on the writer's session --------------------------------------------------------------------


def _key(session: Session, sample: SeriesSample) -> int:
    fields = {"community": sample.community, "site": sample.site, "type": sample.type}
    found = session.one("get_series_key", fields)
    if found is None:
        session.run("insert_series_key", fields)
        found = session.one("get_series_key", fields)
    return int(found[0])


def _roll_up(session: Session, until: int) -> None:
    """Make the coarser slots that are complete at `until`."""
    for finer, coarser in zip(STEPS, STEPS[1:], strict=False):
        known = {"step_s": coarser.step_s, "before": until}
        last = session.one("last_series_slot", known)[0]
        since = 0 if last is None else last + coarser.step_s
        span = {
            "step_s": coarser.step_s,
            "finer_s": finer.step_s,
            "from": since,
            "until": until // coarser.step_s * coarser.step_s,
        }
        if span["from"] < span["until"]:
            session.run("roll_up_series", span)
            session.run("roll_up_series_slots", span)


def _drop_old(session: Session, at: int) -> None:
    for step in STEPS:
        oldest = session.one("oldest_series_slot", {"step_s": step.step_s})[0]
        before = at - step.keep_s
        if oldest is None or oldest >= before:
            continue
        # After a long stop many slots are old at once. Some at a time do not delay other writes.
        before = min(before, oldest + DROPPED_SLOTS * step.step_s)
        for statement in ("drop_series", "drop_series_slots"):
            session.run(statement, {"step_s": step.step_s, "before": before})
