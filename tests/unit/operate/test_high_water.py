"""A store that stands lower than it did is not gone on with."""

from pathlib import Path

import pytest

from pilotage.central.operate.files import RealDisk
from pilotage.central.operate.high_water import FILE, HighWater, SetBack

GIVEN = {"attempt": 1_000, "job": 7}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    mark = HighWater(tmp_path, RealDisk())
    mark.check(GIVEN)
    mark.keep(GIVEN)
    return tmp_path


def after(data: Path) -> HighWater:
    return HighWater(data, RealDisk())


@pytest.mark.parametrize("given", [GIVEN, {**GIVEN, "job": 8}, {**GIVEN, "file": 1}])
def test_what_has_gone_on_is_gone_on_with(data: Path, given: dict[str, int]) -> None:
    after(data).check(given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"attempt": 1_000, "job": 6}, "its next job would be 6, and 7 was reached"),
        ({"attempt": 1_000}, "its next job would be 0, and 7 was reached"),
        ({"attempt": 1, "job": 1}, "its next attempt would be 1, and 1000 was reached"),
    ],
)
def test_what_stands_lower_is_refused_with_what_would_be_right(
    data: Path, given: dict[str, int], said: str
) -> None:
    with pytest.raises(SetBack, match=said) as refused:
        after(data).check(given)

    assert str(data / FILE) in str(refused.value)
    after(data).check(GIVEN)  # nothing was changed


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"job": "7"}'])
def test_a_mark_that_does_not_read_is_none(data: Path, content: bytes) -> None:
    (data / FILE).write_bytes(content)

    after(data).check({"job": 1})


def test_what_did_not_change_is_not_written_again(data: Path) -> None:
    before = (data / FILE).stat().st_ino
    mark = after(data)
    mark.check(GIVEN)
    mark.keep(GIVEN)
    same = (data / FILE).stat().st_ino
    mark.keep({**GIVEN, "job": 9})

    assert same == before
    with pytest.raises(SetBack):
        after(data).check(GIVEN)
