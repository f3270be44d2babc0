"""Storages, as the operator's files `storages/NAME.yaml` define them: one storage in each file.

They are read like the files of sites (`factory.sites`). A file with an error is reported, and its
last valid version stays in force.
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
    """A storage as its file defines it. The file's name is the storage's name."""

    type: _Type  # file, http
    url: Annotated[str, Meta(min_length=1, max_length=1024)]  # file:///folder, http://host/folder
    sites: _Sites = ()  # sites whose pilots reach it; empty: all
    near: _Sites = ()  # sites where it is local: jobs that read its files prefer them
    #: order among storages that are not near; higher first
    priority: Annotated[int, Meta(ge=0, le=100)] = 50
    readable: bool = True  # false: no reads
    writable: bool = True  # false: no writes
    default: bool = False  # true: stores outputs that name no storage
    any_path: bool = False  # true: users register copies anywhere; false: only below COMMUNITY/
    transfers_max: Annotated[int, Meta(ge=1, le=10_000)] = (
        10  # rules' jobs that write to it at once
    )
    deletes: bool = False  # true: bytes that no file names any more are removed
    sweeps_max: Annotated[int, Meta(ge=1, le=1_000)] = 2  # jobs that remove them at once


class BadStorage(ValueError):
    """A storage's file with an error: file, line, field, and the right form."""


@dataclass(frozen=True)
class StorageBook:
    """All storages in force, and the errors in files, by name of the storage."""

    storages: Mapping[str, StorageEntry] = field(default_factory=dict[str, StorageEntry])
    troubles: Mapping[str, str] = field(default_factory=dict[str, str])
    unlisted: str = ""  # why the folder cannot be listed; empty: it was listed
    # The real paths of storages' folders, without links, as this machine sees them.
    real: Mapping[str, str] = field(default_factory=dict[str, str])

    def access(self, name: str) -> StorageAccess:
        """Return how to access a storage in force."""
        entry = self.storages[name]
        return StorageAccess(name, entry.type, entry.url)

    @cached_property
    def overlaps(self) -> Mapping[str, str]:
        """For each storage whose bytes may be another one's, the name of such a storage."""
        return overlaps(
            {
                name: Location(entry.type, entry.url, self.real.get(name, ""))
                for name, entry in self.storages.items()
            }
        )


def read_storage(file: Path) -> StorageEntry:
    """Return the storage that a file defines. Raises BadStorage."""
    text = _text(file)
    try:
        found: Any = load_strictly(text) or {}
    except NotYaml as why:
        raise BadStorage(f"{_at(file, why.line)}: {why.why}") from None
    try:
        entry = msgspec.convert(found, StorageEntry, strict=True)
    except RecursionError:
        raise BadStorage(f"{file}: a YAML alias refers to its own parent") from None
    except msgspec.ValidationError as why:
        mistake = complaint(why, StorageEntry, as_json(found))
        place = tuple(int(one) if one.isdigit() else one for one in steps(mistake.path))
        where = mistake.path[2:] or "it"
        raise BadStorage(f"{_at(file, line_of(text, place))}: {where}: {mistake.message}") from None
    for name, wrong in _contradictions(entry):
        raise BadStorage(f"{_at(file, line_of(text, (name,)))}: {name}: {wrong}")
    return entry


def _contradictions(entry: StorageEntry) -> list[tuple[str, str]]:
    name, why = wrong_url(entry.type, entry.url)
    if name:
        return [(name, why)]
    strange = sorted(set(entry.near) - set(entry.sites)) if entry.sites else []
    if strange:
        return [("near", f"{', '.join(strange)} must also be listed in sites")]
    if entry.default and not entry.writable:
        return [("default", "it is not writable: remove `default: true` or `writable: false`")]
    if entry.deletes and not entry.writable:
        return [("deletes", "it is not writable: remove `deletes: true` or `writable: false`")]
    return []


def _text(file: Path) -> str:
    try:
        read = read_regular(file, FILE_MAX_BYTES + 1)
        if len(read) > FILE_MAX_BYTES:
            raise BadStorage(f"{file}: is longer than {FILE_MAX_BYTES} bytes")
        return read.decode()
    except (OSError, UnicodeDecodeError) as why:
        raise BadStorage(f"{file}: cannot be read: {why}") from None


def _at(file: Path, line: int | None) -> str:
    return str(file) if line is None else f"{file}:{line}"


def read_storages(folder: Path, before: StorageBook) -> StorageBook:
    """Return the book of a folder. A file with an error keeps its version in `before`.

    If the folder cannot be listed, the whole book stays. A missing folder means no storages.
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
                raise BadStorage(f"{file}: {name!r} is not a valid storage name: {right}")
            storages[name] = read_storage(file)
        except BadStorage as why:
            troubles[name] = printable(str(why))
            if name in before.storages:
                storages[name] = before.storages[name]
    many = f"{folder}: has more than {FILES_MAX} files" if len(files) > FILES_MAX else ""
    return StorageBook(storages, troubles, many, real_folders(storages))


def real_folders(storages: Mapping[str, StorageEntry]) -> dict[str, str]:
    """Return the real paths, without links, of folders; they matter only if storages delete."""
    if not any(entry.deletes for entry in storages.values()):
        return {}
    return {
        name: os.path.realpath(urllib.parse.unquote(urllib.parse.urlsplit(entry.url).path))
        for name, entry in storages.items()
        if entry.type == "file"
    }


def signature(folder: Path) -> object:
    """Return a value that changes when a file of the folder changes."""
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
    """The storages in force. `look` reads the files again if they have changed."""

    def __init__(self, folder: Path | None = None, changed: Changed = lambda _: None) -> None:
        self.folder, self._changed = folder, changed
        self.book = StorageBook()
        self._seen: object = None

    def look(self) -> None:
        """Read the files again if any has changed. This may block on a slow disk."""
        if self.folder is None:
            return
        seen = signature(self.folder)
        if seen != self._seen:
            self.book = read_storages(self.folder, self.book)
            self._seen = seen
            self._changed(self.book)
            return
        real = real_folders(self.book.storages)  # a link or a mount may have changed
        if real != self.book.real:
            self.book = replace(self.book, real=real)
