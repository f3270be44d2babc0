"""Series and accounts: counted from the first day, whatever becomes of the jobs."""

import pytest

from pilotage.central.accounts import record_series as series_records
from pilotage.central.accounts.record_series import (
    STEPS,
    AccountEntry,
    AccountSearch,
    AccountSums,
    SeriesSample,
    SeriesSearch,
)
from pilotage.central.store.engine import Store

from .conftest import Reopen

EVER = 2**40
ONE = AccountSums(
    done=1, failed=2, cpu_s=3.0, wall_s=4.0, core_s=8.0, hs23_s=80.0, bytes_in=5, bytes_out=6
)


def sample(
    site: str = "PIC", *, waiting: int = 0, running: int = 0, sums: AccountSums = ONE
) -> SeriesSample:
    return SeriesSample(
        community="ctao", site=site, type="User", waiting=waiting, running=running, sums=sums
    )


def entry(owner_id: int = 1, group: str = "sim", *, site: str = "PIC") -> AccountEntry:
    return AccountEntry(
        community="ctao", group=group, owner_id=owner_id, type="User", site=site, sums=ONE
    )


def search(step_s: int, **fields: object) -> SeriesSearch:
    given: dict[str, object] = {"since": 0, "until": EVER, **fields}
    return SeriesSearch(step_s=step_s, **given)  # type: ignore[arg-type]


async def test_a_slot_is_read_as_it_was_kept(store: Store, reopen: Reopen) -> None:
    await store.write(
        series_records.keep_counts, 600, [sample(waiting=7, running=3), sample("CSCS")], []
    )
    store = await reopen(store)
    points = await store.read(series_records.series, search(10, by="site"))

    assert [(one.at, one.label, one.waiting, one.running) for one in points] == [
        (600, "CSCS", 0, 0),
        (600, "PIC", 7, 3),
    ]
    assert points[0].sums == ONE


async def test_a_slot_that_is_kept_twice_has_the_later_level_and_both_sums(store: Store) -> None:
    await store.write(series_records.keep_counts, 600, [sample(running=3)], [])
    await store.write(series_records.keep_counts, 600, [sample(running=5)], [])
    (point,) = await store.read(series_records.series, search(10))

    assert (point.running, point.sums.done, point.sums.hs23_s) == (5, 2, 160.0)
    assert await store.read(series_records.series_slots, search(10), limit=9) == [600]


async def test_coarser_slots_are_means_of_levels_and_sums_of_the_rest(store: Store) -> None:
    for at in range(1_200, 1_860, 10):
        running = 6 if at < 1_230 else 0  # half of the first minute
        await store.write(
            series_records.keep_counts, at, [sample(running=running)] if running else [], []
        )
    minutes = await store.read(series_records.series, search(60))
    (tens,) = await store.read(series_records.series, search(600))

    assert [(one.at, one.running, one.sums.done) for one in minutes] == [(1_200, 3.0, 3)]
    assert await store.read(series_records.series_slots, search(60), limit=99) == list(
        range(1_200, 1_860, 60)
    )
    assert (tens.at, tens.sums.done) == (1_200, 3)
    assert tens.running == pytest.approx(0.3)


async def test_a_gap_stays_a_gap(store: Store) -> None:
    await store.write(series_records.keep_counts, 0, [sample(running=4)], [])
    await store.write(series_records.keep_counts, 6_000, [sample(running=4)], [])
    await store.write(series_records.keep_counts, 6_060, [sample(running=4)], [])

    assert await store.read(series_records.series_slots, search(600), limit=9) == [0]
    assert await store.read(series_records.series_slots, search(60), limit=9) == [0, 6_000]
    assert [one.running for one in await store.read(series_records.series, search(60))] == [
        4.0,
        4.0,
    ]


async def test_what_is_too_old_goes_and_its_coarser_slots_stay(store: Store) -> None:
    finest, finer, _ = STEPS
    await store.write(series_records.keep_counts, 0, [sample()], [])
    later = finest.keep_s + 600
    await store.write(series_records.keep_counts, later, [sample()], [])
    await store.write(series_records.keep_counts, later + 10, [sample()], [])

    assert await store.read(series_records.series_slots, search(finest.step_s), limit=9) == [
        later,
        later + 10,
    ]
    assert (await store.read(series_records.series, search(finer.step_s)))[0].at == 0


@pytest.mark.parametrize(
    ("by", "clauses", "labels"),
    [
        ("", {}, [""]),
        ("type", {}, ["User"]),
        ("community", {}, ["ctao"]),
        ("site", {"site": "CSCS"}, ["CSCS"]),
        ("site", {"community": "lhcb"}, []),
        ("site", {"type": "Test"}, []),
        ("site", {"since": 601}, []),
        ("site", {"until": 600}, []),
    ],
)
async def test_a_series_is_cut_and_grouped(
    store: Store, by: str, clauses: dict[str, object], labels: list[str]
) -> None:
    await store.write(series_records.keep_counts, 600, [sample(), sample("CSCS")], [])
    found = await store.read(series_records.series, search(10, by=by, **clauses))

    assert [one.label for one in found] == labels


async def test_the_books_are_kept_by_day_and_owner(store: Store) -> None:
    await store.write(series_records.keep_counts, 0, [], [entry(1), entry(2, "ana", site="CSCS")])
    await store.write(series_records.keep_counts, 86_400, [], [entry(1)])

    async def labels(by: str, **clauses: object) -> dict[str, int]:
        given: dict[str, object] = {"since": 0, "until": 99, "by": by, **clauses}
        rows = await store.read(series_records.accounts, AccountSearch(**given), limit=99)  # type: ignore[arg-type]
        return {row.label: row.sums.done for row in rows}

    assert await labels("") == {"": 3}
    assert await labels("day") == {"1970-01-01": 2, "1970-01-02": 1}
    assert await labels("owner") == {"1": 2, "2": 1}
    assert await labels("site", groups=("ana",)) == {"CSCS": 1}
    assert await labels("group", owner_id=1) == {"sim": 2}
    assert await labels("type", since=1, community="ctao") == {"User": 1}
    assert await labels("", groups=()) == {}


async def test_a_clock_that_was_wrong_for_a_while_costs_nothing_but_that_while(
    store: Store,
) -> None:
    year = 365 * 86_400
    await store.write(series_records.keep_counts, 0, [sample(running=4)], [])
    await store.write(series_records.keep_counts, year, [sample(running=4)], [], drop=False)
    await store.write(series_records.keep_counts, year + 60, [sample(running=4)], [], drop=False)
    for at in range(120, 240, 10):
        await store.write(series_records.keep_counts, at, [sample(running=4)], [])

    assert await store.read(series_records.series_slots, search(60, until=1_000), limit=9) == [
        0,
        120,
        180,
    ]
    assert (await store.read(series_records.series_slots, search(10), limit=1)) == [0]
