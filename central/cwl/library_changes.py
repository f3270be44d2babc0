"""Changes of the CWL library: its time grows with the square of the jobs, or of the files."""

import copy
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, Final

from cwltool import builder, command_line_tool

_MAP: Final[Any] = vars(builder)["CommentedMap"]  # of the YAML library
_OWN_TOSTR: Final = builder.Builder.tostr


def change() -> None:
    """Change the library in this process."""
    modules: list[Any] = [command_line_tool, builder]
    modules[0].uniquename = _same_name
    modules[1].Builder.tostr = _tostr
    modules[1].copy = SimpleNamespace(copy=copy.copy, deepcopy=_deepcopy)


def _same_name(stem: str, names: set[str] | None = None) -> str:
    """Return a name as it is. The library looks for a new number, from 1 on, for each job."""
    return stem


def _tostr(self: Any, value: Any) -> str:
    """Return a value as a word. Numbers have no exponent; the library sees to that in YAML only."""
    if isinstance(value, float) and "e" in repr(value):
        return format(Decimal(repr(value)), "f")
    return str(_OWN_TOSTR(self, value))


def _deepcopy(one: Any) -> Any:
    """Copy a binding without its value: the library copies a whole array for each element."""
    if isinstance(one, _MAP) and "datum" in one:
        plain: Any = one
        return type(plain)({key: value for key, value in plain.items() if key != "datum"})
    return copy.deepcopy(one)
