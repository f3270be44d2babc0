"""Paths of copies: where a copy of an RSE lies below the URL of our storage. Pure."""

from collections.abc import Iterable, Mapping
from urllib.parse import SplitResult, quote, unquote

from ..catalogue.storage_types import names_host, split
from ..catalogue.storages import StorageEntry
from .remote_files import RseProtocol


def path_below(entry: StorageEntry, pfns: Iterable[str]) -> str | None:
    """Return the path below the storage's URL that one of the PFNs names, or None."""
    ours = split(entry.url)
    schemes = entry.kind.pfn_schemes
    for pfn in pfns:
        theirs = split(pfn)
        if ours is None or theirs is None or theirs.scheme not in schemes:
            continue
        if names_host(entry.url) and _place(ours, schemes) != _place(theirs, schemes):
            continue
        top, path = _parts(ours.path), _parts(theirs.path)
        if len(path) > len(top) and path[: len(top)] == top:
            return "/".join(path[len(top) :])
    return None


def pfn_of(entry: StorageEntry, path: str, protocols: Iterable[RseProtocol]) -> str:
    """Return the PFN of a path below the storage's URL, as one of an RSE's protocols writes it.

    Rucio compares its scheme, host, port and prefix with the protocol's. Empty: none fits, or the
    path cannot be written so.
    """
    ours = split(entry.url)
    whole = "/".join(_parts(ours.path) if ours is not None else ()) + f"/{path}"
    at = quote(whole.lstrip("/")) if entry.kind.quotes_pfns else whole.lstrip("/")
    for one in protocols:
        port = f":{one.port}" if one.port else ""
        pfn = f"{one.scheme}://{one.hostname}{port}/{at}"
        below = _parts(whole)[: len(_parts(one.prefix))] == _parts(one.prefix)
        if below and path_below(entry, [pfn]) == path:
            return pfn
    return ""


def _place(url: SplitResult, schemes: Mapping[str, int]) -> tuple[str, int]:
    return url.hostname or "", url.port or schemes.get(url.scheme, 0)


def _parts(path: str) -> list[str]:
    """Return the parts of a path. Some protocols write `//` at its start."""
    return [part for part in unquote(path).split("/") if part]
