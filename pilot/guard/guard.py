"""The guard: a process beside the pilot that starts its payloads and enforces their fences.

    python -I -S pilot.pyz guard FD        (`guard_link.py` starts it with fewer imports)

It has one thread, one loop over poll(), and as few imports as possible. FD is one end of a socket
pair whose other end the pilot has. Both send JSON, one message on each line.

    orders  {"do": "start", "attempt_id", "argv", "prefix", "env", "feed", "folder", "exports",
                            "fence", "wall_s", "frozen_max_s", "isolation", "limits", "warn",
                            "fault": why it must not be started}
            {"do": "prepare", "folder", "prefix", "env"}
            {"do": "fence", "attempt_id", "fence"}      {"do": "stop", "attempt_id", "grace_s"}
            {"do": "ends", "at"}                        {"do": "warn"}
            {"do": "groups", "folder"}
            {"do": "weighed", "attempt_id", "memory_mb"}
            {"do": "measured", "attempt_id", "scratch_mb", "files", "streams_mb", "unmeasurable",
                             "in_memory_mb"}
    news    {"attempt_id", "started": true}             {"attempt_id", "not_started": reason}
            {"attempt_id", "frozen": true}              {"attempt_id", "thawed": true}
            {"attempt_id", "weigh": process ids}        {"attempt_id", "line", "processes"}
            {"attempt_id", "stuck": living processes}   {"attempt_id", "warned": signal and reason}
            {"attempt_id", "ended": {"exit_code", "signal", "frozen_s", "why", "detail", "usage",
                                     "line", "warned"}}

A closed socket means that the pilot is gone: the guard kills every payload at once and ends. If the
guard itself dies, payloads with a PID namespace die with it (`isolation.py`). Fences are times of
CLOCK_BOOTTIME, checked every 0.5 s. `ended` is sent when no process is left.

The guard compares the usage of payloads with their limits (`limits.py`), even if the pilot has
measured it. It reads only /proc/PID/stat, which never blocks. Folders and shared memory of
processes can block a reader without end, so threads of the pilot measure them. For the same reason,
the pilot searches for the program of a payload: `argv` contains its path.
"""

from __future__ import annotations

import ctypes
import os
import select
import sys
import time

from ..heap import give_back
from ..secrecy import close_to_others
from . import cgroups, held_payload as holding, limits, line_protocol, processes
from .held_payload import GuardedPayload, PayloadNotStarted, Shelter
from .sampling import Census
from .signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .held_payload import Order

LINE_MAX = 16_000_000  # bytes of one order; a kernel accepts no longer command anyway
NEWS_MAX = 16_000_000  # bytes of unread news after which the pilot counts as gone
FREEZE_PASSES_MAX = 50  # a payload that forks faster is checked again in the next round
# A millisecond apart: the kernel stops a group when its processes next leave the kernel.
GROUP_LOOKS_MAX = 20
PR_SET_CHILD_SUBREAPER = 36
MARK = "PILOTAGE_ATTEMPT"  # in the environment of every process of an attempt


class PilotGone(Exception):
    """The pilot has closed its end of the socket, or does not read it."""


