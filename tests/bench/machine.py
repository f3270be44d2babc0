"""The machine a bench ran on, and how quiet it was."""

import os
import platform
import sqlite3
import sys
import tempfile
import time
from pathlib import Path

import msgspec

QUIET_BELOW = 0.10  # share of the machine that others may use


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Facts that a reader needs to judge a figure."""

    cpu: str
    cores: int
    memory_gb: int
    python: str
    sqlite: str
    kernel: str
    fdatasync_ms: float  # p50 of small appends
    foreign_cpu: float  # share of all cores that other processes used during the run
    quiet: bool


class Watch:
    """Measures what other processes use between `begin` and `end`.

    Every process that is ours (this one, its children and theirs) must still run, or have been
    waited for by us, at `end`.
    """

    def __init__(self) -> None:
        self._busy, self._total = _machine_jiffies()
        self._ours = _our_jiffies()

    def machine(self) -> Machine:
        """Return the facts, with foreign CPU since this watch was made."""
        busy, total = _machine_jiffies()
        foreign = (busy - self._busy) - (_our_jiffies() - self._ours)
        share = max(0.0, foreign / max(1, total - self._total))
        return Machine(
            cpu=_cpu(),
            cores=os.cpu_count() or 1,
            memory_gb=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
            python=platform.python_version(),
            sqlite=sqlite3.sqlite_version,
            kernel=platform.release(),
            fdatasync_ms=round(fdatasync_ms(), 3),
            foreign_cpu=round(share, 3),
            quiet=share < QUIET_BELOW,
        )


def fdatasync_ms(count: int = 100) -> float:
    """Return the median time of an append of 512 bytes with fdatasync, in milliseconds."""
    times: list[float] = []
    with tempfile.TemporaryFile() as file:
        for _ in range(count):
            began = time.perf_counter()
            os.write(file.fileno(), b"x" * 512)
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return sorted(times)[count // 2] * 1_000


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far, all threads, without its children."""
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def reaped_cpu_s(pid: int) -> float:
    """Return the CPU time of the children that a process has waited for, and of theirs."""
    fields = _stat(pid)
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the state on (proc(5), field 3)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _machine_jiffies() -> tuple[int, int]:
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return sum(fields) - idle, sum(fields)


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and that are there still."""
    return [child for child, parent in _parents().items() if parent == pid]


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = int(_stat(int(entry.name))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    return found


def _our_jiffies() -> int:
    """Return what this process and its descendants have used, waited-for ones included."""
    ours, parents = {os.getpid()}, _parents()
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in ours} - ours
        ours |= more
        grown = bool(more)
    used = 0
    for pid in ours:
        try:
            used += sum(int(field) for field in _stat(pid)[11:15])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return used


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine() or sys.platform
