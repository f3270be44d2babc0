"""Find the route of a path."""

import re
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

MethodsOfPath = Mapping[
    str, tuple[T, Mapping[str, str]]
]  # by method: the route, and the variable parts


class Router(Generic[T]):
    """Maps paths with variable parts, and methods, to routes.

    `{name}` matches one part of a path, `{name:path}` the rest of it.
    """

    def __init__(self, routes: Iterable[tuple[str, str, T]]) -> None:
        """Each item of `routes` is a method, a path, and the object that `at` returns for them.

        If two paths with variable parts match, the first one wins. Raises ValueError for a
        duplicate route.
        """
        given: set[tuple[str, str]] = set()
        self._literal: dict[str, dict[str, tuple[T, Mapping[str, str]]]] = {}
        self._patterns: list[tuple[str, re.Pattern[str], str, T]] = []
        for method, path, what in routes:
            if (method, path) in given:
                raise ValueError(f"{method} {path} is declared twice")
            given.add((method, path))
            begin, brace, _ = path.partition("{")
            if brace:
                self._patterns.append((begin, _pattern(path), method, what))
            else:
                self._literal.setdefault(path, {})[method] = what, {}

    def at(self, path: str) -> MethodsOfPath[T]:
        """Return the routes of a path by method. It ignores a slash at the end of the path."""
        path = path.rstrip("/") or "/"
        if path in self._literal:
            return self._literal[path]
        found: dict[str, tuple[T, Mapping[str, str]]] = {}
        for begin, pattern, method, what in self._patterns:
            if path.startswith(begin) and (fit := pattern.fullmatch(path)):
                found.setdefault(method, (what, fit.groupdict()))
        return found


def _pattern(path: str) -> re.Pattern[str]:
    literal_and_names = re.split(r"\{(\w+(?::path)?)\}", path)
    parts = [
        _named(word) if number % 2 else re.escape(word)
        for number, word in enumerate(literal_and_names)
    ]
    return re.compile("".join(parts), re.DOTALL)


def _named(word: str) -> str:
    name, colon, _ = word.partition(":")
    return f"(?P<{name}>.+)" if colon else f"(?P<{name}>[^/]+)"
