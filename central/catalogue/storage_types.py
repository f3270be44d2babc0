"""Types of storages on the central: entry points of the group `pilotage.storages`.

The central only checks the URLs that an operator writes. Pilots copy the files; each type needs a
driver of the same name there (`pilot/data/drivers.py`).
"""

import re
import urllib.parse
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import Final, Literal

GROUP: Final = "pilotage.storages"


class StorageType(ABC):
    """The base of all types of storages, as the central sees them.

    Jobs remove the files of a type, unless it is a SweptType (`remote/removals`). A type with
    `keys` is a SigningType (`remote/signed_urls`). A URL without a host is a folder of the nodes.
    """

    tag: str = ""  # that pilots need to reach such storages
    credential: Literal["", "token", "keys"] = ""  # that requests may carry
    webdav: bool = False  # the central can check such storages, and let them copy (`tpc`)
    second_url: bool = False  # a storage may have an `https_url`
    #: schemes of Rucio's PFNs that mean the same place, with their usual ports
    pfn_schemes: Mapping[str, int] = MappingProxyType({})
    quotes_pfns: bool = True  # PFNs are percent-encoded

    @abstractmethod
    def wrong(self, url: str) -> str:
        """Return the right form if a URL is not valid for this type, or an empty text."""


class UnavailableType(StorageType):
    """A type that is not installed, or cannot be loaded."""

    def __init__(self, why: str) -> None:
        self.why = why

    def wrong(self, url: str) -> str:
        return self.why


def kinds() -> list[str]:
    """Return the names of all installed types."""
    return sorted({one.name for one in entry_points(group=GROUP)})


@lru_cache(maxsize=64)
def storage_type(kind: str) -> StorageType:
    """Return a type. It is an UnavailableType if none of that name can be loaded."""
    found = [one for one in entry_points(group=GROUP) if one.name == kind]
    if not found and not kinds():
        why = f"unknown type {kind!r}, and no type is installed: install pilotage again"
        return UnavailableType(why)
    if not found:
        return UnavailableType(f"unknown type {kind!r}; installed types: {', '.join(kinds())}")
    if len(found) > 1:
        values = " and ".join(one.value for one in found)
        return UnavailableType(f"the type {kind!r} is installed twice: {values}")
    try:
        loaded: object = found[0].load()
    except Exception as why:  # third-party code may raise anything
        text = f"{found[0].value} of the type {kind!r} cannot be loaded: {why!r}"
        return UnavailableType(text)
    if not isinstance(loaded, StorageType):
        text = f"{found[0].value} of the type {kind!r} is {loaded!r}, expected a StorageType"
        return UnavailableType(text)
    return loaded


def types_with(has: Callable[[StorageType], bool]) -> str:
    """Return the names of the installed types with a property, as words."""
    return " or ".join(kind for kind in kinds() if has(storage_type(kind)))


def wrong_url(kind: str, url: str) -> tuple[str, str]:
    """Return the wrong field (type or url) and why it is wrong, or two empty texts."""
    known = storage_type(kind)
    if isinstance(known, UnavailableType):
        return "type", known.why
    why = wrong_text(url, known.wrong)
    return ("url", why) if why else ("", "")


def wrong_text(url: str, wrong: Callable[[str], str]) -> str:
    """Return why a URL is not valid by a test such as `StorageType.wrong`, or nothing."""
    if not url.isprintable() or re.search(r"\s", url):
        return "must not contain blanks or control characters"
    why = wrong(url)
    shown = "" if "@" in url else f"{url!r}: "  # keep passwords out of the log
    return f"{shown}{why}" if why else ""


def wrong_https(url: str) -> str:
    """Return what is wrong with the URL of a folder on an https server, or nothing."""
    return wrong_server(url, ("https",), "https://host:port/folder")


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


def names_host(url: str) -> bool:
    """Return whether a URL names a host. Otherwise it is a folder of the nodes."""
    parts = split(url)
    return parts is not None and bool(parts.hostname)


def has_extra(parts: urllib.parse.SplitResult) -> bool:
    """Return whether a URL has a query or a fragment."""
    return bool(parts.query or parts.fragment)
