"""A payload as the guard holds it: its start, and its due actions.

The guard process imports this module, so it stays small: no dataclasses, no typing, no asyncio.
"""

from __future__ import annotations

import os

from . import processes
from .limits import GRACE_S, UNLIMITED, PayloadLimits, size
from .processes import depth_below_us
from .sampling import PayloadUsage
from .signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .cgroups import ControlGroup
    from .processes import Process

    Order = dict[str, Any]

IGNORED_BY_GUARD = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGPIPE,
    signal.SIGXFSZ,
)
FEED_FD = 3  # where a wrapper reads the payload's environment
LOOK_S = 0.5  # interval of the fence checks
DEPTHS = {"podman": 2}  # PID namespaces around a payload, if there are several
# Thousandths of the node's memory: if it runs out, payloads die before their guard.
OOM_SOONER = 300
SCRIPT_MAX = 60_000  # bytes; a pipe takes 64 KiB without a reader
SHELTER_FRESH_S = 300.0  # an older one may lack later mounts of the node
CLOSING_S = 0.02  # interval of checks while a payload is being killed
# Number and interval of checks that must find nothing before strays count as gone.
CLEAR_LOOKS, CLEAR_S = 3, 0.002
# Growth of that interval, up to LOOK_S: some processes stay in the kernel for hours.
CLOSING_SLOWER = 1.2
STUCK_S = 30.0  # processes that survive SIGKILL for this long are reported
SAID_MAX = 2_000  # characters of a payload's report


class PayloadNotStarted(Exception):
    """The payload could not be started; the message says why."""


class GuardedPayload:
    """The guard's state of one payload."""

    def __init__(self, order: Order, pid: int, now: float) -> None:
        self.attempt_id: int = order["attempt_id"]
        self.wrapped: bool = order["isolation"] != "session"
        self.wall_s: float = order["wall_s"]
        self.frozen_max_s: float = order["frozen_max_s"]
        self.fence: float = order["fence"]
        self.pid = pid
        self.started_at = now
        self.frozen_at: float | None = None
        self.frozen_s = 0.0
        self.stop_at: float | None = None  # SIGTERM was requested; time of SIGKILL
        self.told = False  # SIGTERM has reached at least one process
        self.why = ""  # the limit that it exceeded, and
        self.detail = ""  # the figures
        self.killing = False
        self.status: int | None = None  # from wait4, once the first process is reaped
        self.ended_at = 0.0
        self.look_at = 0.0  # next check of a frozen or closing payload
        self.has_strayed = False  # some of its processes lost their parents and came to the guard
        self._clear_looks = 0
        self._closing_s = CLOSING_S
        self._stuck_at: float | None = None
        self.limits = PayloadLimits(order.get("limits") or {})
        self.account = PayloadUsage(self.limits, now)
        self.depth = DEPTHS.get(order["isolation"], 1)
        self.deep: set[tuple[int, bytes]] = set()  # processes at the depth of the payload
        self.group: ControlGroup | None = None  # the kernel's control group, if the node has them
        self.was_grouped = False  # or a group was attempted
        self.cpu_before_s = 0.0  # before it had a group
        self.warned: set[tuple[int, bytes]] = set()  # processes that got the warning signal
        self.warn_now = False
        self.ends_at = UNLIMITED  # when the pilot must stop it

    @property
    def closing(self) -> bool:
        """Whether it was killed, and only the proof is missing that no process is left."""
        return self.killing or self.status is not None

    def frozen_total_s(self, now: float) -> float:
        return self.frozen_s + (now - self.frozen_at if self.frozen_at is not None else 0.0)

    def wall_over_at(self, now: float) -> float:
        return self.started_at + self.wall_s + self.frozen_total_s(now)

    def warn_at(self, now: float) -> float:
        """Return when its warning signal is due, by present knowledge."""
        return min(self.wall_over_at(now), self.ends_at) - self.limits.warning_s

    def to_be_warned(self, now: float) -> bool:
        """Return whether its warning signal is due."""
        return self.limits.warning_s > 0 and (self.warn_now or now >= self.warn_at(now))

    def warning(self, now: float) -> str:
        """Return the warning signal and the reason, in words."""
        left_s = min(self.wall_over_at(now), self.ends_at) - now
        if left_s <= self.limits.warning_s:
            return f"{self.limits.warning_signal}, {left_s:.0f} s before its end"
        return f"{self.limits.warning_signal}, its pilot was ordered to end"

    def end_moved(self, ends_at: float, now: float) -> None:
        """Change the end of the pilot: an earlier warning may have been wrong."""
        self.ends_at = ends_at
        if not self.to_be_warned(now):
            self.warned.clear()

    def closed_once_more(self, now: float) -> bool:
        """Check it less often, because it survived SIGKILL; return whether to report it now."""
        self.look_at = now + self._closing_s
        self._closing_s = min(LOOK_S, CLOSING_SLOWER * self._closing_s)
        first = self._stuck_at is None
        self._stuck_at = now + STUCK_S if self._stuck_at is None else self._stuck_at
        if first or now < self._stuck_at:
            return False
        self._stuck_at = UNLIMITED
        return True

    def clear_once_more(self, now: float) -> bool:
        """Record a check that found no process; return whether that is proof.

        A process that is replaced by a new one each time can escape a single check of the list of
        children.
        """
        self._clear_looks += 1
        self.look_at = now + CLEAR_S
        return not self.has_strayed or self._clear_looks >= CLEAR_LOOKS

    def found_again(self) -> None:
        """Record that a process was found again: earlier checks proved nothing."""
        self._clear_looks = 0

    def leave_group(self) -> None:
        """Remove the group after the last process, and take its figures, which are better."""
        if self.group is None:
            return
        self.account.at_least(self.cpu_before_s + self.group.cpu_s(), self.ended_at)
        if self.group.ran_out_of_memory() and not self.why:
            given_mb = self.limits.memory_mb
            self.why = "memory"
            self.detail = f"used up {size(given_mb)}, was given {size(given_mb)}"
            self.account.memory_peak_mb = max(self.account.memory_peak_mb, given_mb)
        self.group.remove()
        self.group = None

    def ran(self, now: float) -> str:
        """Return the figures of an end by its wall limit."""
        ran_s = now - self.started_at - self.frozen_total_s(now)
        return f"ran for {ran_s:.0f} s, was given {self.wall_s:.0f} s"

    def end_softly(self, why: str, detail: str, now: float) -> None:
        """Send the soft signal after an exceeded limit, and start its grace."""
        if not self.why:
            self.why, self.detail = why, detail
        stop_at = now + GRACE_S
        self.stop_at = stop_at if self.stop_at is None else min(stop_at, self.stop_at)


