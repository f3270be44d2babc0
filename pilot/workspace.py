"""The folders of the payloads.

STATE/attempts/N/work      where the payload runs: inputs before, outputs after
STATE/attempts/N/tmp       its TMPDIR
STATE/attempts/N/stdout    and stderr

A folder is emptied and used again: making and removing directories waits for the file system's
journal, which on a busy node costs a short payload more than all else.
"""

import asyncio
import contextlib
import fnmatch
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pilotage.proto.messages import Output

from . import archives
from .ports import TooLarge, UnsafePath

OUTPUT_FILES_MAX = 10_000
OUTPUT_BYTES_MAX = 50_000_000_000
SPARES_MAX = 256  # emptied folders that are kept
WALKED_MAX = 1_000_000  # files that are looked at for outputs
_BLOCK = 1 << 20
_PARTS = ("work", "tmp")


class Folders:
    """Driver of ports.Workspace, below `state`/attempts."""

    def __init__(self, state: Path, *, output_bytes_max: int = OUTPUT_BYTES_MAX) -> None:
        self._root = state / "attempts"
        self._output_bytes_max = output_bytes_max
        self._used: dict[int, Path] = {}
        self._spares: list[Path] = []
        self._made = 0
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)

    def make(self, attempt_id: int) -> Path:
        folder = self._spares.pop() if self._spares else self._new()
        self._used[attempt_id] = folder
        return folder

    def _new(self) -> Path:
        self._made += 1
        folder = self._root / str(self._made)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:  # of an earlier life
            _remove(folder)
            folder.mkdir(mode=0o700)
        for part in _PARTS:
            (folder / part).mkdir(mode=0o700)
        return folder

    async def unpack(self, file: Path, into: Path, name: str, unpack: bool) -> None:
        loop = asyncio.get_running_loop()
        act = (
            partial(archives.extract, file, into)
            if unpack
            else partial(archives.lay, file, into, name)
        )
        await loop.run_in_executor(None, act)

    async def collect(
        self, work: Path, patterns: tuple[tuple[str, bool], ...]
    ) -> tuple[list[tuple[Output, Path]], list[str]]:
        act = partial(collect, work, patterns, bytes_max=self._output_bytes_max)
        return await asyncio.get_running_loop().run_in_executor(None, act)

    def tail(self, folder: Path, stream: str, offset: int, size_max: int) -> bytes:
        try:
            # Where nothing hides the folder a payload could put a pipe or a link here.
            handle = os.open(folder / stream, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return b""
        with open(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                return b""
            file.seek(offset)
            return file.read(size_max)

    def size(self, folder: Path, stream: str) -> int:
        try:
            return (folder / stream).lstat().st_size
        except FileNotFoundError:
            return 0

    async def remove(self, attempt_id: int) -> None:
        folder = self._used.pop(attempt_id, None)
        if folder is None:
            return
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(None, _emptied, folder) and len(self._spares) < SPARES_MAX:
            self._spares.append(folder)
        else:
            await loop.run_in_executor(None, _remove, folder)


def collect(
    work: Path, patterns: Sequence[tuple[str, bool]], *, bytes_max: int = OUTPUT_BYTES_MAX
) -> tuple[list[tuple[Output, Path]], list[str]]:
    """Return the files below `work` that match a pattern, hashed, and what matched none.

    A link counts as the file that it leads to, as long as that is inside. Raises UnsafePath for
    a pattern that is not relative, TooLarge.
    """
    rules = [(pattern, required, compile_glob(pattern)) for pattern, required in patterns]
    used: set[str] = set()
    chosen: list[tuple[str, Path, int]] = []
    for name, path in walk(work):
        hits = [pattern for pattern, _, rule in rules if rule.fullmatch(name)]
        if hits:
            used.update(hits)
            chosen.append((name, path, path.stat().st_size))
    if len(chosen) > OUTPUT_FILES_MAX:
        raise TooLarge(f"{len(chosen)} output files, at most {OUTPUT_FILES_MAX} may be kept")
    total = sum(size for _, _, size in chosen)
    if total > bytes_max:
        raise TooLarge(f"the outputs have {total} bytes, at most {bytes_max} may be kept")
    outputs = [(_hashed(name, path), path) for name, path, _ in chosen]
    return outputs, [pattern for pattern, required, _ in rules if required and pattern not in used]


def walk(work: Path) -> Iterator[tuple[str, Path]]:
    """Yield every regular file below `work` with its relative name, in the order of the names."""
    seen = 0
    for folder, folders, names in os.walk(work):  # does not enter linked folders
        folders.sort()
        for name in sorted(names):
            seen += 1
            if seen > WALKED_MAX:
                raise TooLarge(f"more than {WALKED_MAX} files in the folder")
            path = Path(folder, name)
            if _is_file_inside(path, work):
                yield path.relative_to(work).as_posix(), path


def compile_glob(pattern: str) -> "re.Pattern[str]":
    """Return the glob as an expression on relative names: `**` spans folders, `*` does not."""
    parts = pattern.split("/")
    if not pattern or pattern.startswith("/") or ".." in parts:
        raise UnsafePath(f"the pattern {pattern[:80]!r} is not relative to the folder")
    parts = [part for part in parts if part not in ("", ".")]
    text = ""
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if part == "**":
            text += ".*" if last else "(?:[^/]+/)*"
        else:
            text += _segment(part) + ("" if last else "/")
    return re.compile(text, re.DOTALL)


def _segment(glob: str) -> str:
    """Return one part of a path as an expression whose wildcards stay inside the part."""
    out = ""
    for piece in re.split(r"(\*+|\?|\[[!^]?\]?[^]]*\])", glob):
        if piece.startswith("*"):
            out += "[^/]*"
        elif piece == "?":
            out += "[^/]"
        elif piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
            out += "(?!/)" + fnmatch.translate(piece)[4:-3]
        else:
            out += re.escape(piece)
    return out


def _is_file_inside(path: Path, work: Path) -> bool:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return archives.is_inside(path, work) and stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
    return stat.S_ISREG(mode)


def _hashed(name: str, path: Path) -> Output:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while True:
            block = file.read(_BLOCK)
            if not block:
                return Output(name, digest.hexdigest(), size)
            digest.update(block)
            size += len(block)


def _emptied(folder: Path) -> bool:
    """Empty a folder; False where a payload has left anything that does not go quietly."""
    try:
        for entry in os.scandir(folder):
            if entry.name not in _PARTS:
                _discard(entry)
        for part in _PARTS:
            mode = (folder / part).lstat().st_mode
            if not stat.S_ISDIR(mode):
                return False
            if stat.S_IMODE(mode) != 0o700:
                os.chmod(folder / part, 0o700)
            for entry in os.scandir(folder / part):
                _discard(entry)
    except OSError:
        return False
    return True


def _discard(entry: "os.DirEntry[str]") -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path)
    else:
        os.unlink(entry.path)


def _remove(folder: Path) -> None:
    """Remove a folder with all that a payload may have done to its modes."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError:
        for inner, _, _ in os.walk(folder):  # from the top: a folder is entered after its chmod
            with contextlib.suppress(OSError):
                os.chmod(inner, 0o700)
        shutil.rmtree(folder, ignore_errors=True)
