"""A store that stands lower than it did is not gone on with."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pilotage.central.jobs import record as job_records
from pilotage.central.operate.files import RealDisk
from pilotage.central.operate.high_water import FILE, HighWater, SetBack
from pilotage.central.store.errors import StoreFull
from tests.memory_store import MemoryStore

GIVEN = {"attempt": 1_000, "job": 7}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    HighWater(tmp_path, RealDisk()).keep(GIVEN)
    return tmp_path


async def check(mark: HighWater, given: Mapping[str, int] | None) -> None:
    async def ask() -> Mapping[str, int] | None:
        return given

    await mark.check(ask)


def after(data: Path) -> HighWater:
    return HighWater(data, RealDisk())


@pytest.mark.parametrize("given", [GIVEN, {**GIVEN, "job": 8}, {**GIVEN, "file": 1}, None])
async def test_what_has_gone_on_is_gone_on_with(data: Path, given: dict[str, int] | None) -> None:
    await check(after(data), given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"attempt": 1_000, "job": 6},
            "its next job would be 6, but 7 was reached before. If it is",
        ),
        ({"attempt": 1_000}, "its next job would be 1, but 7 was reached before"),
        ({"attempt": 1, "job": 1}, "its next attempt would be 1, but 1000 was reached before"),
        ({}, "but 1000 was reached before. It is empty: restore the backup first"),
    ],
)
async def test_what_stands_lower_is_refused_with_what_would_be_right(
    data: Path, given: dict[str, int], said: str
) -> None:
    with pytest.raises(SetBack, match=said) as refused:
        await check(after(data), given)

    assert str(data / FILE) in str(refused.value)
    await check(after(data), GIVEN)  # nothing was changed


async def test_nothing_is_lost_with_a_store_that_nobody_has_used(tmp_path: Path) -> None:
    HighWater(tmp_path, RealDisk()).keep({"attempt": 1, "job": 1})

    await check(after(tmp_path), {})


async def test_the_mark_is_read_before_a_store_that_goes_on_meanwhile(data: Path) -> None:
    async def ask() -> Mapping[str, int]:
        after(data).keep({**GIVEN, "job": 9})  # by who leads, just after we were told
        return GIVEN

    await after(data).check(ask)


async def test_the_mark_is_there_before_anybody_is_answered_and_above_all_that_is_older(
    tmp_path: Path,
) -> None:
    store = MemoryStore()
    before = await store.read(job_records.ids_given)
    await after(tmp_path).begin(store)  # as a start does

    with pytest.raises(SetBack, match="its next attempt would be"):
        await check(after(tmp_path), before)
    await check(after(tmp_path), await store.read(job_records.ids_given))


async def test_a_process_without_the_queue_keeps_the_mark_and_takes_no_id(tmp_path: Path) -> None:
    store = MemoryStore()
    before = await store.read(job_records.ids_given)
    await after(tmp_path).begin(store, leads=False)

    assert (tmp_path / FILE).exists()
    assert await store.read(job_records.ids_given) == before


async def test_nothing_lowers_the_mark(data: Path) -> None:
    mark, other = after(data), after(data)
    await check(mark, GIVEN)
    await check(other, GIVEN)
    other.keep({**GIVEN, "job": 20})
    mark.keep({**GIVEN, "job": 9})

    with pytest.raises(SetBack, match="its next job would be 19, but 20 was reached before"):
        await check(after(data), {**GIVEN, "job": 19})


async def test_a_full_disk_holds_up_a_start_only_where_there_is_no_mark(
    data: Path, tmp_path: Path
) -> None:
    store = MemoryStore()
    store.full = True
    mark, new = after(data), after(tmp_path / "new")
    await check(mark, GIVEN)
    await mark.begin(store)
    with pytest.raises(StoreFull):
        await new.begin(store)
    store.full = False
    await mark.bring_up(store)

    assert (await store.read(job_records.ids_given))["attempt"] == 2


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"job": "7"}'])
async def test_a_mark_that_does_not_read_is_none(data: Path, content: bytes) -> None:
    (data / FILE).write_bytes(content)

    await check(after(data), {"job": 1})


async def test_what_did_not_change_is_not_written_again(data: Path) -> None:
    before = (data / FILE).stat().st_ino
    mark = after(data)
    await check(mark, GIVEN)
    mark.keep(GIVEN)
    same = (data / FILE).stat().st_ino
    mark.keep({**GIVEN, "job": 9})

    assert same == before
    with pytest.raises(SetBack):
        await check(after(data), GIVEN)
