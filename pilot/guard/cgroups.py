"""Control groups (version 2), where the node gives the pilot a part of the tree for its own.

They make what the guard does by looks and signals exact: the kernel itself holds a payload to its
memory and its number of processes between two looks, stops, thaws and kills all of it in one step,
and counts the CPU time of whatever ended unseen. Nothing depends on them: where there are none, or
one cannot be made, looks and signals do alone.

The guard imports this module, so it stays small: nothing but `os`.
"""

from __future__ import annotations

import os

from . import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .limits import PayloadLimits

MOUNT = "/sys/fs/cgroup"
OURS = "pilotage-pilot"  # the leaf that the pilot and its guard move to: a group with groups in it
CONTROLLERS = ("memory", "pids")  # may hold no process
WRAPPERS = 16  # processes that may isolate a payload, beside its own


def open_trees(places: Sequence[str] = (MOUNT, MOUNT + "/unified")) -> tuple[str, ...]:
    """Return where trees of version 2 are mounted such that their files can be written to."""
    return tuple(one for one in places if _is_writable_tree(one))


def _is_writable_tree(mount: str) -> bool:
    try:
        flags = os.statvfs(os.path.join(mount, "cgroup.controllers")).f_flag
    except OSError:
        return False
    return not flags & os.ST_RDONLY


def take_over(mount: str = MOUNT, own: str = "/proc/self/cgroup") -> str:
    """Return the folder below which payloads may have groups, empty where there is none.

    A group is ours where we may write to it and are alone in it: then nobody else is moved, and no
    other's tree is changed. So it is in a unit of systemd that has `Delegate=yes`.
    """
    folder = _own_group(mount, own)
    if not folder or not {*CONTROLLERS} <= {*_read(folder, "cgroup.controllers").split()}:
        return ""
    here = [int(word) for word in _read(folder, "cgroup.procs").split()]
    if os.getpid() not in here or not all(map(_is_of_this_pilot, here)):
        return ""
    leaf = os.path.join(folder, OURS)
    try:
        os.makedirs(leaf, exist_ok=True)
        Group(leaf).add(here)
        try:
            _write(folder, "cgroup.subtree_control", " ".join(f"+{one}" for one in CONTROLLERS))
        except OSError:
            Group(folder).add(here)
            raise
    except OSError:
        return ""
    return folder


def _is_of_this_pilot(pid: int) -> bool:
    if pid == os.getpid():
        return True
    found = processes.find(pid)
    return found is not None and found.parent == os.getpid()  # its benchmark


def _own_group(mount: str, own: str) -> str:
    for line in _read(*os.path.split(own)).splitlines():
        if line.startswith("0::/"):
            return os.path.join(mount, line[len("0::/") :])
    return ""


class Group:
    """The group of one payload."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._added: set[int] = set()

    def add(self, processes: Iterable[int]) -> None:
        """Move processes in; their children are born in it."""
        for pid in processes:
            if pid not in self._added:
                try:
                    _write(self._folder, "cgroup.procs", str(pid))
                except OSError:
                    continue  # it is gone
                self._added.add(pid)

    def freeze(self, frozen: bool) -> bool:
        """Stop all of it, or let it go on; say whether that is so by now."""
        try:
            _write(self._folder, "cgroup.freeze", "1" if frozen else "0")
        except OSError:
            return False
        return self._figure("cgroup.events", "frozen") == frozen

    def kill(self) -> None:
        """Kill all of it in one step, where the kernel can (5.14)."""
        try:
            _write(self._folder, "cgroup.kill", "1")
        except OSError:
            return

    def cpu_s(self) -> float:
        return self._figure("cpu.stat", "usage_usec") / 1e6

    def memory_peak_mb(self) -> float:
        """Return the most that it used, buffers of the kernel for its files included."""
        words = _read(self._folder, "memory.peak").split()
        return int(words[0]) / 1e6 if words and words[0].isdigit() else 0.0

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed any of it for its memory."""
        return self._figure("memory.events", "oom_kill") > 0

    def remove(self) -> None:
        """Remove the group of a payload of which nothing is left."""
        try:
            os.rmdir(self._folder)
        except OSError:
            return  # it costs nothing, and the next pilot makes others

    def _figure(self, file: str, name: str) -> int:
        for line in _read(self._folder, file).splitlines():
            words = line.split()
            if len(words) == 2 and words[0] == name and words[1].isdigit():
                return int(words[1])
        return 0


def make(folder: str, attempt_id: int, limits: PayloadLimits) -> Group | None:
    """Make the group of a payload with its limits; None where that cannot be."""
    path = os.path.join(folder, f"pilotage-{attempt_id}")
    try:
        os.makedirs(path, exist_ok=True)
        if limits.memory_mb != float("inf"):
            _write(path, "memory.max", str(int(limits.memory_mb * 1e6)))
            # All of it, and not the process alone that happened to want more.
            _write(path, "memory.oom.group", "1")
        if limits.processes != float("inf"):
            _write(path, "pids.max", str(int(limits.processes) + WRAPPERS))
    except OSError:
        return None
    return Group(path)


def _read(folder: str, file: str) -> str:
    try:
        with open(os.path.join(folder, file), encoding="ascii", errors="replace") as opened:
            return opened.read(65536)
    except OSError:
        return ""


def _write(folder: str, file: str, text: str) -> None:
    """Write to a file of a group, which is there already. Raises OSError."""
    handle = os.open(os.path.join(folder, file), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)
