"""Sizes and times with a unit in documents that people write. Pure.

Files and settings may say `memory_mb: 4GB`; the central stores and sends the number 4000. Requests
and messages of programs are decoded without this module, and have numbers only.
"""

import math
from typing import Any, TypeGuard, TypeVar

import msgspec
from msgspec import inspect

from ..quantities import BadQuantity, Unit, short_name, unit_of
from .complaints import arms, number_type

T = TypeVar("T")


def convert(found: Any, kind: type[T], *, short_keys: bool = False) -> T:
    """Return plain values as a `kind`. Its sizes and times may be texts, such as 4GB and 2h.

    With `short_keys` a key may have the field's name without the unit, such as `memory`; then its
    value must have one. Raises ValidationError, as msgspec does.
    """
    return msgspec.convert(with_numbers(found, kind, short_keys=short_keys), kind, strict=True)


def with_numbers(found: Any, kind: Any, *, short_keys: bool = False) -> Any:
    """Return plain values with numbers in place of sizes and times. See `convert`."""
    return _Reader(short_keys).read(found, inspect.type_info(kind), "$")


def short_keys_of(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return the keys without their unit of a struct, and the field of each."""
    fields = {one.encode_name for one in msgspec.structs.fields(kind)}
    return _short(fields)


def _short(fields: set[str]) -> dict[str, str]:
    names = {short_name(field): field for field in fields}
    return {short: field for short, field in names.items() if short and short not in fields}


class _Reader:
    def __init__(self, short_keys: bool) -> None:
        self._short_keys = short_keys

    def read(self, found: Any, kind: inspect.Type, path: str) -> Any:
        for arm in arms(kind):
            if isinstance(arm, inspect.StructType | inspect.DataclassType):
                if _is_mapping(found):
                    return self._object(found, arm, path)
            elif isinstance(arm, inspect.ListType | inspect.VarTupleType):
                if _is_list(found):
                    inner = arm.item_type
                    return [self.read(one, inner, f"{path}[{i}]") for i, one in enumerate(found)]
            elif isinstance(arm, inspect.DictType) and _is_mapping(found):
                inner = arm.value_type
                return {key: self.read(one, inner, f"{path}[...]") for key, one in found.items()}
        return found

    def _object(
        self,
        found: dict[Any, Any],
        kind: inspect.StructType | inspect.DataclassType,
        path: str,
    ) -> dict[Any, Any]:
        types: dict[Any, inspect.Type] = {one.encode_name: one.type for one in kind.fields}
        short: dict[Any, str] = _short(set(types)) if self._short_keys else {}
        made: dict[Any, Any] = {}
        for key, value in found.items():
            name: Any = short.get(key, key)
            here = types.get(name)
            unit = unit_of(name) if here is not None else None
            if name != key and name in found:
                raise _wrong(f"give either {key} or {name}, not both", f"{path}.{key}")
            if here is not None and unit is not None and (number := number_type(here)) is not None:
                value = _quantity(value, unit, number, f"{path}.{key}", is_short=name != key)
            elif here is not None:
                value = self.read(value, here, f"{path}.{key}")
            made[name] = value
        return made


def _quantity(
    value: Any,
    unit: Unit,
    kind: inspect.IntType | inspect.FloatType,
    path: str,
    *,
    is_short: bool,
) -> Any:
    if isinstance(value, str):
        try:
            read = unit.read(value)
        except BadQuantity as why:
            raise _wrong(str(why), path) from None
        return math.ceil(read) if isinstance(kind, inspect.IntType) else read
    if is_short and value != 0 and isinstance(value, int | float):
        raise _wrong(unit.expected(value), path)
    return value


def _is_mapping(value: Any) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _is_list(value: Any) -> TypeGuard[list[Any] | tuple[Any, ...]]:
    return isinstance(value, list | tuple)


def _wrong(message: str, path: str) -> msgspec.ValidationError:
    return msgspec.ValidationError(f"{message} - at `{path}`")
