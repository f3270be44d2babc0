"""A disk at a power cut: what was synced is there, and of all else what chance has kept.

It is harsher than most disks are. A sector of 512 bytes that was not synced is old, new, or torn
in the middle; a file may have grown without its bytes; a name that was given, changed or removed
holds only once its folder was synced, and syncing a file does nothing for its name. Of the changes
to names that were not synced a cut keeps the first few, as a file system with a log does.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

SECTOR: Final = 512
FATES: Final = (0.0, 0.05, 0.5, 0.95, 1.0)  # how much of what was not synced a cut keeps


@dataclass(frozen=True)
class _Write:
    offset: int
    data: bytes


@dataclass(frozen=True)
class _Resize:
    size: int


@dataclass
class _File:
    """What lies on the disk for certain, and the changes after that, in their order."""

    kept: bytearray = field(default_factory=bytearray)
    pending: list[_Write | _Resize] = field(default_factory=list[_Write | _Resize])
    settled: int = 0  # changes that have been pending and are certain now

    @property
    def mark(self) -> int:
        return self.settled + len(self.pending)

    def settle(self, mark: int) -> None:
        """Everything before the mark is certain."""
        done = max(0, mark - self.settled)
        for change in self.pending[:done]:
            _make(self.kept, change)
        del self.pending[:done]
        self.settled += done

    def after_a_cut(self, chance: random.Random) -> bytes:
        content, grown = bytearray(self.kept), len(self.kept)
        share = chance.choice(FATES)
        for change in self.pending:
            if isinstance(change, _Resize):
                grown = change.size
                if chance.random() < share:
                    _make(content, change)
                continue
            grown = max(grown, change.offset + len(change.data))
            for piece in _sectors(change):
                fate = chance.random()
                if fate < share * 0.9:
                    _make(content, piece)
                elif fate < share:
                    _make(content, _torn(piece, chance))
        if grown > len(content) and chance.random() < 0.3:
            content += bytes(grown - len(content))
        return bytes(content)


def _make(content: bytearray, change: _Write | _Resize) -> None:
    if isinstance(change, _Resize):
        del content[change.size :]
        content += bytes(change.size - len(content))
        return
    content += bytes(max(0, change.offset - len(content)))
    content[change.offset : change.offset + len(change.data)] = change.data


def _sectors(write: _Write) -> list[_Write]:
    """Cut a write where sectors end."""
    pieces: list[_Write] = []
    at, end = write.offset, write.offset + len(write.data)
    while at < end:
        until = min(end, (at // SECTOR + 1) * SECTOR)
        pieces.append(_Write(at, write.data[at - write.offset : until - write.offset]))
        at = until
    return pieces


def _torn(write: _Write, chance: random.Random) -> _Write:
    """Return the first or the last part of what was written to one sector."""
    middle = chance.randrange(len(write.data) + 1)
    if chance.random() < 0.5:
        return _Write(write.offset, write.data[:middle])
    return _Write(write.offset + middle, write.data[middle:])


@dataclass(frozen=True)
class _Naming:
    """A change of names: `file` has `new`, `old` is gone. A folder's file is None."""

    file: _File | None
    old: str = ""
    new: str = ""

    def touches(self, folder: str) -> bool:
        return folder in {str(PurePosixPath(name).parent) for name in (self.old, self.new) if name}

    def make(self, names: dict[str, _File | None]) -> None:
        if self.old:
            names.pop(self.old, None)
        if self.new and (self.file is None or self.old or self.file not in names.values()):
            names[self.new] = self.file


class Disk:
    """The files below one folder, by their path; the folder itself is there for certain."""

    def __init__(self, root: str, content: Mapping[str, bytes | None] | None = None) -> None:
        self._root = root
        self._names: dict[str, _File | None] = {}  # as programs see them
        self._kept: dict[str, _File | None] = {}  # as they are on the disk
        self._namings: list[_Naming] = []
        for name, found in (content or {}).items():
            path = f"{root}/{name}"
            file = None if found is None else _File(bytearray(found))
            self._kept[path] = self._names[path] = file

    def holds(self, path: str) -> bool:
        return path == self._root or path.startswith(self._root + "/")

    def open(self, path: str, *, create: bool, truncate: bool) -> None:
        known = self._names.get(path)
        if known is None and create:
            known = self._names[path] = _File()
            self._namings.append(_Naming(known, new=path))
        if known is not None and truncate:
            known.pending.append(_Resize(0))

    def make_folder(self, path: str) -> None:
        self._names[path] = None
        self._namings.append(_Naming(None, new=path))

    def size(self, path: str) -> int:
        file = self._file(path)
        size = len(file.kept)
        for change in file.pending:
            if isinstance(change, _Resize):
                size = change.size
            else:
                size = max(size, change.offset + len(change.data))
        return size

    def write(self, path: str, offset: int, data: bytes) -> None:
        self._file(path).pending.append(_Write(offset, data))

    def resize(self, path: str, size: int) -> None:
        self._file(path).pending.append(_Resize(size))

    def rename(self, old: str, new: str) -> None:
        file = self._names.pop(old)
        self._names[new] = file
        self._namings.append(_Naming(file, old, new))

    def remove(self, path: str) -> None:
        # A process that was killed may have made a file by a call that never returned.
        file = self._names.pop(path, None)
        self._namings.append(_Naming(file, old=path))

    def mark(self, path: str) -> int:
        """Return what a sync that begins now will have covered when it is over."""
        file = self._names.get(path)
        return len(self._namings) if file is None else file.mark

    def settle(self, path: str, mark: int) -> None:
        """A sync of a file or a folder that began at the mark is over."""
        file = self._names.get(path)
        if file is not None:
            file.settle(mark)
            return
        left: list[_Naming] = []
        for number, naming in enumerate(self._namings):
            if number < mark and naming.touches(path):
                naming.make(self._kept)
            else:
                left.append(naming)
        self._namings = left

    def after_a_cut(self, chance: random.Random) -> dict[str, bytes | None]:
        """Return what a restart may find: files by their path below the root, folders as None."""
        names = dict(self._kept)
        for naming in self._namings[: chance.randint(0, len(self._namings))]:
            naming.make(names)
        found: dict[str, bytes | None] = {}
        for path in sorted(names):
            above = str(PurePosixPath(path).parent)
            if above == self._root or names.get(above, self) is None:
                file = names[path]
                content = None if file is None else file.after_a_cut(chance)
                found[str(PurePosixPath(path).relative_to(self._root))] = content
            else:
                del names[path]  # its folder's own name was lost
        return found

    def _file(self, path: str) -> _File:
        file = self._names[path]
        assert file is not None, f"{path} is a folder"
        return file


def lay(found: Mapping[str, bytes | None], folder: Path) -> None:
    """Write down what a restart finds."""
    for name, content in found.items():
        if content is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(content)
