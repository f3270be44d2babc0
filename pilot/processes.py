"""What /proc says of processes: who descends from whom, and who carries a mark in its environment.

The guard imports this module, so it stays small: nothing but `os`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

STOPPED = "Tt"  # by a signal, by a tracer
DEAD = "ZXx"  # a zombie runs no more; it only waits to be reaped
UNINTERRUPTIBLE = "D"  # stops by itself as soon as the kernel lets it go


class Process:
    """One line of /proc/PID/stat, as far as it matters here."""

    __slots__ = ("cpu_ticks", "parent", "pid", "session", "state", "threads")

    def __init__(self, pid: int, words: list[bytes]) -> None:
        self.pid = pid
        self.state = words[0].decode()
        self.parent, self.session = int(words[1]), int(words[3])
        self.cpu_ticks = sum(int(word) for word in words[11:15])
        self.threads = int(words[17])

    @property
    def alive(self) -> bool:
        # A first thread that ended shows as a zombie while others of the process run on.
        return self.state not in DEAD or self.threads > 1


def find(pid: int) -> Process | None:
    """Return what /proc says of `pid`, None when there is no such process."""
    data = _read(f"/proc/{pid}/stat")
    if not data:
        return None
    # The name may hold spaces and brackets: the last bracket ends it.
    return Process(pid, data[data.rindex(b")") + 2 :].split())


def every() -> dict[int, Process]:
    """Return all processes that this process can see."""
    found = (find(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return {one.pid: one for one in found if one is not None}


def family(table: dict[int, Process], roots: Iterable[int]) -> list[Process]:
    """Return the living among `roots` and their descendants."""
    children: dict[int, list[int]] = {}
    for one in table.values():
        children.setdefault(one.parent, []).append(one.pid)
    waiting = [pid for pid in roots if pid in table]
    members: set[int] = set()
    while waiting:
        pid = waiting.pop()
        if pid not in members:
            members.add(pid)
            waiting.extend(children.get(pid, ()))
    return [table[pid] for pid in sorted(members) if table[pid].alive]


def children_of_this() -> list[int]:
    """Return the children of this single-threaded process, adopted ones and zombies included."""
    me = os.getpid()
    path = f"/proc/{me}/task/{me}/children"
    if not os.path.exists(path):  # a kernel without CONFIG_PROC_CHILDREN
        return [one.pid for one in every().values() if one.parent == me]
    # A child that exits while the kernel walks the list can hide another: read until two agree.
    before = _read(path)
    while True:
        now = _read(path)
        if now == before:
            return [int(word) for word in now.split()]
        before = now


def mark(pid: int, name: str) -> str | None:
    """Return the value of `name` in the environment that `pid` was started with."""
    wanted = name.encode() + b"="
    for entry in _read(f"/proc/{pid}/environ").split(b"\0"):
        if entry.startswith(wanted):
            return os.fsdecode(entry[len(wanted) :])
    return None


def marked(name: str, value: str) -> list[int]:
    """Return the living processes that were started with `name` = `value`, this one excepted."""
    me = os.getpid()
    return [
        pid for pid, one in every().items() if one.alive and pid != me and mark(pid, name) == value
    ]


def _read(path: str) -> bytes:
    """Return what the file holds; nothing when the process is gone or is not ours to read."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        parts: list[bytes] = []
        while True:
            part = os.read(handle, 65536)
            if not part:
                return b"".join(parts)
            parts.append(part)
    except OSError:
        return b""
    finally:
        os.close(handle)


def send(pid: int, number: int) -> bool:
    """Send a signal and return whether it arrived: the process may be gone, or not be ours."""
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def boot_id() -> str:
    """Return what names this boot of the host."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def pid_namespace() -> str:
    """Return what names the PID namespace of this process."""
    return os.readlink("/proc/self/ns/pid")
