"""Second names of folders: a file system that is mounted twice shows the same folder twice."""

import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

MOUNTS = "/proc/self/mountinfo"
_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))


@dataclass(frozen=True)
class _Mount:
    device: str
    server: str  # of a network file system: two mounts of it may be two devices
    root: Path  # the mounted part of the file system
    place: Path  # where it is mounted

    def is_of_same(self, other: "_Mount") -> bool:
        return self.device == other.device or (self.server != "" and self.server == other.server)


def aliases(paths: frozenset[Path], mounts: str = MOUNTS) -> Iterator[Path]:
    """Yield the other names under which the node shows these paths or parts of them.

    The paths must have no links. Other names are mount points, or lie below one. No other kind is
    searched for.
    """
    try:
        with open(mounts, encoding="utf-8", errors="surrogateescape") as file:
            table = _parsed(file.read())
    except OSError:
        return
    for alias, same in table.second_names(paths):
        if _is_same(alias, same):
            yield alias


class _Table:
    """The mounts of the node at one time, with a cache of the second names."""

    def __init__(self, mounts: Sequence[_Mount]) -> None:
        self._mounts = mounts
        self._known: dict[frozenset[Path], list[tuple[Path, Path]]] = {}

    def second_names(self, paths: frozenset[Path]) -> list[tuple[Path, Path]]:
        """Return names that may show these paths or parts, each with what it may show."""
        if paths not in self._known:
            self._known = {paths: [both for path in paths for both in self._second_names(path)]}
        return self._known[paths]

    def _second_names(self, path: Path) -> Iterator[tuple[Path, Path]]:
        own = _mount_of(path, self._mounts)
        if own is None:
            return
        inside = own.root / path.relative_to(own.place)
        for one in self._mounts:
            if one is own or not one.is_of_same(own):
                continue
            if _is_in(inside, one.root):
                alias, same = one.place / inside.relative_to(one.root), path
            elif _is_in(one.root, inside):
                alias, same = one.place, path / one.root.relative_to(inside)
            else:
                continue
            if alias != path:
                yield alias, same


def _mount_of(path: Path, mounts: Iterable[_Mount]) -> Optional[_Mount]:
    found = None
    for one in mounts:  # of several mounts at one place, the last is on top
        if _is_in(path, one.place) and (
            found is None or len(one.place.parts) >= len(found.place.parts)
        ):
            found = one
    return found


def _is_in(path: Path, folder: Path) -> bool:
    return path == folder or folder in path.parents


def _is_same(one: Path, other: Path) -> bool:
    """Return whether both exist and are the same. Another mount may cover either of them."""
    try:
        return os.stat(one).st_ino == os.stat(other).st_ino
    except OSError:
        return False


@functools.lru_cache(maxsize=1)
def _parsed(text: str) -> _Table:
    found: list[_Mount] = []
    for line in text.split("\n"):
        words = line.split(" ")
        if len(words) < 10 or "-" not in words[6:-2]:
            continue
        source = _plain(words[words.index("-", 6) + 2])
        # For NFS, the root of every mount is /, and the source contains the path.
        server, _, path = source.rpartition(":/")
        root = Path("/", path if server else "", _plain(words[3]).lstrip("/"))
        found.append(_Mount(words[2], server, root, Path(_plain(words[4]))))
    return _Table(found)


def _plain(word: str) -> str:
    for code, sign in _ESCAPES:
        word = word.replace(code, sign)
    return word
