"""How a file or a folder below the root of a storage is removed, and nothing beside it.

Each folder on the way is opened in the one before it, and none through a link: whatever somebody
lays there meanwhile, what is removed lies below the root.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from .storages import GoOn, Refused

FOLDER_PARTS = 4  # COMMUNITY/GENERATION/JOB/EPOCH: no folder above that is ever removed whole
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def path_parts(path: str) -> "list[str]":
    """Return the parts of a path below a storage. Raises Refused where it may lead elsewhere."""
    parts = path.split("/")
    if {"", ".", ".."} & set(parts) or "\0" in path:
        raise Refused(f"{path!r} is no path below a storage")
    return parts


def swept(root: Path, parts: Sequence[str], *, is_folder: bool, go_on: GoOn) -> None:
    """Remove what lies there, and the folders above it that are empty then, but for the root.

    Raises Refused where something else lies there, and OSError.
    """
    if is_folder and len(parts) != FOLDER_PARTS:
        raise Refused(f"{'/'.join(parts)!r} is not the folder of an attempt")
    with contextlib.ExitStack() as opened:
        handles = [_opened(opened, os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))]
        for part in parts[:-1]:
            handle = _folder(part, handles[-1])
            if handle is None:
                break
            handles.append(_opened(opened, handle))
        else:
            _remove(parts[-1], handles[-1], is_folder, go_on)
            with contextlib.suppress(OSError):  # file systems that know no such thing
                os.fsync(handles[-1])
        with contextlib.suppress(OSError):  # somebody has something there
            for above, part in reversed(list(zip(handles, parts))[: len(handles) - 1]):
                os.rmdir(part, dir_fd=above)


def _opened(stack: contextlib.ExitStack, handle: int) -> int:
    stack.callback(os.close, handle)
    return handle


def _folder(name: str, above: int) -> Optional[int]:
    """Open a folder in another one; None: there is none. Raises Refused for a link."""
    found = _look(name, above)
    if found is None or not (stat.S_ISDIR(found.st_mode) or stat.S_ISLNK(found.st_mode)):
        return None
    if stat.S_ISLNK(found.st_mode):
        raise Refused(f"{name!r} is a link, which is not followed")
    if found.st_dev != os.fstat(above).st_dev:
        raise Refused(f"{name!r} is another file system")
    return os.open(name, _FOLDER, dir_fd=above)


def _look(name: str, above: int) -> Optional[os.stat_result]:
    try:
        return os.stat(name, dir_fd=above, follow_symlinks=False)
    except OSError as why:
        if why.errno in (errno.ENOENT, errno.ENAMETOOLONG):  # too long: none can be called so
            return None
        raise


def _remove(name: str, above: int, is_folder: bool, go_on: GoOn) -> None:
    found = _look(name, above)
    if found is None:
        return
    if stat.S_ISDIR(found.st_mode) is not is_folder or stat.S_ISLNK(found.st_mode):
        expected = "folder" if is_folder else "file"
        raise Refused(f"{name!r} is no {expected}: somebody else has laid it there")
    if is_folder:
        _remove_folder(name, above, go_on)
    elif stat.S_ISREG(found.st_mode):
        go_on()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=above)
    else:
        raise Refused(f"{name!r} is no regular file")


def _remove_folder(name: str, above: int, go_on: GoOn) -> None:
    """Remove a folder with all that is in it; links in it go, and not what they lead to."""
    handle = _folder(name, above)
    if handle is None:
        return
    try:
        with os.scandir(handle) as entries:
            names = [(one.name, one.is_dir(follow_symlinks=False)) for one in entries]
        for one, is_folder in names:
            go_on()
            if is_folder:
                _remove_folder(one, handle, go_on)
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(one, dir_fd=handle)
    finally:
        os.close(handle)
    with contextlib.suppress(FileNotFoundError):
        os.rmdir(name, dir_fd=above)
