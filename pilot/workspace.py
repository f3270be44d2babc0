"""The folders of the payloads.

STATE/attempts/N/work      where the payload runs: inputs before, outputs after
STATE/attempts/N/tmp       its TMPDIR
STATE/attempts/N/stdout    and stderr

A folder is emptied and used again: making and removing directories waits for the file system's
journal, which on a busy node costs a short payload more than all else.
"""

import asyncio
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from pilotage.proto.limits import OUTPUTS_MAX, OutOfRange, check
from pilotage.proto.messages import Output, Stream

from . import archives
from .globs import compile_glob
from .ports import TooLarge, UnsafePath
from .removal import HEAP, remove

ATTEMPTS = "attempts"
OUTPUT_FILES_MAX = OUTPUTS_MAX - len(Stream)  # a report names the kept streams beside them
OUTPUT_BYTES_MAX = 50_000_000_000
SPARES_MAX = 256  # emptied folders that are kept
WALKED_MAX = 1_000_000  # files that are looked at for outputs
_BLOCK = 1 << 20
_PARTS = ("work", "tmp")


class Folders:
    """Driver of ports.Workspace, below `state`/attempts."""

    def __init__(self, state: Path, *, output_bytes_max: int = OUTPUT_BYTES_MAX) -> None:
        self._root = state / ATTEMPTS
        self._output_bytes_max = output_bytes_max
        self._used: dict[int, Path] = {}
        self._spares: list[Path] = []
        self._made = 0
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._root.glob(HEAP + "*"):  # an earlier life was cut while it removed
            remove(left)

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
            if not remove(folder):
                return self._new()
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
        except OSError:
            return 0

    async def remove(self, attempt_id: int) -> None:
        folder = self._used.pop(attempt_id, None)
        if folder is None:
            return
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(None, _emptied, folder) and len(self._spares) < SPARES_MAX:
            self._spares.append(folder)
        else:
            await loop.run_in_executor(None, remove, folder)


def collect(
    work: Path, patterns: Sequence[tuple[str, bool]], *, bytes_max: int = OUTPUT_BYTES_MAX
) -> tuple[list[tuple[Output, Path]], list[str]]:
    """Return the files below `work` that match a pattern, hashed, and what matched none.

    A link counts as the file that it leads to, as long as that is inside. Raises UnsafePath for
    a pattern that is not relative or a file that matches and whose name cannot be told, TooLarge.
    """
    rules = [(pattern, required, compile_glob(pattern)) for pattern, required in patterns]
    used: set[str] = set()
    chosen: list[tuple[str, Path, int]] = []
    for name, path in walk(work):
        hits = [pattern for pattern, _, rule in rules if rule.fullmatch(name)]
        if hits:
            used.update(hits)
            _check_name(name)
            chosen.append((name, path, path.stat().st_size))
    if len(chosen) > OUTPUT_FILES_MAX:
        raise TooLarge(f"{len(chosen)} output files match; at most {OUTPUT_FILES_MAX} can be kept")
    total = sum(size for _, _, size in chosen)
    if total > bytes_max:
        raise TooLarge(f"the outputs have {total} bytes, at most {bytes_max} may be kept")
    outputs = [(_hashed(name, path), path) for name, path, _ in chosen]
    return outputs, [pattern for pattern, required, _ in rules if required and pattern not in used]


def walk(work: Path) -> Iterator[tuple[str, Path]]:
    """Yield every regular file below `work` with its relative name, in the order of the names.

    A folder that cannot be opened, because of its mode or because its path is too long for the
    system, is passed over. A payload decides how deep folders are, so there is no recursion.
    """
    left, seen = [""], 0
    while left:
        prefix = left.pop()
        names, folders = _entries(work / prefix, WALKED_MAX - seen)
        seen += len(names) + len(folders)
        for name in sorted(names):
            path = Path(work, prefix, name)
            if _is_file_inside(path, work):
                yield prefix + name, path
        left.extend(prefix + name + "/" for name in sorted(folders, reverse=True))


def _entries(folder: Path, most: int) -> tuple[list[str], list[str]]:
    """Return the names in a folder: what is no folder, and what is."""
    names: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                inner = entry.is_dir(follow_symlinks=False)  # linked ones are not entered
                (folders if inner else names).append(entry.name)
                if len(names) + len(folders) > most:
                    raise TooLarge(f"more than {WALKED_MAX} files in the folder")
    except TooLarge:
        raise
    except OSError:
        pass
    return names, folders


def _check_name(name: str) -> None:
    """Raise UnsafePath, with the name made readable, where a report could not carry it."""
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if shown != name:
        raise UnsafePath(f"the name of the output file '{shown[:200]}' is not UTF-8")
    try:
        check(Output(name, "0" * 64, 0))
    except OutOfRange as why:
        shown = repr(name if len(name) <= 200 else name[:200] + "...")
        raise UnsafePath(f"the name of the output file {shown} will not do: {why.right}") from None


def _is_file_inside(path: Path, work: Path) -> bool:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):  # the system goes first: it gives up on chains of links
            return stat.S_ISREG(path.stat().st_mode) and archives.is_inside(path, work)
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
        for part in _PARTS:
            mode = (folder / part).lstat().st_mode
            if not stat.S_ISDIR(mode):
                return False
            if stat.S_IMODE(mode) != 0o700:
                os.chmod(folder / part, 0o700)
        left = [entry for entry in os.scandir(folder) if entry.name not in _PARTS]
        for part in _PARTS:
            left.extend(os.scandir(folder / part))
    except OSError:
        return False
    return all(_discarded(entry) for entry in left)


def _discarded(entry: "os.DirEntry[str]") -> bool:
    try:
        if entry.is_dir(follow_symlinks=False):
            return remove(Path(entry.path))
        os.unlink(entry.path)
    except OSError:
        return False
    return True
