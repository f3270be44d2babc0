"""Logs of pilots: kept once, found by what leads to them, and bounded."""

import pytest

from pilotage.central.pilots import record_logs as log_records
from pilotage.central.pilots.record_logs import PARCEL_BYTES, LogLine, LogSearch, LogSource, Parcel
from pilotage.central.store.engine import Store
from pilotage.proto.ids import ID_MAX
from tests import turns

from .conftest import Reopen
from .rows import a_class, an_attempt, submitted

PLENTY = 1_000_000


def a_source(pilot: str, **fields: str) -> LogSource:
    given = {"community": "ctao", "site": "PIC", "element": "slurm", "host": "wn1", **fields}
    return LogSource(pilot=pilot, **given)


def lines(*numbers: int, job: int = 0) -> list[LogLine]:
    return [
        LogLine(n=n, at=100.0 + n, event="ended", text=f"line {n}", job=job, epoch=min(job, 1))
        for n in numbers
    ]


async def keep(
    store: Store,
    source: LogSource,
    some: list[LogLine],
    *,
    at: float = 1.0,
    bytes_max: int = PLENTY,
) -> int:
    return await store.write(log_records.keep_pilot_log, source, some, at=at, bytes_max=bytes_max)


async def found(store: Store, **clauses: object) -> list[str]:
    """Return the texts that a search finds, and see that backwards it finds the same."""
    search = LogSearch(**clauses)  # type: ignore[arg-type]
    forth = await store.read(log_records.pilot_log, search, after=0, limit=100)
    back = await store.read(log_records.pilot_log_back, search, before=ID_MAX, limit=100)
    assert back == forth[::-1]
    return [f"{one.source.pilot} {line.text}" for one in forth for line in one.lines]


async def test_lines_are_kept_once_however_often_they_come(store: Store, reopen: Reopen) -> None:
    source = a_source("p1", batch_id="77")
    assert await keep(store, source, lines(1, 2)) == 2
    assert await keep(store, source, lines(1, 2)) == 2
    store = await reopen(store)
    assert await keep(store, source, lines(2, 5)) == 5

    assert await store.read(log_records.pilot_log, LogSearch(), after=0, limit=9) == [
        Parcel(parcel_id=1, source=source, lines=tuple(lines(1, 2))),
        Parcel(parcel_id=2, source=source, lines=tuple(lines(5))),
    ]


#    clauses                                       whose lines are found
SEARCHES: list[tuple[dict[str, object], str]] = [
    ({}, "a1 a2 b1 c1 a3"),
    ({"pilot": "a"}, "a1 a2 a3"),
    ({"pilot": "z"}, ""),
    ({"host": "wn1"}, "a1 a2 c1 a3"),
    ({"host": "wn1", "site": "CSCS"}, "c1"),
    ({"batch_id": "77"}, "a1 a2 b1 a3"),
    ({"batch_id": "77", "community": "lhcb"}, "b1"),
    ({"site": "PIC"}, "a1 a2 b1 a3"),
    ({"community": "ctao"}, "a1 a2 c1 a3"),
    ({"job": 7}, "a2 c1"),
    ({"job": 7, "pilot": "a"}, "a2"),
    ({"job": 7, "community": "lhcb"}, ""),
    ({"job": 9}, ""),
    ({"since": 30.0}, "b1 c1 a3"),
    ({"since": 30.0, "pilot": "a"}, "a3"),
    ({"since": 60.0}, ""),
]


@pytest.mark.parametrize(("clauses", "whose"), SEARCHES)
async def test_parcels_are_found_by(store: Store, clauses: dict[str, object], whose: str) -> None:
    a = a_source("a", batch_id="77")
    b = a_source("b", batch_id="77", host="wn2", community="lhcb")
    c = a_source("c", site="CSCS")
    for at, source, some in (
        (10.0, a, lines(1)),
        (20.0, a, lines(2, job=7)),
        (30.0, b, lines(1, job=8)),
        (40.0, c, lines(1, job=7)),
        (50.0, a, lines(3)),
    ):
        await keep(store, source, some, at=at)

    said = [word.replace(" line ", "") for word in await found(store, **clauses)]
    assert said == whose.split()


