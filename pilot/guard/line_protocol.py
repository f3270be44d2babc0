"""The messages between the pilot and its guard: JSON, one message on each line.

The guard does not import the package `json`, whose regular expressions would take a twelfth of its
memory. The C code below is enough. If a Python lacks it, the package is used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Message = dict[str, Any]

SEPARATORS = (",", ":")


class _Rules:
    """Settings of the C code that make it read like `json.loads`."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": -float("inf")}.get
    memo: dict[str, str] = {}


def _refuse(value: object) -> object:
    raise TypeError(f"{value!r} cannot be part of a message")


def _lean() -> tuple[Callable[[str], Message], Callable[[Message], str]]:
    from _json import encode_basestring_ascii, make_encoder, make_scanner

    comma, colon = SEPARATORS
    scan = make_scanner(_Rules)  # type: ignore[arg-type]
    pieces = make_encoder(
        {}, _refuse, encode_basestring_ascii, None, colon, comma, False, False, True
    )
    return (lambda text: scan(text, 0)[0]), (lambda message: "".join(pieces(message, 0)))


def _whole() -> tuple[Callable[[str], Message], Callable[[Message], str]]:
    import json

    return json.loads, (lambda message: json.dumps(message, separators=SEPARATORS))


try:
    _read, _write = _lean()
except ImportError:
    _read, _write = _whole()


def read(line: bytes) -> Message:
    """Return the message of a line."""
    return _read(line.decode())


def written(message: Message) -> bytes:
    """Return the line of a message, with its line end."""
    return _write(message).encode() + b"\n"
