"""Types of storages on the central, by the entry points of the group `pilotage.storages`.

The central only checks what an operator writes. Pilots copy: a type needs a driver of the same name
there (`pilot/data/drivers.py`).
"""

import re
import urllib.parse
from collections.abc import Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Final, Protocol

GROUP: Final = "pilotage.storages"


class StorageType(Protocol):
    """What the central knows of a type of storage."""

    def wrong(self, url: str) -> str:
        """Say what would be right where a URL is none of this type; empty: it is one."""
        ...


@lru_cache(maxsize=1)
def types() -> Mapping[str, StorageType]:
    """Return all types that are installed, by name."""
    return {one.name: one.load() for one in entry_points(group=GROUP)}


def wrong_url(kind: str, url: str) -> tuple[str, str]:
    """Return the field that is wrong, type or url, and why; two empty texts: it is right."""
    known = types().get(kind)
    if known is None:
        return "type", f"there is no type {kind!r}, only {', '.join(sorted(types()))}"
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
