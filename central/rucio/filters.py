"""Filters over metadata, in the form that Rucio's users write: `run>=5,kind=raw;kind=sim`.

A comma joins conditions that must all be met, and a semicolon joins alternatives. Rucio itself
cannot compare a file's own keys and its time of creation in one request, so this is done here.
"""

import operator
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

_TERM: Final = re.compile(r"\s*([A-Za-z][A-Za-z0-9_.-]*)\s*(>=|<=|!=|=|>|<)\s*(.+?)\s*")
_ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


class BadFilter(ValueError):
    """A filter has another form."""


class Term(NamedTuple):
    """A condition of a filter."""

    key: str
    op: str
    value: str

    def meets(self, value: object) -> bool:
        """Return whether a value of the key meets it. None, a missing key, meets no condition."""
        if value is None:
            return False
        mine, theirs = _number(self.value), _number(value)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if self.op in _ORDERS:
            both = (theirs, mine) if mine is not None and theirs is not None else (text, self.value)
            return _ORDERS[self.op](*both)
        same = mine == theirs if mine is not None else fnmatchcase(text, _pattern(self.value))
        return same is (self.op == "=")


class Filter(NamedTuple):
    """A filter: the conditions of each alternative."""

    alternatives: tuple[tuple[Term, ...], ...]

    def meets(self, metadata: Mapping[str, object]) -> bool:
        """Return whether a file with these metadata is wanted."""
        return any(
            all(term.meets(metadata.get(term.key)) for term in terms) for terms in self.alternatives
        )


def parse_filter(text: str) -> Filter:
    """Return the filter that a text describes; an empty one takes all. Raises BadFilter."""
    if not text.strip():
        return Filter(((),))
    return Filter(tuple(tuple(_term(one) for one in some.split(",")) for some in text.split(";")))


def _term(text: str) -> Term:
    found = _TERM.fullmatch(text)
    if found is None:
        right = "expected KEY and one of = != > < >= <= and a value, as in run>=5,kind=raw"
        raise BadFilter(f"found {text!r}, {right}")
    return Term(*found.groups())


def _number(value: object) -> float | None:
    """Return a number; a text that looks like one is one. In Rucio, "20" equals 20."""
    if isinstance(value, bool):
        return None
    try:
        return float(value) if isinstance(value, (int, float, str)) else None
    except (ValueError, OverflowError):
        return None


def _pattern(value: str) -> str:
    """Return the value as a pattern in which `*` alone has a meaning, as in Rucio."""
    return value.replace("[", "[[]").replace("?", "[?]")
