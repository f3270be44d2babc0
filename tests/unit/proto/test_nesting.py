"""How deep JSON is nested: counted without a decoder, which ends where the stack does."""

from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, strategies as st

from pilotage.proto.decoding.nesting import NESTED_MAX, is_deep, is_deep_value, loads
from pilotage.proto.decoding.strict_yaml import NotYaml, load_strictly

WORDS = st.sampled_from(["", "[", "]", "{", "}", '"', "\\", '\\"[', "]]", "a{b"])
JSON = st.recursive(
    WORDS | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=12,
)


def wrapped(value: Any, levels: int) -> Any:
    for level in range(levels):
        value = [value, 1] if level % 2 else {'"[': 2, "a": value}
    return value


def depth(value: object) -> int:
    inner: list[object] = []
    if isinstance(value, dict):
        inner = list(cast("dict[str, object]", value).values())
    elif isinstance(value, list):
        inner = cast("list[object]", value)
    else:
        return 0
    return 1 + max(map(depth, inner), default=0)


@given(JSON, st.integers(0, NESTED_MAX + 8))
def test_both_counts_agree_with_a_walk(value: Any, levels: int) -> None:
    whole = wrapped(value, levels)
    deep = depth(whole) > NESTED_MAX

    assert is_deep(msgspec.json.encode(whole)) is deep
    assert is_deep_value(whole) is deep


@pytest.mark.parametrize("start", [b"[", b'{"a":', b'["[",', b'["}",{"a":'])
def test_what_never_ends_is_deep_too(start: bytes) -> None:
    assert is_deep(start * 100)
    assert is_deep(start * 100_000)


def test_brackets_in_texts_neither_hide_a_level_nor_add_one() -> None:
    hidden: Any = 1
    for _ in range(NESTED_MAX + 1):
        hidden = ["]", hidden, "["]
    most: Any = "[" * NESTED_MAX + "]" * NESTED_MAX
    for _ in range(NESTED_MAX):
        most = ['\\"]', most, "\\"]

    assert is_deep(msgspec.json.encode(hidden))
    assert not is_deep(msgspec.json.encode(most))


def test_json_and_yaml_that_are_nested_deep_are_errors_of_their_form() -> None:
    for levels in (NESTED_MAX + 1, 500, 5_000):
        text = "[" * levels + "]" * levels
        with pytest.raises(msgspec.DecodeError, match="nested deeper than 64 levels"):
            loads(text.encode())
        with pytest.raises(NotYaml):
            load_strictly(text)
    assert loads(b"[[1]]", list[list[int]]) == [[1]]
