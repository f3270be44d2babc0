"""Conversion of messages to JSON and back with the standard library alone, for pilots.

The central decodes the same dataclasses with msgspec; `tests/unit/proto` checks that both agree.
Unknown fields are ignored, and unknown enum words become `other`, so that an old pilot understands
a newer central.
"""

import dataclasses
import enum
import json
import typing
from functools import lru_cache
from typing import Any, TypeVar

T = TypeVar("T")


class BadMessage(ValueError):
    """The bytes are not the expected message. Treat it as no answer."""

    def __init__(self, where: str, found: str, right: str) -> None:
        super().__init__(f"{where}: found {found}, expected {right}")


def encode(message: Any) -> bytes:
    """Return the message as compact JSON; fields that hold their default are left out."""
    return _JSON.encode(plain(message)).encode()


def plain(value: Any) -> Any:
    """Return `value` as dict, list, str, int, float, bool and None."""
    if type(value) in _PLAIN:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            name: plain(found)
            for name, default in _fields(type(value))
            if (found := getattr(value, name)) != default
        }
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (tuple, list, frozenset)):
        return [plain(item) for item in typing.cast("typing.Iterable[Any]", value)]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in typing.cast("dict[str, Any]", value).items()}
    return value


def decode(kind: type[T], data: bytes) -> T:
    """Return the message of class `kind` in `data`, or raise BadMessage."""
    try:
        return typing.cast(T, build(kind, json.loads(data), kind.__name__))
    except BadMessage:
        raise
    except (ValueError, RecursionError) as why:  # the bytes may be nested to any depth
        raise BadMessage(kind.__name__, repr(data[:80]), f"JSON ({why})") from None


def build(kind: Any, value: Any, where: str) -> Any:
    """Return `value` (plain) as an instance of the annotation `kind`, or raise BadMessage."""
    if kind in _PLAIN:
        _expect(type(value) is kind, where, value, _NAMES[kind])
        return value
    origin = typing.get_origin(kind)
    if origin is typing.Union:
        inner = next(arm for arm in typing.get_args(kind) if arm is not type(None))
        return None if value is None else build(inner, value, where)
    if origin is tuple:
        _expect(isinstance(value, list), where, value, "a list")
        item = typing.get_args(kind)[0]
        return tuple(build(item, one, f"{where}[{i}]") for i, one in enumerate(value))
    if origin is dict:
        _expect(isinstance(value, dict), where, value, "an object")
        item = typing.get_args(kind)[1]
        return {str(key): build(item, one, f"{where}.{key}") for key, one in value.items()}
    if dataclasses.is_dataclass(kind):
        return _build_message(kind, value, where)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _build_word(kind, value, where)
    if kind is float:
        _expect(
            isinstance(value, (int, float)) and not isinstance(value, bool),
            where,
            value,
            "a number",
        )
        return float(value)
    _expect(type(value) is kind, where, value, "another type")
    return value


def _build_message(kind: Any, value: Any, where: str) -> Any:
    _expect(isinstance(value, dict), where, value, "an object")
    given = {
        name: build(annotation, value[name], f"{where}.{name}")
        for name, annotation in _hints(kind).items()
        if name in value
    }
    try:
        return kind(**given)
    except TypeError:
        wanting = [
            name for name, default in _fields(kind) if default is _REQUIRED and name not in given
        ]
        raise BadMessage(where, "no " + ", ".join(wanting), "all required fields") from None


def _build_word(kind: Any, value: Any, where: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        if "OTHER" in kind.__members__:
            return kind["OTHER"]
        raise BadMessage(where, repr(value), "one of " + ", ".join(w.value for w in kind)) from None


_JSON = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)
_REQUIRED = object()
_NAMES: dict[Any, str] = {int: "an integer", str: "text", bool: "true or false"}
_PLAIN = frozenset(_NAMES)  # JSON has these types


@lru_cache(maxsize=128)
def _fields(kind: Any) -> tuple[tuple[str, Any], ...]:
    pairs: list[tuple[str, Any]] = []
    for one in dataclasses.fields(kind):
        default: Any = one.default
        if default is dataclasses.MISSING:
            factory = one.default_factory
            default = (
                _REQUIRED
                if factory is dataclasses.MISSING
                else typing.cast("typing.Callable[[], Any]", factory)()
            )
        pairs.append((one.name, default))
    return tuple(pairs)


@lru_cache(maxsize=128)
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _expect(holds: bool, where: str, value: Any, right: str) -> None:
    if not holds:
        raise BadMessage(where, repr(value)[:80], right)
