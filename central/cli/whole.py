"""Whole numbers on the command line: 2.5 is refused, where it would else be taken for 2."""

from collections.abc import Sequence
from typing import Any

from cyclopts import Parameter, Token
from cyclopts.validators import Number


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    """Return the number. Raises ValueError, which cyclopts tells with the name of the option."""
    text = tokens[0].value
    if not text.removeprefix("-").isdecimal() or not text.isascii():
        raise ValueError(f"found {text!r}, expected a whole number")
    return int(text)


def whole(help: str, *, least: int = 0) -> Parameter:
    """Return the parameter of a whole number that is not below `least`."""
    return Parameter(help=help, converter=_whole, validator=Number(gte=least))
