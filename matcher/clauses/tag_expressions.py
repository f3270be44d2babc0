"""Boolean expressions over tags: `cvmfs:ctao & (gpu | ~legacy)`.

    any   = all { "|" all }
    all   = not { "&" not }
    not   = "~" not | "(" any ")" | tag

An empty expression always holds.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from types import UnionType
from typing import Final, NamedTuple

from ..errors import BadTags
from .tag_choices import TagChoices, all_of, any_of, one_tag, told

__all__ = ["EVERY_TAG", "BadTags", "TagExpression", "count", "parse"]

DEPTH_MAX: Final = 32  # of nested brackets and negations: bounds the recursion

_TOKEN = re.compile(r"(?P<tag>[A-Za-z0-9][A-Za-z0-9._:/@+-]*)|(?P<sign>[&|~()])|(?P<other>\S)")


_WORDS_FOR_SIGNS: Final = {"and": "&", "or": "|", "not": "~"}


class _EveryTag(frozenset[str]):
    """The tag set of an offer that has every tag."""

    def __contains__(self, tag: object) -> bool:
        return True


EVERY_TAG: Final = _EveryTag()


@dataclass(frozen=True, slots=True)
class _Tag:
    name: str

    def holds(self, tags: frozenset[str]) -> bool:
        return self.name in tags

    def named(self, negated: bool) -> frozenset[str]:
        return frozenset() if negated else frozenset((self.name,))

    def choices(self, negated: bool) -> TagChoices:
        return one_tag(self.name, negated)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class _Not:
    part: "_Node"

    def holds(self, tags: frozenset[str]) -> bool:
        return not self.part.holds(tags)

    def named(self, negated: bool) -> frozenset[str]:
        return self.part.named(not negated)

    def choices(self, negated: bool) -> TagChoices:
        return self.part.choices(not negated)

    def __str__(self) -> str:
        return "~" + _enclosed(self.part, _All | _Any)


@dataclass(frozen=True, slots=True)
class _All:
    parts: tuple["_Node", ...]

    def holds(self, tags: frozenset[str]) -> bool:
        return all(part.holds(tags) for part in self.parts)

    def named(self, negated: bool) -> frozenset[str]:
        return frozenset[str]().union(*(part.named(negated) for part in self.parts))

    def choices(self, negated: bool) -> TagChoices:
        parts = [part.choices(negated) for part in self.parts]
        return any_of(parts) if negated else all_of(parts)

    def __str__(self) -> str:
        return " & ".join(_enclosed(part, _Any) for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Any:
    parts: tuple["_Node", ...]

    def holds(self, tags: frozenset[str]) -> bool:
        return any(part.holds(tags) for part in self.parts)

    def named(self, negated: bool) -> frozenset[str]:
        return frozenset[str]().union(*(part.named(negated) for part in self.parts))

    def choices(self, negated: bool) -> TagChoices:
        parts = [part.choices(negated) for part in self.parts]
        return all_of(parts) if negated else any_of(parts)

    def __str__(self) -> str:
        return " | ".join(map(str, self.parts))


_Node = _Tag | _Not | _All | _Any


def _enclosed(part: _Node, weaker: type | UnionType) -> str:
    return f"({part})" if isinstance(part, weaker) else str(part)


@dataclass(frozen=True, slots=True)
class TagExpression:
    """A parsed expression. Texts that differ only in blanks are equal.

    `named` holds the tags that it asks for: those under an even number of negations.
    """

    root: _Node
    named: frozenset[str] = field(compare=False)
    hashed: int = field(compare=False)  # computed once, because it is a key and may be long

    def __hash__(self) -> int:
        return self.hashed

    @property
    def choices(self) -> TagChoices:
        """Return its choices; long ones are omitted. They are computed at each call."""
        return told(self.root.choices(False))

    @property
    def words(self) -> frozenset[str]:
        """Return all tags in it, negated or not."""
        return self.named | self.root.named(True)

    def holds(self, tags: frozenset[str]) -> bool:
        """Return whether an offer with exactly these tags meets it."""
        return self.root.holds(tags)

    def __str__(self) -> str:
        return str(self.root)


class _Token(NamedTuple):
    text: str
    position: int  # counts from 1
    is_tag: bool


class _Reader:
    """A parser of one expression, by recursive descent."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._split())
        self._next = 0

    def _split(self) -> list[_Token]:
        tokens: list[_Token] = []
        for found in _TOKEN.finditer(self._text):
            position = found.start() + 1
            if found["other"] is not None:
                hint = {"!": ": not is written '~'", ",": ": and is written '&'"}
                why = f"{found['other']!r} cannot be part of a tag{hint.get(found['other'], '')}"
                raise BadTags(self._text, position, why)
            tokens.append(_Token(found[0], position, found["tag"] is not None))
        return tokens

    def read(self) -> _Node:
        if not self._tokens:
            return _All(())
        node = self._any(0)
        if self._next < len(self._tokens):
            token = self._tokens[self._next]
            raise BadTags(self._text, token.position, self._left_over(token))
        return node

    def _left_over(self, token: _Token) -> str:
        """Return why a token cannot follow the text before it."""
        if token.text == ")":
            return "')' closes a bracket that was never opened"
        for one in (token, self._tokens[self._next - 1]):
            sign = _WORDS_FOR_SIGNS.get(one.text.lower())
            if sign is not None:
                return (
                    f"'&' or '|' expected before {token.text!r}: {one.text!r} is written {sign!r}"
                )
        return f"'&' or '|' expected before {token.text!r}"

    def _skip(self, sign: str) -> bool:
        """Skip the next token if it is this sign."""
        if self._next < len(self._tokens) and self._tokens[self._next].text == sign:
            self._next += 1
            return True
        return False

    def _any(self, depth: int) -> _Node:
        parts = [self._all(depth)]
        while self._skip("|"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else _Any(tuple(parts))

    def _all(self, depth: int) -> _Node:
        parts = [self._not(depth)]
        while self._skip("&"):
            parts.append(self._not(depth))
        return parts[0] if len(parts) == 1 else _All(tuple(parts))

    def _not(self, depth: int) -> _Node:
        if self._next == len(self._tokens):
            raise BadTags(self._text, len(self._text) + 1, "a tag is expected, but the text ends")
        token = self._tokens[self._next]
        if depth == DEPTH_MAX:
            raise BadTags(self._text, token.position, f"nested deeper than {DEPTH_MAX} levels")
        if self._skip("~"):
            return _Not(self._not(depth + 1))
        if self._skip("("):
            node = self._any(depth + 1)
            if not self._skip(")"):
                raise BadTags(self._text, token.position, "this bracket is not closed")
            return node
        if not token.is_tag:
            before = self._tokens[self._next - 1].text if self._next else ""
            twice = token.text in ("&", "|") and token.text == before
            hint = f": {before!r} is written once" if twice else ""
            why = f"a tag is expected, not {token.text!r}{hint}"
            raise BadTags(self._text, token.position, why)
        self._next += 1
        return _Tag(token.text)


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """Return the expression without blanks, with its parts sorted and each once. Raises BadTags.

    It is never longer than the text. Equivalent expressions of another structure stay different.
    """
    return str(_sorted(parse(text).root)).replace(" ", "")


def _sorted(node: _Node) -> _Node:
    if isinstance(node, _Tag):
        return node
    if isinstance(node, _Not):
        part = _sorted(node.part)
        return part.part if isinstance(part, _Not) else _Not(part)
    kind = type(node)
    parts: dict[str, _Node] = {}
    for part in map(_sorted, node.parts):
        for one in part.parts if isinstance(part, kind) else (part,):
            parts[str(one)] = one
    its = tuple([parts[text] for text in sorted(parts)])
    return its[0] if len(its) == 1 else kind(its)


def count(text: str) -> int:
    """Return the number of tags in an expression, with repetitions."""
    return sum(found["tag"] is not None for found in _TOKEN.finditer(text))


@lru_cache(maxsize=4096)
def parse(text: str) -> TagExpression:
    """Parse an expression. Raises BadTags with the position of the first mistake."""
    root = _Reader(text).read()
    return TagExpression(root, root.named(False), hash(root))
