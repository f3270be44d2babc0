"""As much of PromQL as our rules use: which labels the two sides of an operator have.

A rule whose sides do not meet is silent for ever, and Prometheus says nothing about it. Both sides
of an operator between vectors must have the same labels, with the same values, but for those that
`ignoring` names (or only those that `on` names count).
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

TARGET: Final = ("job", "instance")  # what Prometheus gives to each series that it scrapes
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<braces>\{[^}]*\})|(?P<range>\[\w+\])|(?P<number>\d[\w.]*)|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>==|!=|<=|>=|[-+*/<>(),]))"
)
_LEVELS: Final = (
    ("or",),
    ("and", "unless"),
    ("==", "!=", "<=", ">=", "<", ">"),
    ("+", "-"),
    ("*", "/"),
)
_AGGREGATIONS: Final = ("sum", "max", "min", "avg", "count")
_LABELS_LOST: Final = {"histogram_quantile": "le"}

Labels = Mapping[str, str]  # of a vector: each with the value that a selector asks for, or ""


class NeverMatches(Exception):
    """The sides of an operator have labels that never meet."""


@dataclass
class _Reader:
    """Reads an expression from the left; `columns` are the labels that each metric has."""

    words: list[tuple[str, str]]
    columns: Mapping[str, tuple[str, ...]]
    at: int = 0

    def peek(self) -> str:
        return self.words[self.at][1] if self.at < len(self.words) else ""

    def take(self, *expected: str) -> str:
        word = self.peek()
        assert word and (not expected or word in expected), (word, expected)
        self.at += 1
        return word

    def kind(self) -> str:
        return self.words[self.at][0] if self.at < len(self.words) else ""

    def level(self, level: int = 0) -> Labels | None:
        """Return the labels of what comes; None for a number."""
        if level == len(_LEVELS):
            return self.primary()
        left = self.level(level + 1)
        while self.peek() in _LEVELS[level]:
            sign = self.take()
            matching = self.matching()
            right = self.level(level + 1)
            left = _met(left, sign, matching, right)
        return left

    def matching(self) -> tuple[str, tuple[str, ...]]:
        if self.peek() in ("on", "ignoring"):
            return self.take(), self.names()
        return "ignoring", ()

    def names(self) -> tuple[str, ...]:
        self.take("(")
        found: list[str] = []
        while self.peek() != ")":
            found.append(self.take())
            if self.peek() == ",":
                self.take()
        self.take(")")
        return tuple(found)

    def primary(self) -> Labels | None:
        if self.kind() == "number":
            self.take()
            return None
        if self.peek() == "(":
            return self.inside()
        name = self.take()
        if name in _AGGREGATIONS:
            return self.aggregated()
        if self.peek() == "(":
            lost = _LABELS_LOST.get(name)
            found = self.inside()
            return None if found is None else {k: v for k, v in found.items() if k != lost}
        return self.selected(name)

    def inside(self) -> Labels | None:
        """Return the labels of the one vector among some arguments."""
        self.take("(")
        found = self.level()
        while self.peek() == ",":
            self.take()
            found = found if found is not None else self.level()
            if self.kind() == "number":
                self.take()
        self.take(")")
        return found

    def aggregated(self) -> Labels:
        how = "by"
        names: tuple[str, ...] = ()
        if self.peek() in ("by", "without"):
            how, names = self.take(), self.names()
        found = self.inside()
        assert found is not None, "an aggregation of a number"
        keep = [one for one in found if (one in names) == (how == "by")]
        return {one: found[one] for one in keep}

    def selected(self, name: str) -> Labels:
        found = dict.fromkeys((*TARGET, *self.columns[name]), "")
        if self.kind() == "braces":
            for label, sign, value in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', self.take()):
                assert label in found, f"{name} has no label {label}"
                if sign == "=":
                    found[label] = value
        if self.kind() == "range":
            self.take()
        return found


def labels_of(expression: str, columns: Mapping[str, tuple[str, ...]]) -> Labels | None:
    """Return the labels of an expression's result. Raises NeverMatches."""
    reader = _Reader(list(_words(expression)), columns)
    found = reader.level()
    assert not reader.peek(), f"{reader.peek()!r} is left over"
    return found


def _words(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(expression.rstrip()):
        found = _TOKEN.match(expression, at)
        assert found and found.lastgroup, f"cannot read {expression[at:]!r}"
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


def _met(
    left: Labels | None, sign: str, matching: tuple[str, tuple[str, ...]], right: Labels | None
) -> Labels | None:
    if left is None or right is None:
        return right if left is None else left
    if sign == "or":
        return left
    how, names = matching
    ours = {k: v for k, v in left.items() if (k in names) == (how == "on")}
    theirs = {k: v for k, v in right.items() if (k in names) == (how == "on")}
    if ours.keys() != theirs.keys():
        raise NeverMatches(f"{sign}: {sorted(ours)} and {sorted(theirs)}")
    for label, value in ours.items():
        if value and theirs[label] and value != theirs[label]:
            raise NeverMatches(f"{sign}: {label} is {value!r} and {theirs[label]!r}")
    return ours if sign not in ("and", "unless") and how == "on" else left
