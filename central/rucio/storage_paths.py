"""Paths of copies: where a copy of an RSE lies below the URL of our storage. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import SplitResult, unquote

from ..catalogue.storage_types import split
from ..catalogue.storages import StorageEntry

# For each type of storage, the schemes of PFNs that mean the same place, with the usual port.
_SCHEMES: Final[Mapping[str, Mapping[str, int]]] = {
    "file": {"file": 0, "posix": 0},
    "http": {"http": 80, "https": 443},
    "davs": {"davs": 443, "https": 443},
    "root": {"root": 1094, "roots": 1094, "xroot": 1094, "xroots": 1094},
    "s3": {"s3": 443, "s3s": 443, "https": 443, "http": 80},
}


def path_below(entry: StorageEntry, pfns: Iterable[str]) -> str | None:
    """Return the path below the storage's URL that one of the PFNs names, or None."""
    ours = split(entry.url)
    schemes = _SCHEMES.get(entry.type, {})
    for pfn in pfns:
        theirs = split(pfn)
        if ours is None or theirs is None or theirs.scheme not in schemes:
            continue
        if entry.type != "file" and _place(ours, schemes) != _place(theirs, schemes):
            continue
        top, path = _parts(ours.path), _parts(theirs.path)
        if len(path) > len(top) and path[: len(top)] == top:
            return "/".join(path[len(top) :])
    return None


def _place(url: SplitResult, schemes: Mapping[str, int]) -> tuple[str, int]:
    return url.hostname or "", url.port or schemes.get(url.scheme, 0)


def _parts(path: str) -> list[str]:
    """Return the parts of a path. Some protocols write `//` at its start."""
    return [part for part in unquote(path).split("/") if part]
