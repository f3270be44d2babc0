"""Structs with the names, fields and JSON of the pilots' dataclasses.

A pilot has no compiled packages. The central decodes and encodes these messages some ten thousand
times a second, so here they are structs.
"""

import typing
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Any

import msgspec


def _as_it_is(field: str, hint: Any) -> Any:
    return hint


def like(kind: Any, bounded: Callable[[str, Any], Any] = _as_it_is) -> Any:
    """Return a frozen struct like a message class; `bounded` returns the type of a field."""
    hints = typing.get_type_hints(kind)
    return msgspec.defstruct(
        kind.__name__,
        [_field(one, bounded(one.name, hints[one.name])) for one in fields(kind)],
        frozen=True,
        gc=False,
    )


def _field(one: "Field[Any]", hint: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    if one.default is not MISSING:
        return one.name, hint, one.default
    if one.default_factory is not MISSING:
        return one.name, hint, msgspec.field(default_factory=one.default_factory)
    return one.name, hint
