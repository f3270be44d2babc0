"""Which storages are swept, and the job that does it. Pure."""

import urllib.parse
from collections.abc import Mapping
from typing import Final

from pilotage.proto.job import Job, JobData, Need

from .storages import StorageBook, StorageEntry

SWEEP_TYPE: Final = "Sweep"
WALL_S: Final = 7_200
SITES_MAX: Final = 256  # that a need may name
_PORTS: Final = {"http": 80, "https": 443}


def unswept(book: StorageBook) -> Mapping[str, str]:
    """Return why storages are not swept, by name; the others are.

    A storage whose bytes may be those of another one is not: only the paths of one are looked at.
    """
    whys: dict[str, str] = {}
    for name, entry in book.storages.items():
        others = [other for other in book.storages if other != name]
        shared = [one for one in others if _overlap(entry, book.storages[one])]
        if not entry.deletes:
            whys[name] = "its file does not say deletes: true"
        elif book.unlisted:
            whys[name] = book.unlisted
        elif name in book.troubles:
            whys[name] = "its file does not read"
        elif shared:
            whys[name] = f"{shared[0]} lies there too, and names paths of its own"
    return whys


def swept(book: StorageBook) -> dict[str, StorageEntry]:
    """Return the storages that take part."""
    whys = unswept(book)
    return {name: entry for name, entry in book.storages.items() if name not in whys}


def _overlap(one: StorageEntry, other: StorageEntry) -> bool:
    """Whether the bytes of one storage may lie among those of another."""
    (place, parts), (beside, theirs) = _where(one), _where(other)
    return place == beside and (parts[: len(theirs)] == theirs or theirs[: len(parts)] == parts)


def _where(entry: StorageEntry) -> tuple[object, list[str]]:
    url = urllib.parse.urlsplit(entry.url)
    parts = [part for part in urllib.parse.unquote(url.path).split("/") if part not in ("", ".")]
    if entry.type == "file":
        return "file", parts
    return (url.hostname or "", url.port or _PORTS.get(url.scheme, 0)), parts


def sweep_job(storage: str, entry: StorageEntry, group: str) -> Job:
    """Return the job that removes remnants of a storage: which, its pilot is told."""
    return Job(
        command=("true",),
        name=f"sweep {storage}",
        type=SWEEP_TYPE,
        group=group,
        needs=(Need(sites=entry.sites[:SITES_MAX], wall_s=WALL_S),),
        data=JobData(),
    )
