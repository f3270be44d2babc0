"""Decodes bytes from outside into messages, and explains their faults.

Faces decode request bodies with `decode`. Services use it for parts of a body (one job of many). So
errors name their field in the same way everywhere.
"""

from typing import Any, Final, TypeVar, cast

import msgspec

from pilotage.proto.api.productions import ProductionAction
from pilotage.proto.api.transformations import TransformationAction
from pilotage.proto.decoding.complaints import MISSING, Complaint, complaint
from pilotage.proto.decoding.nesting import is_deep
from pilotage.proto.problems import Code

from .errors import Refused, TooDeep

T = TypeVar("T")

ACTIONS: Final = (ProductionAction, TransformationAction)  # their messages name the field

_DECODERS: dict[Any, msgspec.json.Decoder[Any]] = {}  # one for each message class


def decode(data: bytes | memoryview | msgspec.Raw, kind: type[T], *, where: str = "$") -> T:
    """Decode `data` (JSON) as a `kind`. Raises Refused, MALFORMED or INVALID, with the field.

    `where` is the path of `data` within the whole request: `$.jobs[3]` for one job of many.
    """
    if is_deep(data):
        raise TooDeep(where)
    try:
        return cast(T, _decoder(kind).decode(data))
    except msgspec.ValidationError as why:
        raise invalid(why, data, kind, where=where) from None
    except RecursionError:
        raise TooDeep(where) from None
    except msgspec.DecodeError as why:
        raise Refused(Code.MALFORMED, f"{where} is not JSON: {why}", field=where) from None


def invalid(
    why: msgspec.ValidationError, data: bytes | memoryview | msgspec.Raw, kind: Any, *, where: str
) -> Refused:
    """Return the refusal: the field's path, the value found there, and the right form."""
    found = complaint(why, kind, data)
    if kind in ACTIONS and found.path == "$":
        name, colon, says = found.message.partition(": ")
        if colon and name in kind.__struct_fields__:
            found = Complaint(f"$.{name}", says)
    field = where + found.path[1:]
    sign = " " if found.message == MISSING else ": "
    return Refused(Code.INVALID, f"{field}{sign}{found.message}", field=field)


def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    made = _DECODERS.get(kind)
    if made is None:
        made = _DECODERS[kind] = msgspec.json.Decoder(kind)
    return made
