"""A store that stands lower than it did is not gone on with."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from pilotage.central.operate.files import RealDisk
from pilotage.central.operate.high_water import FILE, HighWater, SetBack

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
        ({"attempt": 1_000, "job": 6}, "its next job would be 6, and 7 was reached. Restored by"),
        ({"attempt": 1_000}, "its next job would be 1, and 7 was reached"),
        ({"attempt": 1, "job": 1}, "its next attempt would be 1, and 1000 was reached"),
        ({}, "and 1000 was reached. It is empty: restore the backup before anything is started"),
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
