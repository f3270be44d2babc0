"""The disk usage of a payload: its folder, and deleted files that it keeps open.

The payload chooses the depth, width and modes of its folders, and the targets of its links.
Therefore links are not followed, other file systems are not counted, and folders that it has closed
to itself are opened for the count.
"""

import contextlib
import errno
import os
import stat
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ENTRIES_MAX = 1_500_000  # more than any payload may have (`limits.FILES_MAX`)
HANDLES_MAX = 4_096  # open files of a payload that are checked
PIECE = 2_000  # entries between two pauses
PAUSE = 4  # length of a pause, as a multiple of the last piece, for the pilot's other threads
SHARED = "/dev/shm"  # in a payload's namespaces: its private file system in memory
_BLOCK = 512  # bytes: the unit of `st_blocks`
_READ = stat.S_IRUSR | stat.S_IXUSR
_TOO_DEEP = "its folders are nested too deep to be measured: a path has more than 4,000 characters"


@dataclass(frozen=True)
class Footprint:
    """The measured disk usage."""

    scratch_mb: float = 0.0
    files: int = 0  # including folders and links
    streams_mb: float = 0.0
    unmeasurable: str = ""  # why there may be more
    in_memory_mb: float = 0.0  # memory of its processes with all of /dev/shm; 0: no files there


def measure(
    folder: Path,
    processes: Iterable[int] = (),
    *,
    pause: Callable[[float], None],
    spent: Callable[[], float] = time.thread_time,
) -> Footprint:
    """Return the disk usage of an attempt's folder, and of files that its `processes` keep open."""
    walk = _Walk(spent, pause)
    device = walk.count(os.fspath(folder))
    processes = tuple(processes)
    walk.count_deleted(device, processes)
    streams = sum(_size(folder / name) for name in ("stdout", "stderr"))
    in_memory_mb = with_shared_files_mb(processes)
    return Footprint(walk.bytes / 1e6, walk.entries, streams / 1e6, walk.unmeasurable, in_memory_mb)


def with_shared_files_mb(
    processes: Sequence[int], proc: str = "/proc", shared: str = SHARED
) -> float:
    """Return the memory of processes and of the files in their private /dev/shm.

    Pages of these files that they map count once. Return 0 if they have no files there, apart from
    those of the node: then the memory of the processes is all.
    """
    files: dict[int, int] = {_device(shared): 0}  # that of the node, which is shared with others
    for pid in processes[:HANDLES_MAX]:
        with contextlib.suppress(OSError):
            place = f"{proc}/{pid}/root{shared}"
            device = _device(place)
            if device not in files:
                found = os.statvfs(place)
                files[device] = (found.f_blocks - found.f_bfree) * found.f_frsize
    taken = sum(files.values())
    if not taken:
        return 0.0
    return taken / 1e6 + sum(_unshared_kb(pid, proc) for pid in processes) * 1024 / 1e6


def _device(path: str) -> int:
    try:
        return os.stat(path).st_dev
    except OSError:
        return -1


def _unshared_kb(pid: int, proc: str) -> int:
    """Return the memory of a process without its mapped shared files and segments."""
    try:
        with open(f"{proc}/{pid}/smaps_rollup", "rb") as file:
            sizes = {line.split()[0]: int(line.split()[1]) for line in file if b" kB" in line}
    except (OSError, ValueError):
        return 0
    if b"Pss_Shmem:" not in sizes:  # unknown before Linux 5.4
        return 0
    return sizes[b"Pss:"] - sizes[b"Pss_Shmem:"]


class _Walk:
    def __init__(self, spent: Callable[[], float], pause: Callable[[float], None]) -> None:
        self.bytes, self.entries, self.unmeasurable = 0, 0, ""
        self._linked: set[int] = set()  # files with several names count once
        self._spent, self._pause = spent, pause
        self._piece_began = spent()

    def count(self, top: str) -> int:
        """Count everything below `top`; return the device of its file system."""
        try:
            first = os.lstat(top)
        except OSError:  # the payload has removed or moved it
            return -1
        left = [(top, first.st_mode)]
        while left and self.entries < ENTRIES_MAX:
            path, mode = left.pop()
            try:
                with _entries(path, mode) as entries:
                    for entry in entries:
                        found = self._found(entry)
                        if found is None or found.st_dev != first.st_dev:
                            continue
                        self._add(found)
                        if stat.S_ISDIR(found.st_mode):
                            left.append((entry.path, found.st_mode))
            except OSError as why:
                if why.errno == errno.ENAMETOOLONG:
                    self.unmeasurable = _TOO_DEEP
        return first.st_dev

    def _found(self, entry: "os.DirEntry[str]") -> "os.stat_result | None":
        try:
            return entry.stat(follow_symlinks=False)
        except OSError as why:
            if why.errno == errno.ENAMETOOLONG:
                self.unmeasurable = _TOO_DEEP
            return None

    def _add(self, found: os.stat_result) -> None:
        self.entries += 1
        if self.entries % PIECE == 0:
            self._pause(PAUSE * (self._spent() - self._piece_began))
            self._piece_began = self._spent()
        if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
            if found.st_ino in self._linked:
                return
            self._linked.add(found.st_ino)
        # A sparse file counts with its full length, because a copy writes all of it.
        length = found.st_size if stat.S_ISREG(found.st_mode) else 0
        self.bytes += max(length, found.st_blocks * _BLOCK)

    def count_deleted(self, device: int, processes: Iterable[int]) -> None:
        """Count deleted files that the processes keep open on that file system."""
        left = HANDLES_MAX
        for pid in processes:
            try:
                handles = os.listdir(f"/proc/{pid}/fd")[:left]
            except OSError:
                continue
            left -= len(handles)
            for handle in handles:
                with contextlib.suppress(OSError):
                    found = os.stat(f"/proc/{pid}/fd/{handle}")
                    nameless = stat.S_ISREG(found.st_mode) and not found.st_nlink
                    if nameless and found.st_dev == device and found.st_ino not in self._linked:
                        self._linked.add(found.st_ino)
                        self._add(found)


@contextlib.contextmanager
def _entries(path: str, mode: int) -> Generator[Iterable["os.DirEntry[str]"], None, None]:
    """Open a folder, even one that its payload has closed to itself."""
    handle = -1
    if mode & _READ != _READ and os.geteuid() != 0:
        # By a handle, so that a replacement by another file is not opened.
        handle = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if handle >= 0:
            os.chmod(f"/proc/self/fd/{handle}", stat.S_IMODE(mode) | _READ)
        with os.scandir(path) as entries:
            yield entries
    finally:
        if handle >= 0:
            with contextlib.suppress(OSError):
                os.chmod(f"/proc/self/fd/{handle}", stat.S_IMODE(mode))
            os.close(handle)


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0
