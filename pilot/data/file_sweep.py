"""Removal of a file or a folder below the root of a storage, and of nothing else.

Each folder on the way is opened relative to the one before it, and links are not followed. Thus
only files below the root are removed, whatever another process changes at the same time.
"""

import contextlib
import errno
import itertools
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Optional

from .storages import GoOn, StorageRefused, StorageUnavailable

_NAMES_MAX = 1_000  # names of a folder that are kept in memory at a time
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def part_of(name: str, writer: str) -> str:
    """Return the name of a file while a writer, of 16 hexadecimal digits, makes it."""
    return f".{name[:100]}.part-{writer}"


def swept(root: Path, parts: Sequence[str], *, is_folder: bool, go_on: GoOn) -> None:
    """Remove a file or folder, and the folders above it that are then empty, except the topmost.

    With a file go the parts of it that killed writers have left.
    The topmost folder stays, so that a root in use is never empty: an empty root is a mount point
    without its file system. Raises StorageUnavailable for an empty root, StorageRefused for another
    kind of file, and OSError.
    """
    with contextlib.ExitStack() as opened:
        handles = [_opened(opened, os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))]
        if not _first(handles[0], 1):
            raise StorageUnavailable(f"{root} is empty: perhaps its file system is not mounted")
        for part in parts[:-1]:
            handle = _folder(part, handles[-1])
            if handle is None:
                break
            handles.append(_opened(opened, handle))
        else:
            _remove(parts[-1], handles[-1], is_folder, go_on)
            if not is_folder:
                _remove_parts(parts[-1], handles[-1], go_on)
            with contextlib.suppress(OSError):  # some file systems do not support it
                os.fsync(handles[-1])
        with contextlib.suppress(OSError):  # the folder is not empty
            for above, part in reversed(list(zip(handles, parts))[1 : len(handles) - 1]):
                os.rmdir(part, dir_fd=above)


def _opened(stack: contextlib.ExitStack, handle: int) -> int:
    stack.callback(os.close, handle)
    return handle


def _folder(name: str, above: int) -> Optional[int]:
    """Open a folder in another one; None: there is none. Raises StorageRefused for a link."""
    found = _look(name, above)
    if found is None or not (stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        return None
    if stat.S_ISLNK(found.st_mode):
        raise StorageRefused(f"{name!r} is a link, which is not followed")
    if found.st_dev != os.fstat(above).st_dev:
        raise StorageRefused(f"{name!r} is on another file system")
    return os.open(name, _FOLDER, dir_fd=above)


def _look(name: str, above: int) -> Optional[os.stat_result]:
    try:
        return os.stat(name, dir_fd=above, follow_symlinks=False)
    except OSError as why:
        if why.errno in (errno.ENOENT, errno.ENAMETOOLONG):  # no file can have such a long name
            return None
        raise


def _remove(name: str, above: int, is_folder: bool, go_on: GoOn) -> None:
    found = _look(name, above)
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode) is not is_folder or stat.S_ISLNK(found.st_mode):
        expected = "folder" if is_folder else "file"
        raise StorageRefused(f"{name!r} is not a {expected}: another process has put it there")
    if is_folder:
        _remove_folder(name, above, go_on)
    elif stat.S_ISREG(found.st_mode):
        go_on()
        _unlink(name, above)
    else:
        raise StorageRefused(f"{name!r} is not a regular file")


def _remove_parts(name: str, above: int, go_on: GoOn) -> None:
    part = re.compile(re.escape(part_of(name, "")) + "[0-9a-f]{16}")
    with os.scandir(above) as entries:
        found = [one.name for one in entries if part.fullmatch(one.name) and _is_file(one)]
    for one in found:
        go_on()
        _unlink(one, above)


def _is_file(entry: "os.DirEntry[str]") -> bool:
    return entry.is_file(follow_symlinks=False)


def _remove_folder(name: str, above: int, go_on: GoOn) -> None:
    """Remove a folder with its contents; links in it are removed, but not their targets.

    To handle any depth, the contents of its folders are first moved up into it, folder by folder.
    """
    handle = _folder(name, above)
    if handle is None:
        return
    try:
        for one, is_folder in _entries(handle, go_on):
            if is_folder:
                _flatten(one, handle, go_on)
            else:
                _unlink(one, handle)
    finally:
        os.close(handle)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=above)


def _flatten(name: str, top: int, go_on: GoOn) -> None:
    """Remove a folder in another one, after its subfolders were moved into that one."""
    handle = _folder(name, top)
    if handle is None:
        return
    try:
        for one, is_folder in _entries(handle, go_on):
            if is_folder:
                _move_up(one, handle, top)
            else:
                _unlink(one, handle)
    finally:
        os.close(handle)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=top)


def _move_up(name: str, handle: int, top: int) -> None:
    try:
        os.rmdir(name, dir_fd=handle)
    except FileNotFoundError:
        pass
    except OSError:  # it is not empty
        os.rename(name, f".{os.urandom(8).hex()}", src_dir_fd=handle, dst_dir_fd=top)


def _entries(handle: int, go_on: GoOn) -> Iterator[tuple[str, bool]]:
    """Yield each entry of a folder, and whether it is a folder, until none is left.

    The caller must remove each entry.
    """
    while True:
        found = _first(handle, _NAMES_MAX)
        if not found:
            return
        for one in found:
            go_on()
            yield one


def _first(handle: int, count: int) -> list[tuple[str, bool]]:
    with os.scandir(handle) as entries:
        some = itertools.islice(entries, count)
        return [(one.name, one.is_dir(follow_symlinks=False)) for one in some]


def _unlink(name: str, above: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=above)
