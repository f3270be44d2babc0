"""How YAML is read."""

import time

from pilotage.proto.strict_yaml import load_strictly


def test_numbers_are_read_and_none_has_the_base_60() -> None:
    said = "{a: 12, b: -1.5, c: 0x10, d: 1:59, e: 1:59.5, f: 1_000}"
    assert load_strictly(said) == {
        "a": 12, "b": -1.5, "c": 16, "d": "1:59", "e": "1:59.5", "f": 1000,
    }  # fmt: skip


def test_a_long_text_that_looks_like_one_number_takes_no_time() -> None:
    long = "1" + ":59" * 60_000
    begun = time.process_time()
    assert load_strictly(f"budgets: {{infra: {long}}}") == {"budgets": {"infra": long}}
    assert time.process_time() - begun < 0.5
