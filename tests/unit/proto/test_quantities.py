"""Sizes and times with a unit: what they mean, and what is refused."""

from fractions import Fraction
from typing import Annotated

import msgspec
import pytest
from hypothesis import given, strategies as st
from msgspec import Meta

from pilotage.proto.decoding.typed_quantities import convert, short_keys_of
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.quantities import BadQuantity, Unit, short_name, unit_of

SIZES = {
    "4GB": 4_000,
    "4GiB": 4_294.967296,
    "500M": 500,
    "4G": 4_000,
    "4Gi": 4_294.967296,
    "4 gb": 4_000,
    "1.5TB": 1_500_000,
    "500kB": 0.5,
    "0B": 0,
}
TIMES = {
    "2h": 7_200,
    "1d12h": 129_600,
    "90m": 5_400,
    "1.5h": 5_400,
    "2w": 1_209_600,
    "1w1d1h1m1s": 694_861,
    "0s": 0,
}
NO_SIZES = [
    *("", " ", "4", "GB", "-4GB", "+4GB", "nan", "inf", "nanGB", "infGB", "1e3GB", "4 gigs"),
    *("4GB4GB", "4XB", "4.GB", ".5GB", "4  GB", " 4GB", "4GB ", "4GB\n", "٤GB", "4iB", "1_0GB"),
    *("999999999999999PB", "9" * 400 + "GB", "2h", "4,5GB", "0x4GB"),
]
NO_TIMES = [
    *("", "h", "2", "-2h", "nan", "nans", "infs", "1h1h", "1m1h", "1.5h30m", "1h1.5m", "2H", "2M"),
    *("2h ", " 2h", "1d 2h", "2h\n", "٢h", "²h", "01:00:00", "999999999999999w", "4GB", "1mo"),
    "9" * 400 + "s",
]


def _unit(name: str) -> Unit:
    unit = unit_of(name)
    assert unit is not None
    return unit


@pytest.mark.parametrize("text", SIZES)
def test_a_size_is_read(text: str) -> None:
    assert _unit("memory_mb").read(text) == SIZES[text]


@pytest.mark.parametrize("text", TIMES)
def test_a_time_is_read(text: str) -> None:
    assert _unit("wall_s").read(text) == TIMES[text]


@pytest.mark.parametrize(
    ("name", "text"),
    [("memory_mb", one) for one in NO_SIZES] + [("wall_s", one) for one in NO_TIMES],
)
def test_other_texts_are_refused(name: str, text: str) -> None:
    with pytest.raises(BadQuantity, match="found '.*expected"):
        _unit(name).read(text)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("memory_mb", "4 gigs", "found '4 gigs', expected a size such as 4GB; 4GB is 4000 MB"),
        ("memory_mb", "4000", "found '4000', expected a size such as 4GB; 4000 MB is 4GB"),
        ("wall_s", "1h1h", "found '1h1h', expected a time such as 2h or 1d12h; 2h is 7200 seconds"),
        ("wall_s", "1-12:30:00", "expected a time such as 2h or 1d12h; 1-12:30:00 is 1d12h30m"),
    ],
)
def test_a_refusal_gives_the_right_value(name: str, text: str, said: str) -> None:
    with pytest.raises(BadQuantity) as refused:
        _unit(name).read(text)

    assert said in str(refused.value)


def test_the_end_of_a_name_is_its_unit() -> None:
    assert _unit("done_days").read("36h") == 1.5
    assert _unit("owner_gb").read("2TB") == 2_000
    assert _unit("blob_bytes_max").read("2GiB") == 2**31
    assert [unit_of(name) for name in ("cores", "cpu_work_hs23_s", "ahead_core_s")] == [None] * 3
    names = ["memory_mb", "wall_s", "queue_s", "cores", "cpu_work_hs23_s"]
    assert list(map(short_name, names)) == ["memory", "wall", "", "", ""]


