"""How YAML is read."""

import time

import pytest

from pilotage.proto.decoding.strict_yaml import NotYaml, load_strictly


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("command: [true]\nneeds:\n\tcores_min: 1\n", 3),
        ("\tcommand: [true]\n", 1),
        ("a:\n  b: 1\n\tc: 2\n", 3),
        ("a:\n - b\n\t- c\n", 3),
        ("a: |\n\tx\n", 2),
    ],
)
def test_a_tab_is_called_one(text: str, line: int) -> None:
    with pytest.raises(NotYaml, match="found a tab: indent YAML with spaces") as wrong:
        load_strictly(text)

    assert wrong.value.line == line


def test_what_is_wrong_beside_a_tab_is_not_the_tab() -> None:
    with pytest.raises(NotYaml, match="cannot start any token"):
        load_strictly("a:\t{\n\tb: @x}\n")
    assert load_strictly("a:\t1\n") == {"a": 1}


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
