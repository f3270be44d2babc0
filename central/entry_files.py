"""Folders of an operator's YAML files, each with one entry: a site, a storage, a provider.

The file's name is the entry's name. A name that ends with `.yml` or `.json` is an error. Unknown
keys are refused with their line. A file with an error is reported, and its last valid version stays
in force. Other files are not affected.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec

from pilotage.proto.decoding.complaints import as_json, complaint, steps
from pilotage.proto.decoding.strict_yaml import NotYaml, YamlPath, line_of, load_strictly
from pilotage.proto.decoding.typed_quantities import convert

from .errors import printable
from .regular_files import read_regular

T = TypeVar("T")
Book = TypeVar("Book")
SUFFIX: Final = ".yaml"
_NEARLY: Final = (".yml", ".json")  # endings that look right, but are not read
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class BadEntryFile(ValueError):
    """A file has an error. The message gives file, line, field and the right form."""


@dataclass(frozen=True)
class EntryText:
    """A file that was read: its text, for lines, and its YAML."""

    file: Path
    text: str
    found: Any

    def wrong(self, place: YamlPath, where: str, why: str) -> BadEntryFile:
        """Return the error at a place of the file. `where` is this place in words."""
        return BadEntryFile(f"{_at(self.file, line_of(self.text, place))}: {where}: {why}")

    def converted(self, found: Any, kind: type[T], at: YamlPath = ()) -> T:
        """Return a part of the file, found `at` a place, as `kind`. Raises BadEntryFile."""
        try:
            return convert(found, kind)
        except msgspec.ValidationError as why:
            mistake = complaint(why, kind, as_json(found))
            inside = tuple(int(one) if one.isdigit() else one for one in steps(mistake.path))
            where = ".".join((*map(str, at), *filter(None, [mistake.path[2:]])))
            raise self.wrong((*at, *inside), where or "the file", mistake.message) from None


def read_text(file: Path, bytes_max: int) -> str:
    """Return the text of a file. Raises BadEntryFile."""
    try:
        read = read_regular(file, bytes_max + 1)
        if len(read) > bytes_max:
            raise BadEntryFile(f"{file}: has more than {bytes_max} bytes")
        return read.decode()
    except (OSError, UnicodeDecodeError) as why:
        raise BadEntryFile(f"{file}: cannot be read: {why}") from None


def read_yaml(file: Path, bytes_max: int) -> EntryText:
    """Return the text and the YAML of a file. Raises BadEntryFile."""
    text = read_text(file, bytes_max)
    try:
        return EntryText(file, text, load_strictly(text) or {})
    except NotYaml as why:
        raise BadEntryFile(f"{_at(file, why.line)}: {why.why}") from None


def _at(file: Path, line: int | None) -> str:
    return str(file) if line is None else f"{file}:{line}"


@dataclass(frozen=True)
class FolderContent(Generic[T]):
    """The entries in force of a folder, and the errors in its files, by the entry's name."""

    entries: dict[str, T]
    troubles: dict[str, str]
    too_many: str  # an error about the number of files; empty: none


def is_entry(name: str) -> bool:
    """Return whether a file's name is one of an entry. Editors make files that begin with a dot."""
    return name.endswith(SUFFIX) and not name.startswith(".")


def _is_misnamed(name: str) -> bool:
    """Return whether a file looks like one of an entry, but has another ending."""
    return os.path.splitext(name)[1].lower() in _NEARLY and not name.startswith(".")


def read_folder(
    folder: Path, what: str, read: Callable[[Path], T], before: Mapping[str, T], *, files_max: int
) -> FolderContent[T]:
    """Return the content of a folder. A file with an error keeps its entry in `before`.

    `what` names an entry in errors. `read` raises BadEntryFile. Raises OSError if the folder cannot
    be listed.
    """
    there = sorted(folder.iterdir())
    files = [file for file in there if is_entry(file.name)]
    entries: dict[str, T] = {}
    troubles: dict[str, str] = {}
    for file in files[:files_max]:
        name = printable(file.stem)
        try:
            if not _NAME.fullmatch(name):
                right = "expected at most 64 letters, digits, '.', '_', '-'"
                raise BadEntryFile(f"{file}: {name!r} is not a valid {what} name: {right}")
            entries[name] = read(file)
        except BadEntryFile as why:
            troubles[name] = printable(str(why))
            if name in before:
                entries[name] = before[name]
    misnamed = [file for file in there if _is_misnamed(file.name)]
    for file in misnamed[:files_max]:
        do = f"name it {file.stem}{SUFFIX}, or move it elsewhere"
        said = f"{file}: is not read: its name does not end in {SUFFIX}: {do}"
        troubles.setdefault(printable(file.stem), printable(said))
    too_many = f"{folder}: has more than {files_max} files" if len(files) > files_max else ""
    return FolderContent(entries, troubles, too_many)


def unlisted(folder: Path, why: OSError) -> str:
    """Return the error about a folder that cannot be listed."""
    return f"{folder}: cannot be listed: {why}"


class WatchedFolder(Generic[Book]):
    """The book of a folder in force. `look` reads the files again if they have changed."""

    def __init__(
        self,
        folder: Path | None,
        book: Book,
        read: Callable[[Path, Book], Book],
        changed: Callable[[Book], None],
    ) -> None:
        self.folder, self.book = folder, book
        self._read, self._changed = read, changed
        self._seen: object = None

    def look(self) -> None:
        """Read the files again if any has changed. This may block on a slow disk."""
        if self.folder is None:
            return
        seen = _signature(self.folder)
        if seen != self._seen:
            self.book = self._read(self.folder, self.book)
            self._seen = seen
            self._changed(self.book)


def _signature(folder: Path) -> object:
    """Return a value that changes when a file of the folder changes."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (one.name, found.st_mtime_ns, found.st_size, found.st_ino)
                for one in entries
                if is_entry(one.name) or _is_misnamed(one.name)
                for found in (_found(one),)
            )
    except OSError as why:
        return str(why)


def _found(entry: os.DirEntry[str]) -> os.stat_result:
    """Return the facts of a file, or of a link that leads nowhere. Raises OSError."""
    try:
        return entry.stat()
    except OSError:
        return entry.stat(follow_symlinks=False)
