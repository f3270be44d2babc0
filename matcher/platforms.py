"""Which platforms run whose jobs: names of operating systems, and the table of what runs what."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

ANY: Final = "ANY"  # an offer that says this of itself is of every kind
UNKNOWN: Final = frozenset({"", "any"})  # what pilots say that do not know

_FAMILY: Final = re.compile(r"[^0-9]+")


def runs(wanted: str, had: str, compatible: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether an offer of one platform runs jobs that are made for another.

    `el9` is a family and a version, and `el` any version of it. The table says which others a
    platform runs: those that it lists, and not what these list in turn.
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
