"""Options that take a size or a time: `--memory 4GB`, `--wall 2h`.

An option also has the name of its field, with the unit at its end: `--memory-mb`. Under this name
it takes plain numbers too.
"""

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar, cast, get_args

from cyclopts import Parameter, Token

from pilotage.proto.quantities import BadQuantity, short_name, unit_of

from .whole_numbers import converted

T = TypeVar("T")
_NUMBER: Final = re.compile(r"[-+]?[0-9.]+(e[-+]?[0-9]+)?|[-+]?(nan|inf|infinity)", re.IGNORECASE)


def option_name(field: str) -> str:
    """Return the name of the option for a field: `--memory` for `memory_mb`."""
    return "--" + (short_name(field) or field).replace("_", "-")


def with_unit(field: str, **parameter: Any) -> Parameter:
    """Return the parameter of an option for a field whose name ends in its unit."""
    name, long = option_name(field), "--" + field.replace("_", "-")
    unit = unit_of(field)
    assert unit is not None, field

    def convert(kind: Any, tokens: Sequence[Token]) -> object:
        token = tokens[0]
        if not _NUMBER.fullmatch(token.value):
            try:
                number = unit.read(token.value)
            except BadQuantity as why:
                raise ValueError(str(why)) from None
            is_whole = any(one is int or type(one) is int for one in (kind, *get_args(kind)))
            value = str(math.ceil(number) if is_whole else number)
            token = cast("Token", cast("Any", token).evolve(value=value))
        elif token.keyword == name != long and token.value != "0":
            raise ValueError(unit.expected(token.value))
        return converted(kind, (token,))

    names = (name, long) if name != long else name

    def show(default: Any) -> str | None:
        return unit.written(default) if default else None

    return Parameter(name=names, converter=convert, show_default=show, **parameter)


def with_units(options: type[T]) -> type[T]:
    """Let the options of a class take sizes and times, if the names of their fields have a unit."""
    for name, kind in options.__annotations__.items():
        if unit_of(name) is not None:
            options.__annotations__[name] = Annotated[kind, with_unit(name)]
    return options