async def test_a_search_goes_on_where_it_stopped(store: Store) -> None:
    for n in range(1, 6):
        await keep(store, a_source("p"), lines(n, job=7))
    for search in (LogSearch(), LogSearch(pilot="p"), LogSearch(job=7)):
        first = await store.read(log_records.pilot_log, search, after=0, limit=2)
        rest = await store.read(log_records.pilot_log, search, after=first[-1].parcel_id, limit=9)
        last = await store.read(log_records.pilot_log_back, search, before=ID_MAX, limit=2)
        earlier = await store.read(
            log_records.pilot_log_back, search, before=last[-1].parcel_id, limit=9
        )

        assert [[one.parcel_id for one in part] for part in (first, rest, last, earlier)] == [
            [1, 2],
            [3, 4, 5],
            [5, 4],
            [3, 2, 1],
        ]


async def test_the_oldest_parcels_of_a_pilot_make_room_and_those_of_others_stay(
    store: Store,
) -> None:
    await keep(store, a_source("other"), lines(1, job=7))
    for n in range(1, 8):
        await keep(store, a_source("p"), lines(n, job=7), bytes_max=3 * (PARCEL_BYTES + 100))

    said = await found(store, job=7)
    assert said[0] == "other line 1"
    assert said[-1] == "p line 7" and 3 <= len(said) <= 5
    assert await found(store, pilot="p") == said[1:]


async def test_one_parcel_that_is_larger_than_all_room_is_kept_alone(store: Store) -> None:
    for n in (1, 2):
        await keep(store, a_source("p"), lines(n), bytes_max=10)

    assert await found(store) == ["p line 2"]


async def test_what_all_parcels_take_is_known(store: Store) -> None:
    assert await store.read(log_records.pilot_log_bytes) == 0
    await keep(store, a_source("p"), lines(1))
    one = await store.read(log_records.pilot_log_bytes)
    await keep(store, a_source("q"), lines(1))

    assert PARCEL_BYTES < one < PARCEL_BYTES + 100
    assert await store.read(log_records.pilot_log_bytes) == 2 * one


async def test_old_parcels_go_and_no_id_comes_again(store: Store, reopen: Reopen) -> None:
    for at in (10.0, 20.0, 30.0):
        await keep(store, a_source("p"), lines(int(at), job=7), at=at)
    assert await store.write(log_records.prune_pilot_log, 25.0, limit=1) == 1
    assert await store.write(log_records.prune_pilot_log, 25.0, limit=9) == 1
    assert await store.write(log_records.prune_pilot_log, 25.0, limit=9) == 0
    assert await found(store) == await found(store, job=7) == ["p line 30"]
    assert await store.write(log_records.prune_pilot_log, 99.0, limit=9) == 1
    assert await store.read(log_records.pilot_log_bytes) == 0
    store = await reopen(store)
    assert await store.read(log_records.pilot_log_end) == 3
    await keep(store, a_source("p"), lines(40))

    assert [
        one.parcel_id
        for one in await store.read(log_records.pilot_log, LogSearch(), after=0, limit=9)
    ] == [4]


async def test_an_attempt_is_a_pilots_own_or_not(store: Store) -> None:
    kind = await a_class(store)
    job = (await submitted(store, kind, 1)).ranges[0][0]
    attempt = an_attempt(5, job)
    await turns.match(store, [attempt])
    ids = [attempt.attempt_id, 999]

    own = {attempt.attempt_id: (job, 1)}
    assert await store.read(log_records.attempts_of_pilot, attempt.pilot, ids) == own
    assert await store.read(log_records.attempts_of_pilot, "another", ids) == {}
    assert await store.read(log_records.attempts_of_pilot, attempt.pilot, []) == {}
