"""Finds the storages that a site reaches, and the sites and tags that a job's data need. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .storages import StorageBook, StorageEntry

SITES_PREFERRED_MAX = 16


def reaches(entry: StorageEntry, site: str) -> bool:
    """Return whether pilots of a site reach a storage."""
    return not entry.sites or site in entry.sites


def ordered(book: StorageBook, site: str, names: Iterable[str]) -> list[str]:
    """Return the storages that a site may read: near ones first, then by priority and name."""
    found = [
        (site not in entry.near, -entry.priority, name)
        for name in names
        if (entry := book.storages.get(name)) is not None
        and entry.readable
        and reaches(entry, site)
    ]
    return [name for _, _, name in sorted(found)]


def writable(book: StorageBook, names: Sequence[str]) -> list[str]:
    """Return the writable storages among `names`, in order. No name selects the default ones."""
    if not names:
        defaults = (name for name, entry in book.storages.items() if entry.default)
        names = sorted(defaults, key=lambda name: (-book.storages[name].priority, name))
    return [name for name in names if name in book.storages and book.storages[name].writable]


@dataclass(frozen=True)
class SiteChoice:
    """The sites where a job may run (None: all), and the sites that it prefers."""

    sites: frozenset[str] | None
    preferred: tuple[str, ...]  # best first
    tags: frozenset[str] = frozenset()  # that a pilot needs to reach the storages


def steer(
    book: StorageBook,
    inputs: Sequence[tuple[int, Sequence[str]]],
    outputs: Sequence[Sequence[str]],
) -> SiteChoice:
    """Return the sites for a job with these inputs and outputs.

    `inputs` holds (bytes, storages with a copy) pairs. `outputs` holds the allowed storages of
    each output.
    """
    sites: frozenset[str] | None = None
    near: dict[str, int] = {}
    tags: set[str] = set()
    for size, names in inputs:
        readable = [
            book.storages[one]
            for one in names
            if one in book.storages and book.storages[one].readable
        ]
        sites = _both(sites, _seeing(readable))
        tags |= _tags(readable)
        for site in {site for entry in readable for site in entry.near}:
            near[site] = near.get(site, 0) + size
    for names in outputs:
        there = [book.storages[one] for one in names]
        sites = _both(sites, _seeing(there))
        tags |= _tags(there)
    best = sorted(near, key=lambda site: (-near[site], site))
    allowed = [site for site in best if sites is None or site in sites]
    return SiteChoice(sites, tuple(allowed[:SITES_PREFERRED_MAX]), frozenset(tags))


def _tags(entries: Sequence[StorageEntry]) -> set[str]:
    """Return the tag that a pilot needs for each of these storages, if there is one."""
    tags = {one.kind.tag for one in entries}
    return tags if len(tags) == 1 and "" not in tags else set()


def _seeing(entries: Sequence[StorageEntry]) -> frozenset[str] | None:
    """Return the sites that reach at least one of these storages, or None for all sites."""
    if any(not one.sites for one in entries):
        return None
    return frozenset(site for one in entries for site in one.sites)


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other