def due(held: GuardedPayload, now: float) -> str:
    """Return the due action for this payload: kill, freeze, thaw, tell, end or none.

    A kill has its reason after a colon, and so has an end, which is a kill with a grace.
    """
    if held.closing:
        return ""
    if held.frozen_at is not None:
        if held.stop_at is not None and now >= held.stop_at:
            return f"kill:{held.why or 'killed'}"
        if held.fence > now:
            return "thaw"
        if now - held.frozen_at >= held.frozen_max_s:
            return "kill:fence"
        # Again and again: another process of the same user may have sent SIGCONT.
        return "freeze" if now >= held.look_at else ""
    if now >= held.fence:
        return "freeze"
    if held.stop_at is not None and now >= held.stop_at:
        return f"kill:{held.why or 'killed'}"
    if now >= held.wall_over_at(now) and not held.why:
        return "end:wall"
    if held.stop_at is not None and not held.told:
        return "tell"
    return ""


def wrapper(held: GuardedPayload, members: Iterable[Process]) -> set[int]:
    """Return the processes that only isolate the payload.

    They are the first process and its children. For a container tool, they are all processes that
    are not as deep in PID namespaces as its payload. A payload may create deeper namespaces, whose
    processes are its own.
    """
    if not held.wrapped:
        return set()
    if held.depth == 1:
        return {one.pid for one in members if held.pid in (one.pid, one.parent)}
    deep = held.deep
    held.deep = {
        (one.pid, one.started)
        for one in members
        if (one.pid, one.started) in deep or depth_below_us(one.pid) >= held.depth
    }
    return {one.pid for one in members if (one.pid, one.started) not in held.deep}


def warning_signal(name: str) -> int:
    """Return the number of a signal; USR1 if this node does not know the signal."""
    number: int = (
        getattr(signal, "SIG" + name, signal.SIGUSR1) if name.isalnum() else signal.SIGUSR1
    )
    return number


def stuck(members: Iterable[Process]) -> str:
    """Return a text with the processes that are still alive after SIGKILL."""
    found = ", ".join(f"{one.pid} ({one.state})" for one in members)
    return f"killed, but still alive after {STUCK_S:.0f} s: processes {found[:200] or 'unknown'}"


def cut(text: str) -> str:
    """Return a short text about a payload, so that the pilot can read each line.

    Of a long text, the middle is left out, because the failure is at the start and the reason at
    the end.
    """
    if len(text) <= SAID_MAX:
        return text
    return f"{text[: SAID_MAX // 2]} ... {text[5 - SAID_MAX // 2 :]}"


