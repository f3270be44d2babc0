"""Whole numbers on the command line. 2.5 is refused; cyclopts would round it."""

from collections.abc import Sequence
from enum import Enum
from typing import Any, cast, get_args

from cyclopts import Parameter, Token, convert
from cyclopts.validators import Number

_UNITS = {"mb": " of MB, such as 2000", "s": " of seconds, such as 3600"}


def _whole(_: Any, tokens: Sequence[Token]) -> int:
    """Return the number. Raises ValueError; cyclopts adds the name of the option."""
    text = tokens[0].value
    if not text.removeprefix("-").isdecimal() or not text.isascii():
        raise ValueError(f"found {text!r}, expected a whole number")
    return int(text)


def converted(kind: Any, tokens: Sequence[Token]) -> object:
    """Convert the value of a parameter as cyclopts does, but refuse parts of whole numbers."""
    kinds = (kind, *get_args(kind))  # for `int | None` and `Literal[10, 60]`
    if any(one is int or type(one) is int for one in kinds):
        for token in tokens:
            _check_whole(token, words=str in kinds)
    for one in kinds:
        if isinstance(one, type) and issubclass(one, Enum):
            tokens = [_by_name(one, token) for token in tokens]
    return cast("object", convert(kind, tokens))


def _by_name(kind: type[Enum], token: Token) -> Token:
    """Return a word with the name of its member: an enum may also read names of older releases."""
    try:
        name = kind(token.value).name
    except ValueError:
        return token
    return cast("Token", cast("Any", token).evolve(value=name))


def _check_whole(token: Token, *, words: bool) -> None:
    """Raise ValueError for a fraction, or for a word if the option takes none. 30.0 passes."""
    try:
        is_whole = float(token.value).is_integer()
    except ValueError:
        is_whole = words or token.value[:2].lower() in ("0x", "0o", "0b")  # cyclopts reads these
    if not is_whole:
        unit = _UNITS.get((token.keyword or "").rpartition("-")[2], "")
        raise ValueError(f"found {token.value!r}, expected a whole number{unit}")


def whole(help: str, *, least: int = 0) -> Parameter:
    """Return the parameter of a whole number of at least `least`."""
    return Parameter(help=help, converter=_whole, validator=Number(gte=least))
