"""Types of storages on the central, by the entry points of the group `pilotage.storages`.

The central only checks what an operator writes. Pilots copy: a type needs a driver of the same name
there (`pilot/data/drivers.py`).
"""

import re
import urllib.parse
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Final, Protocol

GROUP: Final = "pilotage.storages"


class StorageType(Protocol):
    """What the central knows of a type of storage."""

    def wrong(self, url: str) -> str:
        """Say what would be right where a URL is none of this type; empty: it is one."""
        ...


def kinds() -> list[str]:
    """Return the names of all types that are installed."""
    return sorted({one.name for one in entry_points(group=GROUP)})


@lru_cache(maxsize=64)
def storage_type(kind: str) -> StorageType | str:
    """Return a type, or why there is none."""
    found = [one for one in entry_points(group=GROUP) if one.name == kind]
    if not found:
        if not kinds():
            return f"there is no type {kind!r}, and no other: install pilotage again"
        return f"there is no type {kind!r}, only {', '.join(kinds())}"
    if len(found) > 1:
        return f"the type {kind!r} comes from {' and from '.join(one.value for one in found)}"
    try:
        loaded: StorageType = found[0].load()
    except Exception as why:  # anybody's code: it may fail as it likes
        return f"{found[0].value} of the type {kind!r} cannot be loaded: {why!r}"
    return loaded


def wrong_url(kind: str, url: str) -> tuple[str, str]:
    """Return the field that is wrong, type or url, and why; two empty texts: it is right."""
    known = storage_type(kind)
    if isinstance(known, str):
        return "type", known
    if not url.isprintable() or re.search(r"\s", url):
        return "url", "must hold neither blanks nor control characters"
    why = known.wrong(url)
    shown = "" if "@" in url else f"{url!r}: "  # a password in it goes into no log
    return ("url", f"{shown}{why}") if why else ("", "")


def split(url: str) -> urllib.parse.SplitResult | None:
    """Return the parts of a URL; None: it is no URL."""
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # raises where it is none
    except ValueError:
        return None
    return parts


def has_extra(parts: urllib.parse.SplitResult) -> bool:
    """Say whether a URL has a query or a fragment."""
    return bool(parts.query or parts.fragment)
