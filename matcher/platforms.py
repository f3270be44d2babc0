"""The names of platforms, and the table of the other platforms whose jobs a platform runs."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

ANY: Final = "ANY"  # an offer with this word is of every kind
UNKNOWN: Final = frozenset({"", "any"})  # values of pilots that do not know their platform

_FAMILY: Final = re.compile(r"[^0-9]+")


def runs(wanted: str, had: str, compatible: Mapping[str, tuple[str, ...]]) -> bool:
    """Return whether an offer of one platform runs jobs that are made for another.

    `el9` is a family and a version, and `el` means any version of it. The table lists for a
    platform the other platforms whose jobs it runs. Only direct entries count, not entries of those
    platforms.
    """
    if had == ANY:
        return True
    if had in UNKNOWN:
        return False
    return any(wanted in (it, family(it)) for it in (had, *compatible.get(had, ())))


@lru_cache(maxsize=1024)
def family(platform: str) -> str:
    """Return the name of a platform without its version: `el` of `el9`."""
    found = _FAMILY.match(platform)
    return found[0].rstrip("-._") if found else platform