def look_again_in_s(held: GuardedPayload, now: float) -> float:
    """Return the seconds until the next check of this payload."""
    if held.stop_at is not None and not held.told:
        return CLOSING_S
    if held.closing or held.frozen_at is not None:
        return max(0.0, min(LOOK_S, held.look_at - now))
    first = held.fence if held.why else min(held.fence, held.wall_over_at(now))
    if held.stop_at is not None:
        first = min(first, held.stop_at)
    return max(0.0, min(LOOK_S, first - now))


def start(order: Order) -> int:
    """Start the payload of `order` in its folder and return its process id.

    Raises PayloadNotStarted.
    """
    feed = _feed(order.get("feed", ""))
    try:
        return _spawn([*order["prefix"], *order["argv"]], order, feed)
    finally:
        if feed is not None:
            os.close(feed)


def _spawn(whole: list[str], order: Order, feed: int | None) -> int:
    first = processes.dies_sooner(OOM_SOONER)
    try:
        # posix_spawn has no working directory of its own, and this process has one thread.
        os.chdir(os.path.join(order["folder"], "work"))
        return os.posix_spawn(
            whole[0],
            whole,
            order["env"],
            file_actions=_files(order["folder"], feed),
            setsid=True,
            setsigmask=(),
            setsigdef=IGNORED_BY_GUARD,
        )
    except (OSError, ValueError) as why:
        raise PayloadNotStarted(f"{whole[0]} cannot be started: {why}") from None
    finally:
        os.chdir("/")
        if first:
            processes.dies_sooner(-OOM_SOONER)


class Shelter:
    """A shelter built before its payload is known: a shell in it waits for a script."""

    def __init__(self, folder: str, pid: int, feed: int, now: float) -> None:
        self.folder, self.pid = folder, pid
        self.feed = feed  # the pipe for the script
        self.stale_at = now + SHELTER_FRESH_S
        self._streams = _streams(folder)

    @property
    def is_whole(self) -> bool:
        """Whether its output still goes to the files in its folder, which may have been emptied."""
        return bool(self._streams) and self._streams == _streams(self.folder)


def build(order: Order, now: float) -> Shelter:
    """Build a shelter for a payload in the folder of `order`. Raises PayloadNotStarted."""
    try:
        script, feed = os.pipe()
    except OSError as why:
        raise PayloadNotStarted(f"no pipe: {why}") from None
    script = _off_feed_fd(script)
    os.set_blocking(feed, False)
    try:
        return Shelter(order["folder"], _spawn(order["prefix"], order, script), feed, now)
    except PayloadNotStarted:
        os.close(feed)
        raise
    finally:
        os.close(script)


def enter(shelter: Shelter, order: Order) -> bool:
    """Start the payload of `order` in a shelter; return False if that is impossible."""
    command = " ".join(map(_quoted, order["argv"]))
    # In braces, the last of which is the last byte. A shell executes nothing before it has read
    # that brace, so a truncated script does nothing.
    script = os.fsencode(f"{{\n{order['exports']}exec {command} {FEED_FD}<&-\n}}")
    if len(script) > SCRIPT_MAX or not shelter.is_whole:
        return False
    try:
        written = os.write(shelter.feed, script)
    except OSError:
        return False
    if written < len(script):  # users with many pipes get small ones
        return False
    os.close(shelter.feed)
    return True


def _quoted(word: str) -> str:
    return "'" + word.replace("'", "'\\''") + "'"


def _feed(text: str) -> int | None:
    if not text:
        return None
    try:
        # In memory: the values never reach a disk or a command line.
        handle = _off_feed_fd(os.memfd_create("environment"))
        data = os.fsencode(text)
        while data:
            data = data[os.write(handle, data) :]
        os.lseek(handle, 0, os.SEEK_SET)
    except OSError as why:
        raise PayloadNotStarted(f"no room for its environment: {why}") from None
    return handle


def _off_feed_fd(handle: int) -> int:
    """Return the handle under another number, if it has the number under which it is passed on.

    This does not happen in the guard, which uses that number for its own ends.
    """
    if handle != FEED_FD:
        return handle
    other = os.dup(handle)
    os.close(handle)
    return other


def _streams(folder: str) -> list[tuple[int, int]]:
    """Return the files that a payload's output goes to; empty if one is missing."""
    try:
        found = [os.stat(os.path.join(folder, name)) for name in ("stdout", "stderr")]
    except OSError:
        return []
    return [(one.st_dev, one.st_ino) for one in found]


def _files(folder: str, feed: int | None) -> list[Any]:
    write = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    actions: list[Any] = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.path.join(folder, "stdout"), write, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, os.path.join(folder, "stderr"), write, 0o600),
    ]
    if feed is not None:
        actions.append((os.POSIX_SPAWN_DUP2, feed, FEED_FD))
    return actions
