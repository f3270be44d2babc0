"""Types of storages: what a URL of each is like.

Others come by the entry points `pilotage.storages`. A type is known here by what an operator may
write; to copy is for pilots, which know a driver of the same name.
"""

import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Final, Protocol

GROUP: Final = "pilotage.storages"


class StorageType(Protocol):
    """What the central knows of a type of storage."""

    def wrong(self, url: str) -> str:
        """Say what would be right where a URL is none of this type; empty: it is one."""
        ...


@dataclass(frozen=True)
class FolderType:
    """`file`: a folder that pilots see, and people perhaps."""

    def wrong(self, url: str) -> str:
        parts = _split(url)
        good = parts is not None and parts.scheme == "file" and parts.netloc == ""
        if not good or parts is None or not parts.path.startswith("/") or _extra(parts):
            return "expected file:///an/absolute/folder"
        if ".." in urllib.parse.unquote(parts.path).split("/"):
            return "expected a folder without '..'"
        return ""


@dataclass(frozen=True)
class HttpType:
    """`http`: a server that knows GET, HEAD, PUT and DELETE."""

    def wrong(self, url: str) -> str:
        parts = _split(url)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            return "expected http://host:port/folder, or https"
        if parts.username or parts.password:
            return "must hold no password: every user of the storage sees this URL"
        if _extra(parts):
            return "must have neither '?' nor '#'"
        return ""


FILE, HTTP = FolderType(), HttpType()


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


def _split(url: str) -> urllib.parse.SplitResult | None:
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # raises where it is none
    except ValueError:
        return None
    return parts


def _extra(parts: urllib.parse.SplitResult) -> bool:
    return bool(parts.query or parts.fragment)
