"""The guard: a process beside a pilot's payloads that starts them and holds their fences.

    python -I -S pilot.pyz guard FD        (`guard_link.py` starts it a little leaner)

One thread, one loop over poll(), as few imports as possible. FD is one end of a socket pair whose
other end the pilot has; both speak JSON, one message a line.

    orders  {"do": "start", "attempt_id", "argv", "path", "prefix", "env", "feed", "folder",
                            "fence", "wall_s", "frozen_max_s", "isolation"}
            {"do": "fence", "attempt_id", "fence"}      {"do": "stop", "attempt_id", "grace_s"}
    news    {"attempt_id", "started": true}             {"attempt_id", "not_started": reason}
            {"attempt_id", "frozen": true}              {"attempt_id", "thawed": true}
            {"attempt_id", "ended": {"exit_code", "signal", "frozen_s", "why", "usage"}}

A closed socket means that the pilot is gone: every payload is killed at once and the guard ends.
The guard's own death takes the payloads along where they have a PID namespace (`isolation.py`).
Fences are moments on CLOCK_BOOTTIME, looked at each 0.5 s. `ended` is sent when nothing is left.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import time

from . import held as holding
from . import processes
from .held import Held, NotStarted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .held import Order

LINE_MAX = 16_000_000  # bytes of one order; a kernel takes no longer command anyway
NEWS_MAX = 16_000_000  # bytes of unread news after which the pilot counts as gone
FREEZE_PASSES_MAX = 50  # a payload that forks faster is looked at again in the next round
PR_SET_CHILD_SUBREAPER = 36
MARK = "PILOTAGE_ATTEMPT"  # in the environment of every process of an attempt


class PilotGone(Exception):
    """The pilot has closed its end of the socket, or does not read it."""


class Guard:
    """Starts payloads, keeps them inside their fences, reports what becomes of them."""

    def __init__(self, channel: int, now: Callable[[], float]) -> None:
        self._channel, self._now = channel, now
        self._held: dict[int, Held] = {}  # by attempt
        self._roots: dict[int, Held] = {}  # by process id of the first process
        self._adopted: dict[int, int] = {}  # orphans that came to us: process id -> attempt
        self._inbound = b""
        self._outbound = b""
        self._poll = select.poll()

    def run(self, wake: int) -> None:
        """Serve until the pilot is gone. `wake` becomes readable when a child changes."""
        self._poll.register(wake, select.POLLIN)
        self._poll.register(self._channel, select.POLLIN)
        try:
            while True:
                for handle, _ in self._poll.poll(self._patience_ms()):
                    if handle == wake:
                        os.read(wake, 65536)
                    else:
                        self._receive()
                self._reap()
                self._look()
                self._send()
        except PilotGone:
            self._kill_everything()

    # -- orders and news --------------------------------------------------------------------

    def _receive(self) -> None:
        try:
            data = os.read(self._channel, 1 << 18)
        except BlockingIOError:
            return
        except OSError:
            raise PilotGone from None
        if not data or len(self._inbound) > LINE_MAX:
            raise PilotGone
        *lines, self._inbound = (self._inbound + data).split(b"\n")
        for line in lines:
            order = json.loads(line)
            {"start": self._start, "fence": self._fence, "stop": self._stop}[order["do"]](order)

    def _tell(self, attempt_id: int, **news: object) -> None:
        line = json.dumps({"attempt_id": attempt_id, **news}, separators=(",", ":"))
        self._outbound += line.encode() + b"\n"

    def _send(self) -> None:
        try:
            while self._outbound:
                sent = os.write(self._channel, self._outbound)
                self._outbound = self._outbound[sent:]
        except BlockingIOError:
            if len(self._outbound) > NEWS_MAX:
                raise PilotGone from None
        except OSError:
            raise PilotGone from None
        writable = select.POLLOUT if self._outbound else 0
        self._poll.modify(self._channel, select.POLLIN | writable)

    def _start(self, order: Order) -> None:
        attempt_id: int = order["attempt_id"]
        if attempt_id in self._held:
            return
        try:
            pid = holding.start(order)
        except NotStarted as why:
            self._tell(attempt_id, not_started=str(why))
            return
        held = Held(order, pid, self._now())
        self._held[attempt_id] = self._roots[pid] = held
        self._tell(attempt_id, started=True)

    def _fence(self, order: Order) -> None:
        held = self._held.get(order["attempt_id"])
        if held is not None:
            held.fence = order["fence"]

    def _stop(self, order: Order) -> None:
        held = self._held.get(order["attempt_id"])
        if held is None or held.killing:
            return
        # No grace after the fence: a frozen payload must not run again to hear a soft signal.
        grace_s: float = order["grace_s"] if held.frozen_at is None else 0.0
        if grace_s <= 0:
            self._kill(held, "killed")
        else:
            held.stop_at = self._now() + grace_s

    # -- what is due ------------------------------------------------------------------------

    def _patience_ms(self) -> float | None:
        if not self._held:
            return None
        now = self._now()
        return 1000 * min(holding.look_again_in_s(held, now) for held in self._held.values())

    def _look(self) -> None:
        now = self._now()
        for held in tuple(self._held.values()):
            action, _, why = holding.due(held, now).partition(":")
            if action == "kill":
                self._kill(held, why)
            elif action == "freeze":
                self._freeze(held, now)
            elif action == "thaw":
                self._thaw(held, now)
            elif action == "tell":
                self._terminate(held)
            if held.closing:
                self._close(held, now)

    def _freeze(self, held: Held, now: float) -> None:
        """Stop every process, again and again until none is found that moves."""
        first, held.frozen_at = held.frozen_at is None, held.frozen_at or now
        held.look_at = now + holding.LOOK_S
        told: set[int] = set()
        for _ in range(FREEZE_PASSES_MAX):
            moving = [one for one in self._members(held) if one.state not in processes.STOPPED]
            for one in moving:
                processes.send(one.pid, signal.SIGSTOP)
            if all(one.state in processes.UNINTERRUPTIBLE and one.pid in told for one in moving):
                break
            told.update(one.pid for one in moving)
        if first:
            self._tell(held.attempt_id, frozen=True)

    def _thaw(self, held: Held, now: float) -> None:
        held.frozen_s = held.frozen_total_s(now)
        held.frozen_at = None
        for one in self._members(held):
            processes.send(one.pid, signal.SIGCONT)
        self._tell(held.attempt_id, thawed=True)

    def _terminate(self, held: Held) -> None:
        """Send the soft signal to the payload, but not to what isolates it."""
        for one in self._members(held):
            if held.wrapped and held.pid in (one.pid, one.parent):
                continue
            held.told = processes.send(one.pid, signal.SIGTERM) or held.told

    def _kill(self, held: Held, why: str) -> None:
        members = self._members(held)
        # A namespace that dies at once accounts for nothing: what it used is read before.
        held.cpu_s = sum(one.cpu_ticks for one in members) / os.sysconf("SC_CLK_TCK")
        held.why, held.killing = why, True
        for one in members:
            processes.send(one.pid, signal.SIGKILL)

    # -- ends -------------------------------------------------------------------------------

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._adopted.pop(pid, None)
            held = self._roots.pop(pid, None)
            if held is not None:
                now = self._now()
                held.status, held.ended_at = status, now
                # A namespace empties itself once its wrapper has ended; else nobody else kills.
                held.look_at = now + holding.CLOSING_S if held.wrapped else now
                held.cpu_s = max(held.cpu_s, usage.ru_utime + usage.ru_stime)
                held.memory_peak_mb = usage.ru_maxrss * 1024 / 1e6

    def _close(self, held: Held, now: float) -> None:
        """Report the end if nothing is left of the payload, else kill what is."""
        if held.status is not None and held.attempt_id not in self._orphans().values():
            self._tell(held.attempt_id, ended=self._ended(held, held.status))
            del self._held[held.attempt_id]
        elif now >= held.look_at:
            held.look_at = now + holding.CLOSING_S
            for one in self._members(held):
                processes.send(one.pid, signal.SIGKILL)

    def _ended(self, held: Held, status: int) -> dict[str, object]:
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        if held.wrapped and code is not None and 128 < code < 160:
            number = code - 128  # how a wrapper says that its child died of a signal
        frozen_s = held.frozen_total_s(held.ended_at)
        usage = {
            "wall_s": held.ended_at - held.started_at - frozen_s,
            "cpu_s": held.cpu_s,
            "memory_peak_mb": held.memory_peak_mb,
            "frozen_s": frozen_s,
        }
        return {
            "exit_code": code,
            "signal": number,
            "frozen_s": frozen_s,
            "why": held.why,
            "usage": usage,
        }

    def _kill_everything(self) -> None:
        deadline = self._now() + 10.0
        while self._held and self._now() < deadline:
            for held in tuple(self._held.values()):
                if not held.killing:
                    self._kill(held, "killed")
                self._close(held, self._now())
            select.select((), (), (), 0.002)
            self._reap()

    # -- who belongs to whom ----------------------------------------------------------------

    def _members(self, held: Held) -> list[processes.Process]:
        """Return every living process of the payload.

        All are descendants of its first process or of an orphan that came to us: whatever
        becomes an orphan below this process comes to it (subreaper), or to the namespace's init.
        """
        roots = [
            pid for pid, attempt_id in self._orphans().items() if attempt_id == held.attempt_id
        ]
        if held.status is None:  # once it is reaped, its number may be another's
            roots.append(held.pid)
        return processes.family(processes.every(), roots)

    def _orphans(self) -> dict[int, int]:
        for pid in processes.children_of_this():
            if pid in self._roots or pid in self._adopted:
                continue
            found = processes.find(pid)
            if found is None or not found.alive:
                continue
            attempt_id = self._owner(found)
            if attempt_id is None:
                # It has shed every mark: nobody could hold it to a fence, so it may not live.
                processes.send(pid, signal.SIGKILL)
            else:
                self._adopted[pid] = attempt_id
        return self._adopted

    def _owner(self, orphan: processes.Process) -> int | None:
        value = processes.mark(orphan.pid, MARK)
        if value is not None and value.isdigit() and int(value) in self._held:
            return int(value)
        for held in self._held.values():
            if held.pid == orphan.session:
                return held.attempt_id
        return next(iter(self._held)) if len(self._held) == 1 else None


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def main(channel: int) -> None:
    """Be the guard at the end `channel` of a socket pair, until its other end is closed."""
    for number in holding.IGNORED_BY_GUARD:
        signal.signal(number, signal.SIG_IGN)
    wake, woken = os.pipe()
    for handle in (wake, woken, channel):
        os.set_blocking(handle, False)
        os.set_inheritable(handle, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.chdir("/")
    Guard(channel, _boottime).run(wake)


if __name__ == "__main__":
    main(int(sys.argv[1]))
