"""Series over time, and accounts of what was used."""

from collections.abc import Sequence

import msgspec

from ..engine import takes_long
from ..series import (
    DAY_S,
    DROPPED_SLOTS,
    STEPS,
    AccountRow,
    AccountSearch,
    Entry,
    Point,
    Sample,
    SeriesSearch,
    Sums,
)
from .session import Session, json_list


def keep_counts(
    session: Session,
    at: int,
    samples: Sequence[Sample],
    entries: Sequence[Entry],
    *,
    drop: bool = True,
) -> None:
    """Keep the slot of ten seconds that began at `at`, and add to the accounts of its day.

    Coarser slots that are complete are made. With `drop` goes what is older than `series.STEPS`
    says; slots of the future, which a wrong clock has made, stay and are in nobody's way.
    A slot that is kept twice has the later levels and the sum of both sums.
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
    """Return when the slots began that were counted; in the others the central was down."""
    fields = {**msgspec.structs.asdict(search), "limit": limit}
    return [row[0] for row in session.rows("series_slots", fields)]


@takes_long
def series(session: Session, search: SeriesSearch) -> list[Point]:
    """Return what was counted, in order of label and time; points of zeros are left out."""
    rows = session.rows("series", msgspec.structs.asdict(search))
    return [
        Point(at=row[0], label=row[1], waiting=row[2], running=row[3], sums=Sums.of(row[4:]))
        for row in rows
    ]


@takes_long
def accounts(session: Session, search: AccountSearch, *, limit: int) -> list[AccountRow]:
    """Return sums out of the accounts, in order of the label."""
    groups = None if search.groups is None else json_list(search.groups)
    fields = {**msgspec.structs.asdict(search), "groups": groups, "limit": limit}
    rows = session.rows("accounts", fields)
    return [AccountRow(label=row[0], sums=Sums.of(row[1:])) for row in rows]


# -- on the writer's session --------------------------------------------------------------------


def _key(session: Session, sample: Sample) -> int:
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
        # After a long stop all are old at once: others need not wait for that.
        before = min(before, oldest + DROPPED_SLOTS * step.step_s)
        for statement in ("drop_series", "drop_series_slots"):
            session.run(statement, {"step_s": step.step_s, "before": before})
