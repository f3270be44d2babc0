"""CPU time, memory and number of processes of payloads, from /proc.

The guard imports this module, so it stays small. It reads only /proc/PID/stat, which never blocks.
Folders and shared memory, which may block, are measured outside the guard (`usage_sampler.py`).
"""

from __future__ import annotations

import os

from . import limits as limiting, processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .limits import PayloadLimits, PayloadUse

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6
FOREIGN_S = 10.0  # seconds for which a process of another user is skipped
NAMED_MAX = 256  # processes whose open files are examined
WEIGHED_MB = 50.0  # memory of several processes from which it is measured exactly
WEIGH_S = 30.0  # interval of that, far from the limit
WEIGHED_MAX = 4_096  # if there are more, the rest counts alike, because a line must name them all
UNWEIGHED_S = 60.0  # after this time without a measurement, the estimate counts
LINES_OF_TIME = 80  # a line of the curve covers 1/80 of the time before it, or a second


class Census:
    """Reads the processes of all payloads in one pass.

    On a busy node, most processes belong to others and never become payloads'. They are not read
    again while their numbers are fresh.
    """

    def __init__(self) -> None:
        self._foreign: frozenset[int] = frozenset()
        self._until = 0.0

    def take(self, now: float) -> dict[int, processes.Process]:
        """Return a table with every process of every payload, and maybe some others."""
        if now < self._until:
            return processes.every(self._foreign)
        self._until = now + FOREIGN_S
        table = processes.every()
        # Only descendants of the top that do not include the guard are surely foreign, because
        # parents of a payload's process may have died between two reads.
        tops = [pid for pid, one in table.items() if one.parent == 0]
        self._foreign = frozenset(processes.descendants(table, tops, without=os.getpid()))
        return table


