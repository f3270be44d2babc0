"""Bytes from outside to messages, and what is wrong with them in words that help.

Faces decode request bodies with `decode`; services decode with it what arrives inside of a body
(one job of many), so that an error names its field in the same way everywhere.
"""

import difflib
import re
from typing import Any, TypeVar, cast

import msgspec
from msgspec import inspect

from pilotage.proto.problems import Code

from .errors import Refused

T = TypeVar("T")

_WHERE = re.compile(r"^(?P<what>.*?)(?: - at `(?:key in )?(?P<path>\$.*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"contains unknown field `(?P<name>.*)`", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<name>.*)`", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")
_SHOWN_MAX = 80
_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}  # one for each message class of ours


def decode(data: bytes | memoryview | msgspec.Raw, kind: type[T], *, where: str = "$") -> T:
    """Return the `kind` in `data` (JSON). Raises Refused, MALFORMED or INVALID with the field.

    `where` is the path of `data` within the whole request, `$.jobs[3]` for one job of many.
    """
    try:
        return cast(T, _decoder(kind).decode(data))
    except msgspec.ValidationError as why:
        raise invalid(why, data, kind, where=where) from None
    except (msgspec.DecodeError, RecursionError) as why:
        raise Refused(Code.MALFORMED, f"{where} is not JSON: {why}", field=where) from None


def invalid(
    why: msgspec.ValidationError, data: bytes | memoryview | msgspec.Raw, kind: Any, *, where: str
) -> Refused:
    """Return what to answer: the field's path, the value found there, and what is right."""
    found = _WHERE.match(str(why))
    what = found["what"] if found else str(why)
    path = (found["path"] if found else None) or "$"
    unknown = _UNKNOWN.search(what)
    if unknown is not None:
        return _unknown_field(unknown["name"], path, kind, where=where)
    missing = _MISSING.search(what)
    if missing is not None:
        field = f"{where}{path[1:]}.{missing['name']}"
        return Refused(Code.INVALID, f"{field} is required and missing", field=field)
    field = where + path[1:]
    value = _value_at(data, path)
    shown = "" if value is None else f", found {value}"
    return Refused(Code.INVALID, f"{field}: {what}{_words_at(kind, path)}{shown}", field=field)


def _unknown_field(name: str, path: str, kind: Any, *, where: str) -> Refused:
    known = _names_at(kind, path)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    field = f"{where}{path[1:]}.{_short(name)}"
    right = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return Refused(
        Code.INVALID, f"{field}: there is no field {_short(name)!r}; {right}", field=field
    )


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    made = _DECODERS.get(kind)
    if made is None:
        made = _DECODERS[kind] = msgspec.json.Decoder(kind)
    return made


def _steps(path: str) -> list[str]:
    return [name or index for name, index in _STEP.findall(path)]


def _value_at(data: bytes | memoryview | msgspec.Raw, path: str) -> str | None:
    """Return the JSON at `path`, shortened, or None where the path says too little."""
    value: Any = data
    for step in _steps(path):
        try:
            if step.isdigit():
                value = msgspec.json.decode(value, type=list[msgspec.Raw])[int(step)]
            else:
                value = msgspec.json.decode(value, type=dict[str, msgspec.Raw])[step]
        except (msgspec.DecodeError, LookupError):
            return None
    return _short(bytes(value).decode(errors="replace"))


def _names_at(kind: Any, path: str) -> list[str]:
    """Return the field names of the object that `kind` has at `path`."""
    here = inspect.type_info(kind)
    for step in _steps(path):
        here = _inside(here, step)
    holder = _object(here)
    return [one.encode_name for one in holder.fields] if holder is not None else []


def _words_at(kind: Any, path: str) -> str:
    """Return the words that an enum has at `path`, as an addition to a message."""
    here = inspect.type_info(kind)
    for step in _steps(path):
        here = _inside(here, step)
    enums = [arm for arm in _arms(here) if isinstance(arm, inspect.EnumType)]
    return ", one of " + " ".join(str(word.value) for word in enums[0].cls) if enums else ""


def _inside(here: inspect.Type, step: str) -> inspect.Type:
    for arm in _arms(here):
        if isinstance(arm, inspect.StructType | inspect.DataclassType):
            for one in arm.fields:
                if one.encode_name == step:
                    return one.type
        if isinstance(arm, inspect.ListType | inspect.VarTupleType):
            return arm.item_type
        if isinstance(arm, inspect.DictType):
            return arm.value_type
    return inspect.AnyType()


def _object(here: inspect.Type) -> inspect.StructType | inspect.DataclassType | None:
    for arm in _arms(here):
        if isinstance(arm, inspect.StructType | inspect.DataclassType):
            return arm
    return None


def _arms(here: inspect.Type) -> tuple[inspect.Type, ...]:
    return here.types if isinstance(here, inspect.UnionType) else (here,)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else text[: _SHOWN_MAX - 3] + "..."
