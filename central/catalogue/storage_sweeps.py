"""Selects the storages to sweep, and makes the job that sweeps one."""

from collections.abc import Collection, Mapping
from typing import Final

from pilotage.proto.documents.job import Job, JobData, Need

from .remote.removals import unswept_here
from .storages import StorageBook, StorageEntry

SWEEP_TYPE: Final = "Sweep"
WALL_S: Final = 7_200
SITES_MAX: Final = 256  # in a need
QUEUE_S: Final = 86_400  # after this wait the job fails, and its remnants go to another sweep


def unswept(book: StorageBook, named: Collection[str] = ()) -> Mapping[str, str]:
    """Return, by name, why storages are not swept. All other storages are swept.

    A storage that overlaps another one is not swept, because a sweep would not see the files that
    the other one has at the same place. No storage is swept while one exists whose place is
    unknown. `named` holds the storages that have copies.
    """
    whys: dict[str, str] = {}
    unknown = _unknown(book, named)
    for name, entry in book.storages.items():
        if not entry.deletes:
            whys[name] = "its file does not set deletes: true"
        elif name in book.troubles:
            whys[name] = "its file has an error"
        elif why := unswept_here(entry):
            whys[name] = why
        elif unknown:
            whys[name] = unknown
        elif name in book.overlaps:
            whys[name] = f"it may share its folder with {book.overlaps[name]}"
    return whys


def swept(book: StorageBook, named: Collection[str] = ()) -> dict[str, StorageEntry]:
    """Return the storages that are swept."""
    whys = unswept(book, named)
    return {name: entry for name, entry in book.storages.items() if name not in whys}


def _unknown(book: StorageBook, named: Collection[str]) -> str:
    """Return why the place of some storage is unknown, or an empty text."""
    if book.unlisted:
        return book.unlisted
    for name in sorted(set(book.troubles) - set(book.storages)):
        return f"the file of storage {name} has an error: {name} may have the same folder"
    for name in sorted(set(named) - set(book.storages)):
        return f"storage {name} has copies but no file: it may have the same folder"
    return ""


def sweep_job(storage: str, entry: StorageEntry, group: str) -> Job:
    """Return the job that sweeps a storage. Its pilot receives the list of remnants."""
    return Job(
        command=("true",),
        name=f"sweep {storage}",
        type=SWEEP_TYPE,
        group=group,
        needs=(Need(sites=entry.sites[:SITES_MAX], wall_s=WALL_S),),
        queue_s=QUEUE_S,
        data=JobData(),
    )