@given(
    st.lists(st.integers(0, 10**6), min_size=5, max_size=5),
    st.sets(st.sampled_from("wdhms"), min_size=1),
)
def test_a_time_is_the_sum_of_its_parts(numbers: list[int], units: set[str]) -> None:
    seconds = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
    parts = [(n, one) for n, one in zip(numbers, seconds, strict=True) if one in units]

    read = _unit("wall_s").read("".join(f"{n}{one}" for n, one in parts))

    assert read == sum(n * seconds[one] for n, one in parts)


@given(st.integers(0, 8_000), st.integers(0, 999), st.sampled_from("kMGT"), st.booleans())
def test_a_size_is_a_power_of_its_base(whole: int, part: int, letter: str, binary: bool) -> None:
    base = 1_024 if binary else 1_000
    size = Fraction(f"{whole}.{part:03}") * base ** ("kMGT".index(letter) + 1)

    for end in ("iB", "i") if binary else ("B", ""):
        read = _unit("blob_bytes_max").read(f"{whole}.{part:03}{letter}{end}")
        assert read == (int(size) if size.denominator == 1 else float(size))


@given(st.integers(1, 10**9), st.sampled_from(["memory_mb", "wall_s", "done_days", "owner_gb"]))
def test_a_written_number_is_read_as_itself(number: int, name: str) -> None:
    assert _unit(name).read(_unit(name).written(number)) == number


@given(st.text(max_size=12))
def test_any_text_is_a_quantity_or_refused(text: str) -> None:
    for name in ("memory_mb", "wall_s"):
        try:
            assert _unit(name).read(text) >= 0
        except BadQuantity:
            pass


class _Holder(msgspec.Struct, forbid_unknown_fields=True):
    wall_s: float = 0.0
    wait_s: Annotated[int, Meta(le=100)] | None = None
    environment: dict[str, str] = {}
    name_s: str | int = ""
    needs: tuple[Need, ...] = ()
    by_name: dict[str, Need] = {}


def test_only_fields_with_numbers_are_read() -> None:
    found = {
        "wall_s": "1.5s",
        "wait_s": "1m",
        "environment": {"wall_s": "2h"},
        "name_s": "2h",
        "needs": [{"memory_mb": "1GiB"}],
        "by_name": {"a": {"wall_s": "1d"}},
    }

    read = convert(found, _Holder)

    assert (read.wall_s, read.wait_s, read.name_s) == (1.5, 60, "2h")
    assert read.environment == {"wall_s": "2h"}
    assert read.needs[0].memory_mb == 1_074  # rounded up: a job gets what it asks for
    assert read.by_name["a"].wall_s == 86_400
    assert found["wall_s"] == "1.5s"  # the caller's values stay


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"wall": "2h"}, "unknown field `wall`"),
        ({"wait_s": "2m"}, "<= 100"),
        ({"needs": [{"wall_s": "1h1h"}]}, "at `$.needs[0].wall_s`"),
        ({"by_name": {"a": {"wall_s": "x"}}}, "at `$.by_name[...].wall_s`"),
    ],
)
def test_a_mistake_has_its_place(found: object, said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as refused:
        convert(found, _Holder)

    assert said in str(refused.value)


def test_a_key_without_its_unit_needs_a_value_with_one() -> None:
    need = {"memory": "4GB", "wall": "2h", "scratch": 0}

    read = convert({"command": ["a"], "needs": [need]}, Job, short_keys=True)

    assert read.needs == (Need(memory_mb=4_000, wall_s=7_200),)
    assert short_keys_of(Need)["gpu_memory"] == "gpu_memory_mb"
    for wrong in ({"memory": 4_000}, {"memory": "4GB", "memory_mb": 1}, {"memory": True}):
        with pytest.raises(msgspec.ValidationError, match=r"needs\[0\].memory`"):
            convert({"command": ["a"], "needs": [wrong]}, Job, short_keys=True)
