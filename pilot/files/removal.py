"""Removal of a payload's files, at any depth and with any modes.

A path into a tree may be too long for a system call, and a tree too deep for recursion or for one
open file per level. So each folder is first moved to the top and then emptied there: two folders
are open at a time.
"""

import contextlib
import os
import stat
from collections.abc import Generator
from itertools import count
from pathlib import Path
from typing import Optional, Union

_MODE = 0o700
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_numbers = count()  # of heaps and their entries: no name is used twice in one process

HEAP = "gone-"  # begins the name of a folder that holds files to remove


def remove(path: Path) -> bool:
    """Remove everything at `path`; return whether nothing is left. Raises no OSError."""
    try:
        if not os.path.lexists(path):
            return True
        if not stat.S_ISDIR(path.lstat().st_mode):
            path.unlink()
            return True
        heap = path.parent / f"{HEAP}{os.getpid()}-{next(_numbers)}"
        heap.mkdir(mode=_MODE)
        with _open(heap) as top:
            os.chmod(path, _MODE)  # a moved folder must be writable, because its `..` changes
            os.rename(path, f"{next(_numbers)}", dst_dir_fd=top)
            while _sweep(top):
                pass
        heap.rmdir()
    except OSError:
        return False
    return True


def _sweep(top: int) -> bool:
    """Empty and remove the folders in the heap; return whether others were moved up from them."""
    found = False
    for name in os.listdir(top):
        with _open(name, top) as folder:
            found = _empty(folder, top) or found
        with contextlib.suppress(OSError):
            os.rmdir(name, dir_fd=top)
    return found


def _empty(folder: int, top: int) -> bool:
    """Unlink the files of a folder and move its folders up; return whether there were any."""
    moved = False
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # anything that cannot be removed shows at the end
                if entry.is_dir(follow_symlinks=False):
                    os.chmod(entry.name, _MODE, dir_fd=folder)
                    os.rename(entry.name, f"{next(_numbers)}", src_dir_fd=folder, dst_dir_fd=top)
                    moved = True
                else:
                    os.unlink(entry.name, dir_fd=folder)
    return moved


@contextlib.contextmanager
def _open(name: Union[str, Path], folder: Optional[int] = None) -> Generator[int, None, None]:
    handle = os.open(name, _FOLDER, dir_fd=folder)
    try:
        yield handle
    finally:
        os.close(handle)
