"""Control groups (version 2), if the node gives the pilot a subtree of its own.

With them, the guard's work is exact. The kernel itself enforces memory and number of processes
between two checks. It stops, thaws and kills a whole payload in one step, and counts the CPU time
of processes that ended unseen. They are optional: without them, the guard uses checks and signals
alone.

The guard imports this module, so it stays small: it imports only `os`.
"""

from __future__ import annotations

import os

from . import processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .limits import PayloadLimits

MOUNT = "/sys/fs/cgroup"
OURS = "pilotage-pilot"  # leaf group of the pilot and its guard: a group with subgroups
CONTROLLERS = ("memory", "pids")  # … and these controllers may have no processes
WRAPPERS = 16  # processes that may isolate a payload, besides its own


def open_trees(places: Sequence[str] = (MOUNT, MOUNT + "/unified")) -> tuple[str, ...]:
    """Return the mount points of version 2 whose files can be written to."""
    return tuple(one for one in places if _is_writable_tree(one))


def _is_writable_tree(mount: str) -> bool:
    try:
        flags = os.statvfs(os.path.join(mount, "cgroup.controllers")).f_flag
    except OSError:
        return False
    return not flags & os.ST_RDONLY


def take_over(mount: str = MOUNT, own: str = "/proc/self/cgroup") -> str:
    """Return the folder below which payloads may have groups; empty if there is none.

    A group is used only if the pilot may write to it and is alone in it. Then no other process is
    moved, and no other tree is changed. Such a group exists in a systemd unit with `Delegate=yes`.
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
        ControlGroup(leaf).add(here)
        try:
            _write(folder, "cgroup.subtree_control", " ".join(f"+{one}" for one in CONTROLLERS))
        except OSError:
            ControlGroup(folder).add(here)
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


class ControlGroup:
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
        """Freeze or thaw the group; return whether that is done by now."""
        try:
            _write(self._folder, "cgroup.freeze", "1" if frozen else "0")
        except OSError:
            return False
        return self._figure("cgroup.events", "frozen") == frozen

    def kill(self) -> None:
        """Kill the group in one step, if the kernel can (5.14)."""
        try:
            _write(self._folder, "cgroup.kill", "1")
        except OSError:
            return

    def cpu_s(self) -> float:
        return self._figure("cpu.stat", "usage_usec") / 1e6

    def memory_peak_mb(self) -> float:
        """Return its maximum memory, including the kernel's buffers for its files."""
        words = _read(self._folder, "memory.peak").split()
        return int(words[0]) / 1e6 if words and words[0].isdigit() else 0.0

    def ran_out_of_memory(self) -> bool:
        """Return whether the kernel has killed any of its processes for lack of memory."""
        return self._figure("memory.events", "oom_kill") > 0

    def remove(self) -> None:
        """Remove the group of a payload that has ended."""
        try:
            os.rmdir(self._folder)
        except OSError:
            return  # a leftover costs nothing, and the next pilot makes other groups

    def _figure(self, file: str, name: str) -> int:
        for line in _read(self._folder, file).splitlines():
            words = line.split()
            if len(words) == 2 and words[0] == name and words[1].isdigit():
                return int(words[1])
        return 0


def make(folder: str, attempt_id: int, limits: PayloadLimits) -> ControlGroup | None:
    """Create the group of a payload with its limits; None if that is impossible."""
    path = os.path.join(folder, f"pilotage-{attempt_id}")
    try:
        os.makedirs(path, exist_ok=True)
        if limits.memory_mb != float("inf"):
            _write(path, "memory.max", str(int(limits.memory_mb * 1e6)))
            # Kill the whole group, not only the process that happened to allocate more.
            _write(path, "memory.oom.group", "1")
        if limits.processes != float("inf"):
            _write(path, "pids.max", str(int(limits.processes) + WRAPPERS))
    except OSError:
        return None
    return ControlGroup(path)


def _read(folder: str, file: str) -> str:
    try:
        with open(os.path.join(folder, file), encoding="ascii", errors="replace") as opened:
            return opened.read(65536)
    except OSError:
        return ""


def _write(folder: str, file: str, text: str) -> None:
    """Write to an existing file of a group. Raises OSError."""
    handle = os.open(os.path.join(folder, file), os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)
