"""Which storages are swept, and the job that does it. Pure."""

from collections.abc import Collection, Mapping
from typing import Final

from pilotage.proto.documents.job import Job, JobData, Need

from .storages import StorageBook, StorageEntry

SWEEP_TYPE: Final = "Sweep"
WALL_S: Final = 7_200
SITES_MAX: Final = 256  # that a need may name
QUEUE_S: Final = 86_400  # then it fails, and what it was to remove is free for another one


def unswept(book: StorageBook, named: Collection[str] = ()) -> Mapping[str, str]:
    """Return why storages are not swept, by name; the others are.

    A storage whose bytes may be those of another one is not: a path is looked for on each storage,
    and what lies at it by another one's folder nobody sees. So nothing is swept while there is a
    storage of which nobody knows where it lies; `named` are those that have copies.
    """
    whys: dict[str, str] = {}
    unknown = _unknown(book, named)
    for name, entry in book.storages.items():
        if not entry.deletes:
            whys[name] = "its file does not say deletes: true"
        elif name in book.troubles:
            whys[name] = "its file does not read"
        elif unknown:
            whys[name] = unknown
        elif name in book.overlaps:
            whys[name] = f"{book.overlaps[name]} may lie there too, and names paths of its own"
    return whys


def swept(book: StorageBook, named: Collection[str] = ()) -> dict[str, StorageEntry]:
    """Return the storages that take part."""
    whys = unswept(book, named)
    return {name: entry for name, entry in book.storages.items() if name not in whys}


def _unknown(book: StorageBook, named: Collection[str]) -> str:
    """Say which storage may lie anywhere; empty: none."""
    if book.unlisted:
        return book.unlisted
    for name in sorted(set(book.troubles) - set(book.storages)):
        return f"the file of {name} does not read: it may lie there too"
    for name in sorted(set(named) - set(book.storages)):
        return f"there are copies on {name}, of which no file speaks: it may lie there too"
    return ""


def sweep_job(storage: str, entry: StorageEntry, group: str) -> Job:
    """Return the job that removes remnants of a storage: which, its pilot is told."""
    return Job(
        command=("true",),
        name=f"sweep {storage}",
        type=SWEEP_TYPE,
        group=group,
        needs=(Need(sites=entry.sites[:SITES_MAX], wall_s=WALL_S),),
        queue_s=QUEUE_S,
        data=JobData(),
    )
