"""Which limit is passed when, what is said of it, and when a payload is looked at again."""

import pytest

from pilotage.pilot.guard.limits import (
    EVERY_S,
    FILES_MAX,
    NEAR_S,
    UNLIMITED,
    PayloadLimits,
    PayloadUse,
    look_again_in_s,
    passed,
    size,
)

GIVEN = {
    "cpu_s": 3600,
    "memory_mb": 2000,
    "scratch_mb": 10_000,
    "streams_mb": 1000,
    "processes": 64,
    "stall_s": 7200,
}

# What is used, then the word, whether there is no grace, and the figures. A dash: no limit passed.
TABLE = """
    cpu_s=3600                    -
    cpu_s=3601                    cpu        soft     used 3601 s of CPU, was given 3600 s
    cpu_s=5000                    cpu        at_once  used 5000 s of CPU, was given 3600 s
    memory_mb=2000                -
    memory_mb=3210                memory     at_once  used 3.2 GB, was given 2.0 GB
    memory_mb=2000.1              memory     at_once  used 2.0 GB, was given 2.0 GB
    scratch_mb=10000              -
    scratch_mb=11000              scratch    soft     wrote 11.0 GB to its folder, was given 10.0 GB
    scratch_mb=12501              scratch    at_once  wrote 12.5 GB to its folder, was given 10.0 GB
    streams_mb=1001               streams    soft     printed 1.0 GB, was given 1.0 GB
    streams_mb=9000               streams    at_once  printed 9.0 GB, was given 1.0 GB
    processes=65                  processes  at_once  had 65 processes at once, was given 64
    idle_s=7201                   stalled    soft     used no CPU for 7201 s, the limit is 7200 s
    memory_mb=2001,cpu_s=3601     memory     at_once  used 2.0 GB, was given 2.0 GB
    streams_mb=1001,idle_s=9000   streams    soft     printed 1.0 GB, was given 1.0 GB
"""


def _use(words: str) -> PayloadUse:
    use = PayloadUse()
    for word in words.split(","):
        name, value = word.split("=")
        setattr(use, name, float(value) if name != "processes" else int(value))
    return use


@pytest.mark.parametrize("line", TABLE.strip().splitlines())
def test_a_limit_is_passed_with_its_word_and_its_figures(line: str) -> None:
    words, why, *rest = line.split(maxsplit=3)

    found = passed(PayloadLimits(GIVEN), _use(words))

    if why == "-":
        assert found is None
    else:
        assert found is not None
        assert [found.why, "at_once" if found.at_once else "soft", found.detail] == [why, *rest]


def test_without_limits_nothing_is_passed() -> None:
    use = _use("cpu_s=1e9,memory_mb=1e9,scratch_mb=1e9,streams_mb=1e9,processes=100000,idle_s=1e9")
    use.files, use.unmeasurable = 10**9, "hidden"

    assert passed(PayloadLimits({}), use) is None
    assert passed(PayloadLimits(dict.fromkeys(GIVEN, 0)), use) is None


def test_whoever_has_a_disk_has_so_many_files_and_shows_them() -> None:
    many, hidden = PayloadUse(), PayloadUse()
    many.files, hidden.unmeasurable = FILES_MAX + 1, "nested too deep"

    found = [passed(PayloadLimits({"scratch_mb": 10}), use) for use in (many, hidden)]

    assert [one.detail for one in found if one] == [
        "has 1000001 files in its folder, at most 1000000 are allowed",
        "nested too deep",
    ]


def test_the_nearer_a_limit_the_sooner_a_payload_is_looked_at() -> None:
    def again(limit: float, before: float, now: float) -> float:
        return look_again_in_s(limit, before, now, 1.0)

    assert again(UNLIMITED, 0.0, 500.0) == EVERY_S
    assert again(1000.0, 500.0, 400.0) == EVERY_S
    assert again(1000.0, 0.0, 500.0) == pytest.approx(0.5)
    assert again(1000.0, 500.0, 900.0) == pytest.approx(0.125)
    assert again(1000.0, 500.0, 999.0) == NEAR_S
    assert again(1000.0, 500.0, 2000.0) == NEAR_S


@pytest.mark.parametrize(
    ("mb", "text"), [(0.4, "0.4 MB"), (12.7, "13 MB"), (999, "999 MB"), (3210, "3.2 GB")]
)
def test_sizes_are_said_for_people(mb: float, text: str) -> None:
    assert size(mb) == text