class GuardProcess:
    """Starts payloads, enforces their fences, and reports their ends."""

    def __init__(self, channel: int, now: Callable[[], float], spent: Callable[[], float]) -> None:
        self._channel, self._now = channel, now
        self._spent = spent  # CPU time of this process
        self._census, self._rest_until = Census(), 0.0
        self._groups = ""  # the folder in which payloads get control groups
        self._ends_at = limits.UNLIMITED  # when the pilot must stop all payloads
        self._held: dict[int, GuardedPayload] = {}  # by attempt
        self._roots: dict[int, GuardedPayload] = {}  # by process id of the first process
        # Orphans that the guard has adopted: process id → attempt.
        self._adopted: dict[int, int] = {}
        self._shelter: Shelter | None = None  # built in advance for the next payload
        self._waste: set[int] = set()  # shelters that were killed and are not reaped yet
        self._inbound = b""
        self._outbound = b""
        self._poll = select.poll()
        self._orders = {
            "prepare": self._prepare,
            "start": self._start,
            "fence": self._fence,
            "stop": self._stop,
            "weighed": self._weighed,
            "measured": self._measured,
            "ends": self._ends,
            "groups": self._have_groups,
            "warn": self._warn_all,
        }

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
        *whole, self._inbound = (self._inbound + data).split(b"\n")
        for line in whole:
            order = line_protocol.read(line)
            self._orders[order["do"]](order)

    def _tell(self, attempt_id: int, **news: object) -> None:
        self._outbound += line_protocol.written({"attempt_id": attempt_id, **news})

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
            if order["fault"]:
                raise PayloadNotStarted(order["fault"])
            pid = self._into_shelter(order) or holding.start(order)
        except PayloadNotStarted as why:
            self._tell(attempt_id, not_started=holding.cut(str(why)))
            return
        held = GuardedPayload(order, pid, self._now())
        held.warn_now = order["warn"]
        held.ends_at = self._ends_at
        self._held[attempt_id] = self._roots[pid] = held
        self._tell(attempt_id, started=True)

    def _prepare(self, order: Order) -> None:
        """Build a shelter for the next payload, unless a fresh one exists."""
        now, old = self._now(), self._shelter
        if old is not None and old.folder == order["folder"] and now < old.stale_at:
            return
        self._drop_shelter()
        try:
            self._shelter = holding.build(order, now)
        except PayloadNotStarted:
            return  # the payload will fail too, and report it

    def _into_shelter(self, order: Order) -> int:
        """Start the payload in the shelter for its folder; return 0 if there is none."""
        shelter = self._shelter
        if shelter is None or shelter.folder != order["folder"]:
            return 0
        if (
            order.get("exports")
            and self._now() < shelter.stale_at
            and holding.enter(shelter, order)
        ):
            self._shelter = None
            return shelter.pid
        self._drop_shelter()
        return 0

    def _drop_shelter(self) -> None:
        shelter, self._shelter = self._shelter, None
        if shelter is not None:
            os.close(shelter.feed)
            self._waste.add(shelter.pid)
            processes.send(shelter.pid, signal.SIGKILL)

    def _fence(self, order: Order) -> None:
        held = self._held.get(order["attempt_id"])
        if held is not None:
            held.fence = order["fence"]

    def _stop(self, order: Order) -> None:
        held = self._held.get(order["attempt_id"])
        if held is None or held.killing:
            return
        # No grace after the fence: a frozen payload must not run again to receive a soft signal.
        grace_s: float = order["grace_s"] if held.frozen_at is None else 0.0
        if grace_s <= 0:
            self._kill(held, "killed")
        else:
            stop_at = self._now() + grace_s
            held.stop_at = stop_at if held.stop_at is None else min(stop_at, held.stop_at)

    def _weighed(self, order: Order) -> None:
        held = self._held.get(order["attempt_id"])
        if held is not None and not held.closing:
            held.account.weighed(order["memory_mb"])
            self._judge(held, self._now())

    def _measured(self, order: Order) -> None:
        """Record the measured folder of a payload."""
        held = self._held.get(order["attempt_id"])
        if held is None:
            return
        use = held.account.use
        use.scratch_mb, use.files = order["scratch_mb"], order["files"]
        use.streams_mb, use.unmeasurable = order["streams_mb"], order["unmeasurable"]
        use.in_memory_mb = order["in_memory_mb"]
        held.account.note_peaks()
        if not held.closing:
            self._judge(held, self._now())

    def _ends(self, order: Order) -> None:
        """Change the time at which the pilot must end."""
        self._ends_at, now = order["at"], self._now()
        for held in self._held.values():
            held.end_moved(self._ends_at, now)

    def _have_groups(self, order: Order) -> None:
        self._groups = order["folder"]

    def _warn_all(self, order: Order) -> None:
        """Warn all payloads: the pilot must end, and may be killed before they have ended."""
        for held in self._held.values():
            held.warn_now = True

    # -- periodic checks --------------------------------------------------------------------

    def _patience_ms(self) -> float | None:
        if not self._held:
            return None
        now = self._now()
        in_s = [holding.look_again_in_s(held, now) for held in self._held.values()]
        in_s += [max(one.account.due_at, self._rest_until) - now for one in self._awake()]
        return 1000 * max(0.0, min(in_s))

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
            elif action == "end":
                held.end_softly(why, held.ran(now), now)
                self._terminate(held)
            elif action == "tell":
                self._terminate(held)
            if held.closing:
                self._close(held, now)
        self._sample(now)

    def _sample(self, now: float) -> None:
        """Measure the payloads whose check is due, in one pass."""
        awake = self._awake()
        if now < self._rest_until or not any(one.account.due_at <= now for one in awake):
            return
        before = self._spent()
        table = self._census.take(now)
        for held in awake:
            if held.account.due_at <= now + limits.TOGETHER_S:
                members = self._members(held, table)
                held.account.look(members, holding.wrapper(held, members), now)
                self._look_at_group(held, members, now)
                if held.account.to_weigh:
                    self._tell(held.attempt_id, weigh=held.account.to_weigh)
                held.account.note_peaks()
                line = held.account.line(now)
                if line is not None:
                    self._tell(held.attempt_id, line=line, processes=held.account.processes)
                self._judge(held, now)
                if held.to_be_warned(now):
                    self._warn(held, members, now)
        self._rest_until = now + limits.REST * (self._spent() - before)

    def _look_at_group(
        self, held: GuardedPayload, members: list[processes.Process], now: float
    ) -> None:
        """Put a payload into its own control group at its first check, if there are groups."""
        if self._groups and not held.was_grouped:
            held.was_grouped, held.cpu_before_s = True, held.account.use.cpu_s
            held.group = cgroups.make(self._groups, held.attempt_id, held.limits)
        if held.group is not None:
            held.group.add(one.pid for one in members)
            held.account.at_least(held.cpu_before_s + held.group.cpu_s(), now)

    def _awake(self) -> list[GuardedPayload]:
        return [one for one in self._held.values() if not one.closing and one.frozen_at is None]

    def _judge(self, held: GuardedPayload, now: float) -> None:
        """End a payload that exceeds a limit."""
        passed = limits.passed(held.limits, held.account.use)
        if passed is None:
            return
        if passed.at_once or held.frozen_at is not None:
            if held.why in ("", passed.why):
                held.why, held.detail = passed.why, passed.detail
            self._kill(held, passed.why)
        elif not held.why:
            held.end_softly(passed.why, passed.detail, now)
            self._terminate(held)

    def _freeze(self, held: GuardedPayload, now: float) -> None:
        """Stop every process, again and again until none is running."""
        first, held.frozen_at = held.frozen_at is None, held.frozen_at or now
        held.look_at = now + holding.LOOK_S
        signalled: set[int] = set()
        for _ in range(FREEZE_PASSES_MAX if not self._freeze_group(held) else 0):
            moving = [one for one in self._members(held) if one.state not in processes.STOPPED]
            for one in moving:
                processes.send(one.pid, signal.SIGSTOP)
            if all(
                one.state in processes.UNINTERRUPTIBLE and one.pid in signalled for one in moving
            ):
                break
            signalled.update(one.pid for one in moving)
        if first:
            self._tell(held.attempt_id, frozen=True)

    def _freeze_group(self, held: GuardedPayload) -> bool:
        """Stop a payload in one step; return False without a group, or if that does not stop."""
        if held.group is None:
            return False
        held.group.add(one.pid for one in self._members(held))
        for _ in range(GROUP_LOOKS_MAX):
            if held.group.freeze(True):
                return True
            select.select((), (), (), 0.001)
        held.group.freeze(False)
        return False

    def _thaw(self, held: GuardedPayload, now: float) -> None:
        held.frozen_s = held.frozen_total_s(now)
        held.frozen_at = None
        held.account.moved(now)
        if held.group is not None:
            held.group.freeze(False)
        for one in self._members(held):
            processes.send(one.pid, signal.SIGCONT)
        self._tell(held.attempt_id, thawed=True)

    def _terminate(self, held: GuardedPayload) -> None:
        """Send the soft signal to the payload, but not to the processes that isolate it."""
        members = self._members(held)
        wrapper = holding.wrapper(held, members)
        for one in members:
            if one.pid not in wrapper:
                held.told = processes.send(one.pid, signal.SIGTERM) or held.told

    def _warn(self, held: GuardedPayload, members: list[processes.Process], now: float) -> None:
        """Send the warning signal once to each process that handles it; it would kill the others.

        A young process has the handlers of its parent until it becomes another program, so it is
        examined at the next check.
        """
        first = not held.warned
        number = holding.warning_signal(held.limits.warning_signal)
        wrapper = holding.wrapper(held, members)
        for one in members:
            known = (one.pid, one.started) in held.warned or one.pid in wrapper
            if known or one.is_young(now):
                continue
            if processes.awaits(one.pid, number):
                processes.send(one.pid, number)
                held.warned.add((one.pid, one.started))
        if first and held.warned:
            self._tell(held.attempt_id, warned=held.warning(now))

    def _kill(self, held: GuardedPayload, why: str) -> None:
        members = self._members(held)
        # A namespace that dies at once accounts for nothing, so its usage is read before.
        held.account.look(members, holding.wrapper(held, members), self._now())
        held.why, held.killing = held.why or why, True
        if held.group is not None:
            held.group.kill()
        for one in members:
            processes.send(one.pid, signal.SIGKILL)

    # -- ends -------------------------------------------------------------------------------

    def _reap(self) -> None:
        while True:
            try:
                # Examine a process before it is reaped: a zombie still shows its owner.
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ended is None:
                    return
                pid, attempt_id = ended.si_pid, self._whose(ended.si_pid)
                _, status, usage = os.wait4(pid, os.WNOHANG)
            except ChildProcessError:
                return
            cpu_s = usage.ru_utime + usage.ru_stime
            self._adopted.pop(pid, None)
            self._waste.discard(pid)
            if self._shelter is not None and self._shelter.pid == pid:
                os.close(self._shelter.feed)
                self._shelter = None
            held = self._roots.pop(pid, None)
            if held is not None:
                now = self._now()
                held.status, held.ended_at = status, now
                # A namespace ends its processes with its wrapper; otherwise the guard must kill
                # them.
                held.look_at = now + holding.CLOSING_S if held.wrapped else now
                held.account.reaped(cpu_s, usage.ru_maxrss * 1024 / 1e6)
            elif attempt_id in self._held:
                self._held[attempt_id].account.reaped(cpu_s, 0.0)

    def _whose(self, pid: int) -> int:
        """Return the attempt of an orphan that has ended; 0 if it is not an orphan."""
        if pid in self._roots or self._is_shelter(pid):
            return 0
        attempt_id = self._adopted.get(pid)
        if attempt_id is None:
            found = processes.find(pid)
            attempt_id = self._owner(found) if found is not None else None
        return attempt_id or 0

    def _close(self, held: GuardedPayload, now: float) -> None:
        """Report the end if no process of the payload is left; otherwise kill them."""
        if held.status is not None and held.attempt_id not in self._orphans().values():
            if held.clear_once_more(now):
                self._over(held, held.status)
            return
        held.found_again()
        if now >= held.look_at:
            members = self._members(held)
            for one in members:
                processes.send(one.pid, signal.SIGKILL)
            if held.closed_once_more(now):
                self._tell(held.attempt_id, stuck=holding.stuck(members))

    def _over(self, held: GuardedPayload, status: int) -> None:
        self._reap()  # processes that have just ended still report their usage
        if held.group is not None:
            held.leave_group()
        self._tell(held.attempt_id, ended=self._ended(held, status))
        del self._held[held.attempt_id]

    def _ended(self, held: GuardedPayload, status: int) -> dict[str, object]:
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        if held.wrapped and code is not None and 128 < code < 160:
            number = code - 128  # a wrapper reports that its child died of a signal
        frozen_s = held.frozen_total_s(held.ended_at)
        usage = {
            "wall_s": held.ended_at - held.started_at - frozen_s,
            "cpu_s": held.account.use.cpu_s,
            "memory_peak_mb": held.account.memory_peak_mb,
            "scratch_peak_mb": held.account.scratch_peak_mb,
            "frozen_s": frozen_s,
        }
        return {
            "exit_code": code,
            "signal": number,
            "frozen_s": frozen_s,
            "why": held.why,
            "detail": held.detail,
            "usage": usage,
            "line": held.account.line(held.ended_at, last=True),
            "warned": bool(held.warned),
        }

    def _kill_everything(self) -> None:
        self._drop_shelter()
        deadline = self._now() + 10.0
        while self._held and self._now() < deadline:
            for held in tuple(self._held.values()):
                if not held.killing:
                    self._kill(held, "killed")
                self._close(held, self._now())
            select.select((), (), (), 0.002)
            self._reap()

    # -- processes of payloads --------------------------------------------------------------

    def _members(
        self, held: GuardedPayload, table: dict[int, processes.Process] | None = None
    ) -> list[processes.Process]:
        """Return every living process of the payload.

        All are descendants of its first process or of an orphan that the guard adopted. Every
        orphan below the guard comes to it (subreaper), or to the init of its namespace.
        """
        roots = [
            pid for pid, attempt_id in self._orphans().items() if attempt_id == held.attempt_id
        ]
        if held.status is None:  # once it is reaped, its number may belong to another process
            roots.append(held.pid)
        return processes.family(processes.every() if table is None else table, roots)

    def _orphans(self) -> dict[int, int]:
        for pid in processes.children_of_this():
            if pid in self._roots or pid in self._adopted or self._is_shelter(pid):
                continue
            found = processes.find(pid)
            if found is None or not found.alive:
                continue
            attempt_id = self._owner(found)
            if attempt_id is None:
                # It has removed every mark: no fence could hold it, so it must not live.
                processes.send(pid, signal.SIGKILL)
            else:
                self._adopted[pid] = attempt_id
                self._held[attempt_id].has_strayed = True
        return self._adopted

    def _is_shelter(self, pid: int) -> bool:
        """Return whether it is a shelter without a payload, or the rest of one."""
        return pid in self._waste or (self._shelter is not None and self._shelter.pid == pid)

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
    """Run the guard at the end `channel` of a socket pair, until the other end is closed."""
    for number in holding.IGNORED_BY_GUARD:
        signal.signal(number, signal.SIG_IGN)
    wake, woken = os.pipe()
    for handle in (wake, woken, channel):
        os.set_blocking(handle, False)
        os.set_inheritable(handle, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    close_to_others()
    os.chdir("/")
    give_back()
    GuardProcess(channel, _boottime, time.process_time).run(wake)


if __name__ == "__main__":
    main(int(sys.argv[1]))
