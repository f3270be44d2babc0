"""Decodes and checks messages from pilots in one step.

`proto.limits` has the rules. Checking each field with them would take as long as all other work for
a report. So the decoder checks nearly all messages: the same tables give the bounds of its types.
That covers lengths and ranges; characters need no check if the whole message is printable ASCII
without escapes. All other messages are decoded and checked field by field, which also gives the
text of a refusal.
"""

import enum
import typing
from dataclasses import replace
from typing import Annotated, Any, TypeVar, cast

import msgspec
from msgspec import Meta

from pilotage.proto import limits
from pilotage.proto.amounts import AMOUNT_MAX, AMOUNTS_MAX, NAME_MAX, OF_OFFERS
from pilotage.proto.problems import Code

from .decode import decode
from .errors import Refused
from .message_structs import like

T = TypeVar("T")

_OFFERED = Annotated[
    str, Meta(pattern=f"^(?!({'|'.join(OF_OFFERS)})$)[a-z][a-z0-9_]*$", max_length=NAME_MAX)
]
_PATH = r"^(?!/)(?!(?:.*/)?\.\.(?:/|$))"
_LIKE: dict[Any, Any] = {}  # message class to a struct with the same fields, with bounds
_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}


def hear(body: bytes, kind: type[T]) -> T:
    """Decode and check `body`; return a `kind`, or a struct with its fields.

    Raises Refused, MALFORMED or INVALID, with the field.
    """
    if body.isascii() and b"\\" not in body and b"\x7f" not in body:
        try:
            return cast(T, _decoder(kind).decode(body))
        except (msgspec.DecodeError, RecursionError):
            pass  # the slow check explains the fault
    message = decode(body, kind)
    check(message)
    return message


def altered(message: T, **fields: Any) -> T:
    """Return a received message, in either form, with other values in some fields."""
    if isinstance(message, msgspec.Struct):
        return cast(T, msgspec.structs.replace(message, **fields))
    return cast(T, replace(cast(Any, message), **fields))


def check(message: Any) -> None:
    """Check the ranges of a pilot's message. Raises Refused with the field."""
    try:
        limits.check(message)
    except limits.OutOfRange as why:
        raise Refused(Code.INVALID, f"$.{why}", field=f"$.{why.field}") from None


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    made = _DECODERS.get(kind)
    if made is None:
        made = _DECODERS[kind] = msgspec.json.Decoder(_like(kind))
    return made


def _like(kind: Any) -> Any:
    """Return a struct like a message class, with bounds on its fields."""
    made = _LIKE.get(kind)
    if made is None:
        rules = limits.TABLE.get(kind, {})
        made = _LIKE[kind] = like(kind, lambda name, hint: _bounded(hint, rules.get(name)))
    return made


def _bounded(hint: Any, rule: limits.FieldRule | None) -> Any:
    """Return the type of a field with the bounds of its rule."""
    match rule:
        case None:
            # Fields without a rule hold no free text: flags, and words from a fixed set.
            assert hint in (bool, bool | None) or _is_word(hint), f"{hint} has no rule"
            return hint
        case limits.Whole() | limits.Number():
            return Annotated[hint, Meta(ge=rule.low, le=rule.high)]
        case limits.Name():
            return Annotated[str, Meta(min_length=rule.shortest, max_length=rule.longest)]
        case limits.Text():
            return Annotated[str, Meta(max_length=rule.longest)]
        case limits.Hash():
            return Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
        case limits.Adler():
            return Annotated[str, Meta(pattern="^[0-9a-f]{8}$", max_length=8)]
        case limits.RelativePath():
            longest = limits.PATH_MAX
            return Annotated[str, Meta(min_length=1, max_length=longest, pattern=_PATH)]
        case limits.ListRule():
            item = _bounded(typing.get_args(hint)[0], rule.item)
            items: Any = tuple[item, ...]  # type: ignore[valid-type]
            return Annotated[items, Meta(max_length=rule.longest)]
        case limits.Amounts():
            amounts: Any = dict[_OFFERED, Annotated[int, Meta(ge=0, le=AMOUNT_MAX)]]
            return Annotated[amounts, Meta(max_length=AMOUNTS_MAX)]
        case limits.OptionalRule():
            (inner,) = (arm for arm in typing.get_args(hint) if arm is not type(None))
            return _bounded(inner, rule.rule) | None
        case _:
            return _like(hint)


def _is_word(hint: Any) -> bool:
    arms = [arm for arm in typing.get_args(hint) or (hint,) if arm is not type(None)]
    return all(isinstance(arm, type) and issubclass(arm, enum.Enum) for arm in arms)
