"""Processes in /proc: their descendants, and marks in their environments.

The guard imports this module, so it stays small: it imports only `os`.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

STOPPED = "Tt"  # by a signal, by a tracer
DEAD = "ZXx"  # a zombie does not run; it only waits to be reaped
EVERY_SIGNAL = 0x7FFBFEFF  # signals 1 to 31 except SIGKILL and SIGSTOP, which cannot be blocked
OOM_LAST = 1_000  # the maximum of the kernel's scale
YOUNG_S = 0.2  # a process this young may be about to become another program
TICKS_S: float = os.sysconf("SC_CLK_TCK")  # per second
UNINTERRUPTIBLE = "D"  # stops by itself as soon as the kernel releases it


class Process:
    """The needed fields of /proc/PID/stat."""

    __slots__ = (
        *("cpu_ticks", "group", "own_ticks", "parent", "pid"),
        *("resident_pages", "session", "started", "state", "threads"),
    )

    def __init__(self, pid: int, words: list[bytes]) -> None:
        self.pid = pid
        self.state = words[0].decode()
        self.parent, self.group, self.session = int(words[1]), int(words[2]), int(words[3])
        self.own_ticks = int(words[11]) + int(words[12])
        # Including reaped children.
        self.cpu_ticks = self.own_ticks + int(words[13]) + int(words[14])
        self.threads, self.started = int(words[17]), words[19]
        self.resident_pages = int(words[21])

    def is_young(self, now: float) -> bool:
        """Return whether it was forked less than YOUNG_S before `now` (CLOCK_BOOTTIME)."""
        return 0.0 <= now - int(self.started) / TICKS_S < YOUNG_S

    @property
    def alive(self) -> bool:
        # A first thread that ended shows as a zombie while other threads of the process run.
        return self.state not in DEAD or self.threads > 1


def find(pid: int) -> Process | None:
    """Return the process `pid` in /proc; None if there is none."""
    data = _read(f"/proc/{pid}/stat")
    if not data:
        return None
    # The name may contain spaces and brackets: the last bracket ends it.
    return Process(pid, data[data.rindex(b")") + 2 :].split())


def every(passed_over: frozenset[int] = frozenset()) -> dict[int, Process]:
    """Return all processes that this process can see, except those in `passed_over`."""
    numbers = (int(name) for name in os.listdir("/proc") if name.isdigit())
    found = (find(pid) for pid in numbers if pid not in passed_over)
    return {one.pid: one for one in found if one is not None}


def family(table: dict[int, Process], roots: Iterable[int]) -> list[Process]:
    """Return the living processes among `roots`, and their descendants."""
    members = descendants(table, roots)
    return [table[pid] for pid in sorted(members) if table[pid].alive]


def descendants(table: dict[int, Process], roots: Iterable[int], without: int = 0) -> set[int]:
    """Return those of `roots` that are in the table, and their descendants.

    The process `without` and its descendants are left out.
    """
    children: dict[int, list[int]] = {}
    for one in table.values():
        children.setdefault(one.parent, []).append(one.pid)
    waiting = [pid for pid in roots if pid in table]
    members: set[int] = set()
    while waiting:
        pid = waiting.pop()
        if pid not in members and pid != without:
            members.add(pid)
            waiting.extend(children.get(pid, ()))
    return members


def children_of_this() -> list[int]:
    """Return the children of this single-threaded process, including adopted ones and zombies."""
    me = os.getpid()
    path = f"/proc/{me}/task/{me}/children"
    if not os.path.exists(path):  # a kernel without CONFIG_PROC_CHILDREN
        return [one.pid for one in every().values() if one.parent == me]
    # A child that exits during the kernel's walk can hide another: read until two lists agree.
    before = _read(path)
    while True:
        now = _read(path)
        if now == before:
            return [int(word) for word in now.split()]
        before = now


def mark(pid: int, name: str) -> str | None:
    """Return the value of `name` in the initial environment of `pid`."""
    wanted = name.encode() + b"="
    for entry in _read(f"/proc/{pid}/environ").split(b"\0"):
        if entry.startswith(wanted):
            return os.fsdecode(entry[len(wanted) :])
    return None


def awaits(pid: int, number: int) -> bool:
    """Return whether a process handles a signal, or blocks it to wait for it.

    A process that blocks all signals waits for none: it is about to become another program, which
    unblocks them.
    """
    masks = {
        line[:7]: int(line.split()[1], 16)
        for line in _read(f"/proc/{pid}/status").splitlines()
        if line.startswith((b"SigCgt:", b"SigBlk:"))
    }
    blocked = masks.get(b"SigBlk:", 0)
    if blocked & EVERY_SIGNAL == EVERY_SIGNAL:
        return False
    return bool((blocked | masks.get(b"SigCgt:", 0)) >> (number - 1) & 1)


def depth_below_us(pid: int) -> int:
    """Return how many PID namespaces deeper than this process another one is; 0 if it is gone."""
    return max(0, _depth(str(pid)) - _depth("self"))


def _depth(pid: str) -> int:
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(b"NSpid:"):
            return len(line.split()) - 1
    return 0


def marked(name: str, value: str) -> list[int]:
    """Return the living processes that were started with `name` = `value`, except this one."""
    me = os.getpid()
    return [
        pid for pid, one in every().items() if one.alive and pid != me and mark(pid, name) == value
    ]


def _read(path: str) -> bytes:
    """Return the content of a file; empty if the process is gone or not readable."""
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
    """Send a signal and return whether it arrived. The process may be gone or not be ours."""
    try:
        os.kill(pid, number)
    except OSError:
        return False
    return True


def dies_sooner(by: int) -> bool:
    """Change how soon the kernel kills this process and its children when memory is short.

    Return whether that was possible: any process may raise its own score.
    """
    path = "/proc/self/oom_score_adj"
    try:
        wanted = int(_read(path)) + by
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    try:
        return wanted <= OOM_LAST and os.write(handle, b"%d" % wanted) > 0
    except OSError:
        return False
    finally:
        os.close(handle)


def boot_id() -> str:
    """Return the id of this boot of the host."""
    return _read("/proc/sys/kernel/random/boot_id").decode().strip()


def pid_namespace() -> str:
    """Return the id of the PID namespace of this process."""
    return os.readlink("/proc/self/ns/pid")
