"""Which storages are swept, and the job that does it. Pure."""

import posixpath
import urllib.parse
from collections.abc import Collection, Mapping
from typing import Final

from pilotage.proto.job import Job, JobData, Need

from .storages import StorageBook, StorageEntry

SWEEP_TYPE: Final = "Sweep"
WALL_S: Final = 7_200
SITES_MAX: Final = 256  # that a need may name
_PORTS: Final = {"http": 80, "https": 443}


def unswept(book: StorageBook, named: Collection[str] = ()) -> Mapping[str, str]:
    """Return why storages are not swept, by name; the others are.

    A storage whose bytes may be those of another one is not: a path is looked for on each storage,
    and what lies at it by another one's folder nobody sees. So nothing is swept while there is a
    storage of which nobody knows where it lies; `named` are those that have copies.
    """
    whys: dict[str, str] = {}
    unknown = _unknown(book, named)
    for name, entry in book.storages.items():
        others = [other for other in book.storages if other != name]
        shared = [one for one in others if _overlap(book, name, one)]
        if not entry.deletes:
            whys[name] = "its file does not say deletes: true"
        elif name in book.troubles:
            whys[name] = "its file does not read"
        elif unknown:
            whys[name] = unknown
        elif shared:
            whys[name] = f"{shared[0]} may lie there too, and names paths of its own"
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


def _overlap(book: StorageBook, name: str, other: str) -> bool:
    """Whether the bytes of one storage may lie among those of another.

    A host is one machine whatever the port, and what lies where on others of its ports nobody
    knows; folders are looked at as they are written, and as this machine sees them.
    """
    one, two = book.storages[name], book.storages[other]
    if (one.type == "file") != (two.type == "file"):
        return False  # a path is held that a file names on the other one
    if one.type == "file":
        real, beside = (book.real.get(each, "") for each in (name, other))
        return _nested(_parts(one.url), _parts(two.url)) or (
            bool(real and beside) and _nested(_split(real), _split(beside))
        )
    here, there = urllib.parse.urlsplit(one.url), urllib.parse.urlsplit(two.url)
    if _host(here) != _host(there):
        return False
    return _port(here) != _port(there) or _nested(_parts(one.url), _parts(two.url))


def _host(url: urllib.parse.SplitResult) -> str:
    return (url.hostname or "").rstrip(".")


def _port(url: urllib.parse.SplitResult) -> tuple[str, int]:
    return url.scheme, url.port or _PORTS.get(url.scheme, 0)


def _parts(url: str) -> list[str]:
    return _split(urllib.parse.unquote(urllib.parse.urlsplit(url).path))


def _split(path: str) -> list[str]:
    return [part for part in posixpath.normpath(f"/{path}").split("/") if part]


def _nested(one: list[str], other: list[str]) -> bool:
    return one[: len(other)] == other or other[: len(one)] == one


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