class PayloadUsage:
    """The usage of one payload until its last check, and when the next check is due."""

    def __init__(self, limits: PayloadLimits, now: float) -> None:
        self.use: PayloadUse = limiting.PayloadUse()
        self.due_at = now + limiting.FIRST_S
        self.memory_peak_mb = 0.0
        self.scratch_peak_mb = 0.0
        self.reaped_s = 0.0  # CPU of orphans that the guard has reaped
        self.processes: list[int] = []  # at the last check
        self.to_weigh: list[int] = []  # processes whose shared memory is to be measured
        self._limits = limits
        self._began = self._looked_at = self._busy_at = now
        self._seen: dict[tuple[int, bytes], int] = {}  # CPU of each living process itself
        self._seen_ticks = 0
        self._resident_mb = 0.0
        self._weighed_part = 1.0  # share of the resident memory that is measured
        self._shared = 1.0  # share of the resident memory that is real when shared pages count once
        self._weigh_at = now
        self._unanswered_since: float | None = None
        self._line_at = now
        self._line_peak_mb, self._line_processes = 0.0, 0

    def look(self, members: list[processes.Process], wrapper: set[int], now: float) -> None:
        """Record the payload's processes; `wrapper` are those that only isolate it."""
        use, before_mb, before = self.use, self.use.memory_mb, self.use.processes
        inside = [one for one in members if one.pid not in wrapper]
        use.processes = len(inside)
        self.processes = [one.pid for one in inside[:NAMED_MAX]]
        self._measure(inside, now)
        self._count(members, now)
        passed_s, self._looked_at = now - self._looked_at, now
        limits, again = self._limits, limiting.look_again_in_s
        self.due_at = now + min(
            max(limiting.FIRST_S, min(limiting.EVERY_S, now - self._began)),
            again(limits.memory_mb, before_mb, use.memory_mb, passed_s),
            again(limits.processes, before, use.processes, passed_s),
        )

    def _measure(self, inside: list[processes.Process], now: float) -> None:
        """Estimate the memory, and request an exact measurement if it is needed."""
        parents = {one.pid: one for one in inside}
        whole = [one for one in inside if not _is_vforked(one, parents.get(one.parent))]
        self._resident_mb = resident_mb = PAGE_MB * sum(one.resident_pages for one in whole)
        limit_mb, self.to_weigh = self._limits.memory_mb, []
        if len(whole) < 2:
            self._shared, self._unanswered_since = 1.0, None
            self.use.memory_mb = resident_mb
            return
        if resident_mb > WEIGHED_MB and (now >= self._weigh_at or resident_mb > limit_mb):
            weighed = whole[:WEIGHED_MAX]
            self.to_weigh = [one.pid for one in weighed]
            weighed_mb = PAGE_MB * sum(one.resident_pages for one in weighed)
            self._weighed_part = weighed_mb / resident_mb
            self._weigh_at = now + WEIGH_S
            self._unanswered_since = self._unanswered_since or now
        waited_s = now - self._unanswered_since if self._unanswered_since is not None else 0.0
        if waited_s < UNWEIGHED_S:
            # No verdict on memory that may be counted twice.
            self.use.memory_mb = min(self._shared * resident_mb, limit_mb)
        else:
            self.use.memory_mb = resident_mb

    def weighed(self, memory_mb: float) -> None:
        """Record the memory of its processes with shared pages counted once."""
        self._unanswered_since = None
        memory_mb = memory_mb / self._weighed_part if self._weighed_part else self._resident_mb
        self._shared = min(1.0, memory_mb / self._resident_mb) if self._resident_mb else 1.0
        self.use.memory_mb = memory_mb
        self.note_peaks()

    def _count(self, members: list[processes.Process], now: float) -> None:
        """Sum up the CPU time.

        When a process is reaped, its CPU time goes to its parent, unless the parent ignores its
        children. So the last known time of each process is added too.
        """
        seen: dict[tuple[int, bytes], int] = {}
        for one in members:
            key = (one.pid, one.started)
            seen[key] = one.own_ticks
            self._seen_ticks += max(0, one.own_ticks - self._seen.get(key, 0))
        self._seen = seen
        handed_on_s = sum(one.cpu_ticks for one in members) / processes.TICKS_S + self.reaped_s
        self.at_least(max(self._seen_ticks / processes.TICKS_S, handed_on_s), now)

    def at_least(self, cpu_s: float, now: float) -> None:
        """Record that it has used at least this CPU time."""
        if cpu_s >= self.use.cpu_s + 1 / processes.TICKS_S:
            self.use.cpu_s, self._busy_at = cpu_s, now
        self.use.idle_s = now - self._busy_at

    def reaped(self, cpu_s: float, memory_peak_mb: float) -> None:
        """Record the CPU time of a process that the guard has reaped."""
        self.reaped_s += cpu_s
        self.use.cpu_s = max(self.use.cpu_s, self.reaped_s)
        self.memory_peak_mb = max(self.memory_peak_mb, memory_peak_mb)

    def note_peaks(self) -> None:
        """Record the highest figures, as far as they are known."""
        use = self.use
        if self._unanswered_since is None:
            memory_mb = max(use.memory_mb, use.in_memory_mb)
            self.memory_peak_mb = max(self.memory_peak_mb, memory_mb)
            self._line_peak_mb = max(self._line_peak_mb, memory_mb)
        self.scratch_peak_mb = max(self.scratch_peak_mb, use.scratch_mb)
        self._line_processes = max(self._line_processes, use.processes)

    def moved(self, now: float) -> None:
        """Record that it was frozen until now and could not use the CPU."""
        self._busy_at = self._looked_at = now
        self.due_at = now + limiting.FIRST_S

    def line(self, now: float, *, last: bool = False) -> list[float] | None:
        """Return the next line of its curve when one is due, else None.

        Memory and processes are the maximum since the last line. A payload that ends before the
        first check has no curve.
        """
        if (now < self._line_at and not last) or self._looked_at == self._began:
            return None
        age_s = now - self._began
        self._line_at = now + max(1.0, age_s / LINES_OF_TIME)
        peak_mb, most = self._line_peak_mb, self._line_processes
        self._line_peak_mb, self._line_processes = 0.0, 0
        return [age_s, self.use.cpu_s, peak_mb, most]


def _is_vforked(child: processes.Process, parent: processes.Process | None) -> bool:
    """Return whether it still shares its parent's memory, while the parent waits."""
    return (
        parent is not None
        and parent.state in processes.UNINTERRUPTIBLE
        and parent.resident_pages == child.resident_pages
    )
