"""The folders of the payloads.

    STATE/attempts/N/work      where the payload runs: inputs before, outputs after
    STATE/attempts/N/tmp       its TMPDIR
    STATE/attempts/N/private   its /tmp and /var/tmp, if its rung gives it private ones
    STATE/attempts/N/tokens    its tokens, if it asks for any
    STATE/attempts/N/stdout    and stderr, and usage: its resource curve

Folders are emptied and reused. Creating and removing folders waits for the file system's journal.
On a busy node, this costs a short payload more than everything else.
"""

import asyncio
import contextlib
import errno
import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Optional, TypeVar

from pilotage.proto.limits import OUTPUTS_MAX, OutOfRange, check
from pilotage.proto.messages import Output
from pilotage.proto.wire import encode

from ..ports import TooLarge, UnsafePath
from . import archives, checkpoint
from .globs import compile_glob
from .path_bounds import FolderGuard
from .removal import HEAP, remove
from .token_files import TOKENS, remove_tokens, write_token
from .worker_thread import BackgroundWork, GoOn, always

ATTEMPTS = "attempts"
OUTPUT_FILES_MAX = OUTPUTS_MAX - 10  # a report also lists the files that the pilot itself keeps
# Encoded size of the file lists in a report. The central accepts at most 1 MiB from a pilot, and a
# report holds other texts and numbers too.
LISTED_BYTES_MAX = 1_000_000
OUTPUT_BYTES_MAX = 50_000_000_000
SPARES_MAX = 256  # emptied folders to reuse
WALKED_MAX = 1_000_000  # files that are searched for outputs
PATIENCE_S = 1_800.0  # limit of the time to unpack, pack, or hash outputs
END_PATIENCE_S = 10.0  # how long abandoned work may take to stop
# Of the disk, the smaller of both: input may not use it.
RESERVE_SHARE, RESERVE_BYTES = 0.05, 200_000_000
_BLOCK = 1 << 20
_PARTS = ("work", "tmp", "private")

T = TypeVar("T")


