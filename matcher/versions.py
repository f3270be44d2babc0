"""Versions as numbers, so that 2.9 comes before 2.34."""

import re
from typing import Final

Version = tuple[int, ...]  # empty: unknown

_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9]+)*", re.ASCII)


def version(text: str) -> Version:
    """Return the numbers at the start of a text: two or more, without zeros beyond the second."""
    found = _VERSION.match(text)
    if found is None:
        return ()
    numbers = [int(part) for part in found[0].split(".")]
    while len(numbers) > 2 and not numbers[-1]:
        numbers.pop()
    return (numbers[0], 0) if len(numbers) == 1 else tuple(numbers)


def shown(numbers: Version) -> str:
    """Return a version as text."""
    return ".".join(map(str, numbers)) or "not known"
