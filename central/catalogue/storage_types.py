"""Types of storages on the central: entry points of the group `pilotage.storages`.

The central only checks the URLs that an operator writes. Pilots copy the files; each type needs a
driver of the same name there (`pilot/data/drivers.py`).
"""

import re
import urllib.parse
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Final, Protocol

GROUP: Final = "pilotage.storages"


class StorageType(Protocol):
    """A type of storage, as the central sees it.

    Types may also have `tag` and `credential`, which the functions below read. Jobs remove the
    files of a type, unless it is a SweptType (`remote/removals`).
    """

    def wrong(self, url: str) -> str:
        """Return the right form if a URL is not valid for this type, or an empty text."""
        ...


def kinds() -> list[str]:
    """Return the names of all installed types."""
    return sorted({one.name for one in entry_points(group=GROUP)})


@lru_cache(maxsize=64)
def storage_type(kind: str) -> StorageType | str:
    """Return a type, or the reason why it is not available."""
    found = [one for one in entry_points(group=GROUP) if one.name == kind]
    if not found:
        if not kinds():
            return f"unknown type {kind!r}, and no type is installed: install pilotage again"
        return f"unknown type {kind!r}; installed types: {', '.join(kinds())}"
    if len(found) > 1:
        return f"the type {kind!r} is installed twice: {' and '.join(one.value for one in found)}"
    try:
        loaded: StorageType = found[0].load()
    except Exception as why:  # third-party code may raise anything
        return f"{found[0].value} of the type {kind!r} cannot be loaded: {why!r}"
    return loaded


def tag_of(kind: str) -> str:
    """Return the tag that pilots need for storages of a type; empty: none."""
    return str(getattr(storage_type(kind), "tag", ""))


def credential_of(kind: str) -> str:
    """Return what requests to storages of a type may carry: token, keys; empty: nothing."""
    return str(getattr(storage_type(kind), "credential", ""))


def wrong_url(kind: str, url: str) -> tuple[str, str]:
    """Return the wrong field (type or url) and why it is wrong, or two empty texts."""
    known = storage_type(kind)
    if isinstance(known, str):
        return "type", known
    if not url.isprintable() or re.search(r"\s", url):
        return "url", "must not contain blanks or control characters"
    why = known.wrong(url)
    shown = "" if "@" in url else f"{url!r}: "  # keep passwords out of the log
    return ("url", f"{shown}{why}") if why else ("", "")


def wrong_server(url: str, schemes: tuple[str, ...], right: str) -> str:
    """Return what is wrong with the URL of a folder on a server, or nothing.

    `right` is an example of a good URL.
    """
    parts = split(url)
    if parts is None or parts.scheme not in schemes or not parts.hostname:
        return f"expected {right}"
    if parts.username or parts.password:
        return "must hold no password: every user of the storage sees this URL"
    return "must have neither '?' nor '#'" if has_extra(parts) else ""


def split(url: str) -> urllib.parse.SplitResult | None:
    """Return the parts of a URL, or None if it is not valid."""
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port  # raises ValueError for an invalid port
    except ValueError:
        return None
    return parts


def has_extra(parts: urllib.parse.SplitResult) -> bool:
    """Return whether a URL has a query or a fragment."""
    return bool(parts.query or parts.fragment)