class Workspaces:
    """Driver of ports.Workspace, below `state`/attempts."""

    def __init__(
        self,
        state: Path,
        *,
        output_bytes_max: int = OUTPUT_BYTES_MAX,
        checkpoint_bytes_max: int = checkpoint.BYTES_MAX,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._root = state / ATTEMPTS
        self._output_bytes_max = output_bytes_max
        self._checkpoint_bytes_max = checkpoint_bytes_max
        self._patience_s = patience_s
        self._used: dict[int, Path] = {}
        self._works: dict[Path, BackgroundWork[Any]] = {}  # work in a thread, by folder
        self._spares: deque[Path] = deque()  # the first is used next
        self._made = 0
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._root.glob(HEAP + "*"):  # an earlier process was cut off during a removal
            remove(left)
        for left in self._root.glob(f"*/{TOKENS}"):
            remove(left)

    def make(self, attempt_id: int) -> Path:
        folder = self._spares.popleft() if self._spares else self._new()
        self._used[attempt_id] = folder
        return folder

    def ahead(self) -> Path:
        if not self._spares:
            self._spares.append(self._new())
        return self._spares[0]

    def _new(self) -> Path:
        self._made += 1
        folder = self._root / str(self._made)
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:  # from an earlier process
            if not remove(folder):
                return self._new()
            folder.mkdir(mode=0o700)
        for part in _PARTS:
            (folder / part).mkdir(mode=0o700)
        return folder

    def room(self, folder: Path, size_bytes: int, *, bytes_max: Optional[int] = None) -> int:
        room = _room(folder)
        if size_bytes > room:
            raise _no_room(room, bytes_max, f"it has {size_bytes / 1e6:.1f} MB")
        return room

    async def unpack(
        self, file: Path, into: Path, name: str, unpack: bool, *, bytes_max: Optional[int] = None
    ) -> int:
        act = partial(_unpack, file, into, name if not unpack else "", bytes_max)
        return await self._in_thread(into.parent, act)

    async def collect(
        self, work: Path, patterns: tuple[tuple[str, bool], ...]
    ) -> tuple[list[tuple[Output, Path]], list[str]]:
        most = self._output_bytes_max
        return await self._in_thread(
            work.parent, lambda go_on: collect(work, patterns, bytes_max=most, go_on=go_on)
        )

    async def pack(self, folder: Path, name: str) -> Optional[tuple[Output, Path]]:
        most = self._checkpoint_bytes_max
        return await self._in_thread(
            folder, lambda go_on: checkpoint.pack(folder, name, bytes_max=most, go_on=go_on)
        )

    async def restore(self, file: Path, folder: Path, name: str) -> None:
        act = partial(_restore, file, folder, name, self._checkpoint_bytes_max)
        await self._in_thread(folder, act)

    async def _in_thread(self, folder: Path, act: Callable[[GoOn], T]) -> T:
        """Run `act` on a folder, in its own thread. Also raises TimeoutError."""
        work = BackgroundWork(act)
        self._works[folder] = work
        try:
            return await work.result(self._patience_s)
        finally:
            if work.over:
                del self._works[folder]

    def keep_token(self, folder: Path, name: str, token: str) -> None:
        write_token(folder, name, token)

    def drop_tokens(self, folder: Path) -> None:
        remove_tokens(folder)

    def name_stream(self, folder: Path, stream: str, name: str) -> None:
        target = folder / "work" / name
        if not FolderGuard(folder / "work").has(target.parent):
            raise OSError(errno.EPERM, "its folder is not in the payload's folder", name)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.link(folder / stream, target, follow_symlinks=False)

    def tail(self, folder: Path, stream: str, offset: int, size_max: int) -> bytes:
        try:
            # If the folder is not hidden, a payload could put anything here.
            handle = os.open(folder / stream, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    return b""
                with open(handle, "rb", closefd=False) as file:
                    file.seek(offset)
                    return file.read(size_max)
            finally:
                os.close(handle)
        except OSError:  # a hanging disk: the missing part shows as a gap
            return b""

    def size(self, folder: Path, stream: str) -> int:
        try:
            return (folder / stream).lstat().st_size
        except OSError:
            return 0

    async def remove(self, attempt_id: int) -> None:
        folder = self._used.pop(attempt_id, None)
        if folder is None:
            return
        work = self._works.pop(folder, None)
        if work is not None and not await work.ends(END_PATIENCE_S):
            # A disk does not answer: the folder must not be reused while a thread works in it.
            return
        loop = asyncio.get_running_loop()
        if await loop.run_in_executor(None, _emptied, folder) and len(self._spares) < SPARES_MAX:
            self._spares.append(folder)
        else:
            await loop.run_in_executor(None, remove, folder)


def _unpack(file: Path, into: Path, name: str, granted: Optional[int], go_on: GoOn) -> int:
    """Copy a file to its name or, without a name, unpack it; return the bytes.

    After an error, nothing of it takes space any more.
    """
    allowed = archives.BYTES_MAX if granted is None else max(0, min(granted, archives.BYTES_MAX))
    room, go_on = _room(into), _while_there_is_room(into, granted, go_on)
    most = min(allowed, max(0, room))
    laid = None
    try:
        if name:
            laid = archives.lay(file, into, name, bytes_max=most, go_on=go_on)
        else:
            laid = archives.extract(file, into, bytes_max=most, go_on=go_on)
        return laid
    except TooLarge as why:
        if most == allowed:
            text = "" if granted is None else ", all that is left of the scratch_mb it was given"
            raise TooLarge(f"{why}{text}") from None
        raise _no_room(room, granted, str(why)) from None
    finally:
        if laid is None:
            _emptied(into.parent)


def _restore(file: Path, folder: Path, name: str, bytes_max: int, go_on: GoOn) -> None:
    """Restore a checkpoint. A disk that is too small is not the archive's fault."""
    go_on = _while_there_is_room(folder, 0, go_on)
    checkpoint.restore(file, folder, name, bytes_max=bytes_max, go_on=go_on)


def _while_there_is_room(folder: Path, granted: Optional[int], go_on: GoOn) -> GoOn:
    """Return a function that stops work when the disk is full, because others fill it too."""

    def check() -> None:
        go_on()
        room = _room(folder)
        if room < 0:
            raise _no_room(room, granted, "it fills the disk")

    return check


def _room(folder: Path) -> int:
    """Return how many bytes input may still take on the disk; negative: it has taken too much."""
    found = os.statvfs(folder)
    reserve = min(int(RESERVE_SHARE * found.f_blocks * found.f_frsize), RESERVE_BYTES)
    return found.f_bavail * found.f_frsize - reserve


def _no_room(room: int, granted: Optional[int], why: str) -> OSError:
    """Return the error of a full disk: the node's fault if space was promised, else the job's."""
    text = f"{why}: the disk has {max(0, room) / 1e6:.0f} MB for input"
    if granted is None:
        return TooLarge(f"{text}; set scratch_mb in `needs` to get a node with more")
    return OSError(errno.ENOSPC, text)


def collect(
    work: Path,
    patterns: Sequence[tuple[str, bool]],
    *,
    bytes_max: int = OUTPUT_BYTES_MAX,
    go_on: GoOn = always,
) -> tuple[list[tuple[Output, Path]], list[str]]:
    """Return the files below `work` that match, with hashes, and the patterns without a match.

    A link counts as its target, if that is inside. Raises UnsafePath for a pattern that is not
    relative, for a matching file with an invalid name, and for links that take too many steps.
    Raises TooLarge, and the errors of `go_on`.
    """
    rules = [(pattern, required, compile_glob(pattern)) for pattern, required in patterns]
    used: set[str] = set()
    chosen: list[tuple[str, Path, int]] = []
    for name, path in walk(work, go_on):
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
    listed = len(encode([Output(name, "0" * 64, size) for name, _, size in chosen]))
    if listed > LISTED_BYTES_MAX:
        raise TooLarge(
            f"the names of the {len(chosen)} output files: found {listed} bytes in the report, "
            f"expected at most {LISTED_BYTES_MAX}"
        )
    outputs = [(_hashed(name, path, go_on), path) for name, path, _ in chosen]
    return outputs, [pattern for pattern, required, _ in rules if required and pattern not in used]


def walk(work: Path, go_on: GoOn = always) -> Iterator[tuple[str, Path]]:
    """Yield every regular file below `work` with its relative name, sorted by name.

    A folder that cannot be opened, because of its mode or a path that is too long for the system,
    is skipped. A payload decides the depth of folders, so there is no recursion.
    """
    left, seen, inside = [""], 0, FolderGuard(work)
    while left:
        go_on()
        prefix = left.pop()
        names, folders = _entries(work / prefix, WALKED_MAX - seen)
        seen += len(names) + len(folders)
        for name in sorted(names):
            go_on()
            path = Path(work, prefix, name)
            if _is_file_inside(path, inside):
                yield prefix + name, path
        left.extend(prefix + name + "/" for name in sorted(folders, reverse=True))


def _entries(folder: Path, most: int) -> tuple[list[str], list[str]]:
    """Return the names of the files and of the folders in a folder."""
    names: list[str] = []
    folders: list[str] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                inner = entry.is_dir(follow_symlinks=False)  # links to folders are not followed
                (folders if inner else names).append(entry.name)
                if len(names) + len(folders) > most:
                    raise TooLarge(f"more than {WALKED_MAX} files in the folder")
    except TooLarge:
        raise
    except OSError:
        pass
    return names, folders


def _check_name(name: str) -> None:
    """Raise UnsafePath, with a readable form of the name, if a report cannot carry it."""
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if shown != name:
        raise UnsafePath(f"the name of the output file '{shown[:200]}' is not UTF-8")
    try:
        check(Output(name, "0" * 64, 0))
    except OutOfRange as why:
        shown = repr(name if len(name) <= 200 else name[:200] + "...")
        raise UnsafePath(
            f"the name of the output file {shown} is wrong: expected {why.right}"
        ) from None


def _is_file_inside(path: Path, inside: FolderGuard) -> bool:
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):  # nothing outside is read, because it may be a disk that hangs
            return inside.has(path) and stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
    return stat.S_ISREG(mode)


def _hashed(name: str, path: Path, go_on: GoOn) -> Output:
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while True:
            go_on()
            block = file.read(_BLOCK)
            if not block:
                return Output(name, digest.hexdigest(), size)
            digest.update(block)
            size += len(block)


def _emptied(folder: Path) -> bool:
    """Empty a folder; return False if something is left that cannot be removed quickly."""
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
