"""Patterns of outputs: `*`, `?` and `[…]` stay inside one part of a path, `**` spans folders.

Patterns are untrusted, so they are not converted to regular expressions: one with many stars could
block the process for ever. Here a later star never backtracks behind an earlier one. This still
finds every match, and its time is bounded by the product of both lengths. Pure.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Union

from ..ports import UnsafePath


class _Class:
    """`[abc]`, `[a-z]`, `[!a]`: one of these characters, or none of them."""

    def __init__(self, inside: str) -> None:
        self._wanted = not inside.startswith("!")
        inside = inside if self._wanted else inside[1:]
        self._ranges: list[tuple[str, str]] = []
        at = 0
        while at < len(inside):
            last = at + 2 if inside[at + 1 : at + 2] == "-" and at + 2 < len(inside) else at
            self._ranges.append((inside[at], inside[last]))
            at = last + 1

    def __contains__(self, character: str) -> bool:
        found = any(low <= character <= high for low, high in self._ranges)
        return found is self._wanted


_STAR: Final = None  # matches any number of items
_ANY: Final = _Class("!")  # a `?`

_Token = Union[None, str, _Class]
_Part = Union[None, str, list[_Token]]  # plain text is compared as a whole


class Glob:
    """A compiled pattern."""

    def __init__(self, pattern: str) -> None:
        parts = pattern.split("/")
        if not pattern or pattern.startswith("/") or ".." in parts:
            raise UnsafePath(f"the pattern {pattern[:80]!r} is not relative to the folder")
        self._parts = [_part(part) for part in parts if part not in ("", ".")]
        if self._parts and self._parts[-1] is _STAR:
            self._parts.append([_STAR])  # `a/**` matches everything below `a`, but not `a` itself
        self._literal = (
            ""
            if any(not isinstance(one, str) for one in self._parts)
            else "/".join(one for one in self._parts if isinstance(one, str))
        )

    def fullmatch(self, name: str) -> bool:
        """Return whether the pattern matches the whole relative name."""
        if self._literal:
            return name == self._literal
        return _matches(self._parts, name.split("/"), _part_matches)


def compile_glob(pattern: str) -> Glob:
    """Return the compiled pattern. Raises UnsafePath if it is not relative."""
    return Glob(pattern)


def _part(text: str) -> _Part:
    if text == "**":
        return _STAR
    tokens, at = list[_Token](), 0
    while at < len(text):
        end = at + 1
        if text[at] == "*":
            if not tokens or tokens[-1] is not _STAR:
                tokens.append(_STAR)
        elif text[at] == "?":
            tokens.append(_ANY)
        elif text[at] == "[" and (close := _close(text, at)):
            tokens.append(_Class(text[at + 1 : close]))
            end = close + 1
        else:
            tokens.append(text[at])
        at = end
    plain = [one for one in tokens if isinstance(one, str)]
    return "".join(plain) if len(plain) == len(tokens) else tokens


def _close(text: str, at: int) -> int:
    """Return the end of the class that begins here; 0 if it is not a class."""
    first = at + 1 + (text[at + 1 : at + 2] == "!")
    return max(0, text.find("]", first + 1))  # a bracket in first place is one of the characters


def _part_matches(part: Any, text: str) -> bool:
    return text == part if isinstance(part, str) else _matches(part, text, _character_matches)


def _character_matches(token: Any, character: str) -> bool:
    return character == token if isinstance(token, str) else character in token


def _matches(tokens: Sequence[Any], items: Sequence[str], one: Callable[[Any, str], bool]) -> bool:
    """Return whether the tokens match all items; `_STAR` matches any number of them.

    After a mismatch, only the last star takes one more item: it can take all that an earlier star
    could.
    """
    token, item, star, resume = 0, 0, -1, 0
    while item < len(items):
        if token < len(tokens) and tokens[token] is _STAR:
            star, resume = token, item
            token += 1
        elif token < len(tokens) and one(tokens[token], items[item]):
            token, item = token + 1, item + 1
        elif star >= 0:
            resume += 1
            token, item = star + 1, resume
        else:
            return False
    return all(left is _STAR for left in tokens[token:])
