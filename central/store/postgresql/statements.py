"""Named statements in asyncpg's form: `:name` becomes `$1`, in order of first use."""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Final, NamedTuple

from ..queries import load

_NAME: Final = re.compile(r"(?<![:\w]):([a-z]\w*)")
_NUMBER: Final = re.compile(r"\$(\d+)")
_REPLACEMENT: Final = "\ufffd"


class Statement(NamedTuple):
    """A statement and its parameters."""

    text: str
    names: tuple[str, ...]  # empty: parameters are given in order
    needs: int  # number of parameters
    returns: bool

    def arguments(self, given: Mapping[str, object] | Sequence[object]) -> list[object]:
        """Return the parameters in order."""
        return storable([given[n] for n in self.names] if isinstance(given, Mapping) else given)

    def numbered(self, given: Mapping[str, object] | Sequence[object], number: int) -> list[object]:
        """Return the parameters of a statement that returns its own number, `:n`."""
        if isinstance(given, Mapping):
            return self.arguments({**given, "n": number})
        found = self.arguments(given)
        return [*found, number] if len(found) < self.needs else found


def storable(values: Sequence[object]) -> list[object]:
    """Return values that PostgreSQL can store: texts with NUL replaced by U+FFFD."""
    return [
        value.replace("\0", _REPLACEMENT) if isinstance(value, str) else value for value in values
    ]


@cache
def statements() -> Mapping[str, Statement]:
    """Return all statements by name."""
    return MappingProxyType({name: _statement(text) for name, text in load("postgresql").items()})


def _statement(text: str) -> Statement:
    names = tuple(dict.fromkeys(_NAME.findall(text)))
    numbers = {name: number for number, name in enumerate(names, 1)}
    text = _NAME.sub(lambda match: f"${numbers[match.group(1)]}", text)
    count = max((int(number) for number in _NUMBER.findall(text)), default=0)
    return Statement(text, names, count, "RETURNING" in text)
