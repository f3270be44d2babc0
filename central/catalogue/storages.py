"""Storages, as an operator writes them: `storages/NAME.yaml`, one storage a file.

They are read as sites' files are (`factory.sites`): one that does not read disables itself, loudly,
and what it said before stays in force.
"""

import os
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from pilotage.proto.decoding.complaints import as_json, complaint, steps
from pilotage.proto.decoding.patterns import whole
from pilotage.proto.decoding.strict_yaml import NotYaml, line_of, load_strictly
from pilotage.proto.documents.job import Word
from pilotage.proto.storages import StorageAccess

from ..errors import printable
from ..regular_files import read_regular
from .storage_overlaps import Location, overlaps
from .storage_types import wrong_url

SUFFIX: Final = ".yaml"
FILES_MAX: Final = 10_000
FILE_MAX_BYTES: Final = 100_000
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_Type = Annotated[str, Meta(pattern=whole("[a-z][a-z0-9._-]*"), max_length=64)]
_Sites = Annotated[tuple[Word, ...], Meta(max_length=1_000)]


class StorageEntry(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A storage, with the name of its file."""

    type: _Type  # file, http
    url: Annotated[str, Meta(min_length=1, max_length=1024)]  # file:///folder, http://host/folder
    sites: _Sites = ()  # sites whose pilots reach it; empty: all
    near: _Sites = ()  # sites where it is local: jobs that read its files prefer them
    #: among storages that are not near, higher first
    priority: Annotated[int, Meta(ge=0, le=100)] = 50
    readable: bool = True  # false: no reads
    writable: bool = True  # false: no writes
    default: bool = False  # takes outputs that name no storage
    any_path: bool = False  # true: users register copies anywhere; false: only below COMMUNITY/
    transfers_max: Annotated[int, Meta(ge=1, le=10_000)] = 10  # by which rules write to it at once
    deletes: bool = False  # true: bytes on it that no file names any more are removed
    sweeps_max: Annotated[int, Meta(ge=1, le=1_000)] = 2  # jobs that remove them at once


class BadStorage(ValueError):
    """A storage's file does not read: file, line, field and what would be right."""


@dataclass(frozen=True)
class StorageBook:
    """All storages that are in force, and what is wrong with files, by the name of the storage."""

    storages: Mapping[str, StorageEntry] = field(default_factory=dict[str, StorageEntry])
    troubles: Mapping[str, str] = field(default_factory=dict[str, str])
    unlisted: str = ""  # why nobody knows which files there are; empty: all were seen
    # Where folders of storages lie without links, as this machine sees them.
    real: Mapping[str, str] = field(default_factory=dict[str, str])

    def access(self, name: str) -> StorageAccess:
        """Return how a storage that is in force is reached."""
        entry = self.storages[name]
        return StorageAccess(name, entry.type, entry.url)

    @cached_property
    def overlaps(self) -> Mapping[str, str]:
        """Of storages whose bytes may be another one's: which, by name."""
        return overlaps(
            {
                name: Location(entry.type, entry.url, self.real.get(name, ""))
                for name, entry in self.storages.items()
            }
        )


def read_storage(file: Path) -> StorageEntry:
    """Return what a file says. Raises BadStorage."""
    text = _text(file)
    try:
        found: Any = load_strictly(text) or {}
    except NotYaml as why:
        raise BadStorage(f"{_at(file, why.line)}: {why.why}") from None
    try:
        entry = msgspec.convert(found, StorageEntry, strict=True)
    except RecursionError:
        raise BadStorage(f"{file}: it holds itself") from None
    except msgspec.ValidationError as why:
        told = complaint(why, StorageEntry, as_json(found))
        place = tuple(int(one) if one.isdigit() else one for one in steps(told.path))
        where = told.path[2:] or "it"
        raise BadStorage(f"{_at(file, line_of(text, place))}: {where}: {told.message}") from None
    for name, wrong in _contradictions(entry):
        raise BadStorage(f"{_at(file, line_of(text, (name,)))}: {name}: {wrong}")
    return entry


def _contradictions(entry: StorageEntry) -> list[tuple[str, str]]:
    name, why = wrong_url(entry.type, entry.url)
    if name:
        return [(name, why)]
    strange = sorted(set(entry.near) - set(entry.sites)) if entry.sites else []
    if strange:
        return [("near", f"{', '.join(strange)} must be in sites too, whose pilots reach it")]
    if entry.default and not entry.writable:
        return [("default", "nothing is written to it: leave out one of default and writable")]
    if entry.deletes and not entry.writable:
        return [("deletes", "nothing is written to it: leave out one of deletes and writable")]
    return []


def _text(file: Path) -> str:
    try:
        read = read_regular(file, FILE_MAX_BYTES + 1)
        if len(read) > FILE_MAX_BYTES:
            raise BadStorage(f"{file}: has more than {FILE_MAX_BYTES} bytes")
        return read.decode()
    except (OSError, UnicodeDecodeError) as why:
        raise BadStorage(f"{file}: cannot be read: {why}") from None


def _at(file: Path, line: int | None) -> str:
    return str(file) if line is None else f"{file}:{line}"


def read_storages(folder: Path, before: StorageBook) -> StorageBook:
    """Return the book of a folder; where a file does not read, what `before` has of it stays.

    So does all of it where the folder cannot be listed. Where there is none there are no storages.
    """
    try:
        files = sorted(file for file in folder.iterdir() if file.suffix == SUFFIX)
    except FileNotFoundError:
        return StorageBook()
    except OSError as why:
        unlisted = f"{folder}: cannot be listed: {why}"
        return StorageBook(before.storages, before.troubles, unlisted, before.real)
    storages: dict[str, StorageEntry] = {}
    troubles: dict[str, str] = {}
    for file in files[:FILES_MAX]:
        name = printable(file.stem)
        try:
            if not _NAME.fullmatch(name):
                right = "expected at most 64 letters, digits, '.', '_', '-'"
                raise BadStorage(f"{file}: {name!r} is no name of a storage: {right}")
            storages[name] = read_storage(file)
        except BadStorage as why:
            troubles[name] = printable(str(why))
            if name in before.storages:
                storages[name] = before.storages[name]
    many = f"{folder}: has more than {FILES_MAX} files" if len(files) > FILES_MAX else ""
    return StorageBook(storages, troubles, many, real_folders(storages))


def real_folders(storages: Mapping[str, StorageEntry]) -> dict[str, str]:
    """Return where the folders lie without links, where it matters: something on one is removed."""
    if not any(entry.deletes for entry in storages.values()):
        return {}
    return {
        name: os.path.realpath(urllib.parse.unquote(urllib.parse.urlsplit(entry.url).path))
        for name, entry in storages.items()
        if entry.type == "file"
    }


def signature(folder: Path) -> object:
    """Return what differs once a file of the folder has changed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (one.name, found.st_mtime_ns, found.st_size, found.st_ino)
                for one in entries
                if one.name.endswith(SUFFIX)
                for found in (one.stat(),)
            )
    except OSError as why:
        return str(why)


Changed = Callable[[StorageBook], None]


class Storages:
    """The storages that are in force. `look` reads the files if they have changed."""

    def __init__(self, folder: Path | None = None, changed: Changed = lambda _: None) -> None:
        self.folder, self._changed = folder, changed
        self.book = StorageBook()
        self._seen: object = None

    def look(self) -> None:
        """Read the files where anything about them is new. It may wait for a disk."""
        if self.folder is None:
            return
        seen = signature(self.folder)
        if seen != self._seen:
            self.book = read_storages(self.folder, self.book)
            self._seen = seen
            self._changed(self.book)
            return
        real = real_folders(self.book.storages)  # a link is set anew, or a file system mounted
        if real != self.book.real:
            self.book = replace(self.book, real=real)
