"""The maximum depth of values from outside, and a JSON reader that refuses deeper ones.

Values nested deeper than Python's stack make every recursive function raise an error. They are
therefore refused at the entrance, at a much smaller depth.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeVar, cast

import msgspec

T = TypeVar("T")

NESTED_MAX: Final = 64
TOO_DEEP: Final = f"nested deeper than {NESTED_MAX} levels"

_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_ALIKE: Final = bytes.maketrans(b"{}", b"[]")
PART_BYTES: Final = 1 << 20  # that are examined at a time


def is_deep(data: bytes | memoryview | msgspec.Raw) -> bool:
    """Return whether JSON, complete or cut off, is nested deeper than NESTED_MAX."""
    plain = bytes(data)
    if len(plain.translate(None, _NO_BRACKETS)) <= NESTED_MAX:
        return False
    rest, deep = _peeled(_brackets(plain))
    return deep or len(rest) > NESTED_MAX


def _brackets(data: bytes) -> bytes:
    """Return the brackets outside of strings, all converted to one kind."""
    if b"\\" in data:
        data = data.replace(b"\\\\", b"").replace(b'\\"', b"")
    found: list[bytes] = []
    in_text = 0
    for start in range(0, len(data), PART_BYTES):
        parts = data[start : start + PART_BYTES].split(b'"')
        found.append(b"".join(parts[in_text::2]).translate(_ALIKE, _NO_BRACKETS))
        in_text ^= (len(parts) - 1) & 1
    return b"".join(found)


def _peeled(brackets: bytes) -> tuple[bytes, bool]:
    """Return the brackets without NESTED_MAX inner layers, and whether another layer was left."""
    for _ in range(NESTED_MAX + 1):
        before, brackets = brackets, brackets.replace(b"[]", b"")
        if brackets == before:
            return brackets, False
    return brackets, True


def is_deep_value(value: object) -> bool:
    """Return whether lists and mappings are nested deeper than NESTED_MAX."""
    layer: list[object] = [value]
    for _ in range(NESTED_MAX):
        layer = [inner for one in layer for inner in _inside(one)]
        if not layer:
            return False
    return True


def _inside(value: object) -> Iterable[object]:
    """Return the entries of a list, or the values of a mapping, that are lists or mappings."""
    found: Iterable[object] = ()
    if isinstance(value, dict):
        found = cast("dict[object, object]", value).values()
    elif isinstance(value, list):
        found = cast("list[object]", value)
    return [
        cast("dict[object, object] | list[object]", one)
        for one in found
        if isinstance(one, (dict, list))
    ]


def loads(data: bytes, kind: type[T] | Any = Any) -> T:
    """Return JSON as a `kind`. Raises msgspec.DecodeError, also if it is nested too deep."""
    if is_deep(data):
        raise msgspec.DecodeError(TOO_DEEP)
    try:
        return cast(T, msgspec.json.decode(data, type=kind))
    except RecursionError:
        raise msgspec.DecodeError(TOO_DEEP) from None
