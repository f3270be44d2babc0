"""A payload in the hands of the guard: how it is started, and what is due for it when.

The guard process imports this module, so it stays small: no dataclasses, no typing, no asyncio.
"""

from __future__ import annotations

import os

from . import processes
from .limits import GRACE_S, UNLIMITED, PayloadLimits, size
from .processes import depth_below_us
from .sampling import Account
from .signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .cgroups import Group
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
LOOK_S = 0.5  # how often the fences are looked at
DEPTHS = {"podman": 2}  # PID namespaces around a payload, where there are several
OOM_SOONER = 300  # thousandths of the node's memory: where it ends, payloads go before their guard
SCRIPT_MAX = 60_000  # bytes; a pipe takes 64 KiB without a reader
SHELTER_FRESH_S = 300.0  # an older one may miss what was mounted on the node since
CLOSING_S = 0.02  # how soon a payload that is being killed is looked at again
CLEAR_LOOKS, CLEAR_S = 3, 0.002  # with nothing found, so far apart, until strays are gone for sure
CLOSING_SLOWER = 1.2  # times as long each time, up to LOOK_S: some wait in the kernel for hours
STUCK_S = 30.0  # what is not dead by then is told of
SAID_MAX = 2_000  # characters that are told of one


class PayloadNotStarted(Exception):
    """The payload could not be started; the message says why."""


class GuardedPayload:
    """What the guard knows of one payload."""

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
        self.stop_at: float | None = None  # SIGTERM was asked for, SIGKILL follows then
        self.told = False  # SIGTERM has reached at least one process
        self.why = ""  # which limit it passed, and
        self.detail = ""  # the figures
        self.killing = False
        self.status: int | None = None  # of wait4, once the first process is reaped
        self.ended_at = 0.0
        self.look_at = 0.0  # when a frozen or closing payload is looked at again
        self.has_strayed = False  # some of it lost their parents and came to the guard
        self._clear_looks = 0
        self._closing_s = CLOSING_S
        self._stuck_at: float | None = None
        self.limits = PayloadLimits(order.get("limits") or {})
        self.account = Account(self.limits, now)
        self.depth = DEPTHS.get(order["isolation"], 1)
        self.deep: set[tuple[int, bytes]] = set()  # processes that lie as deep as the payload
        self.group: Group | None = None  # of the kernel's, where the node has them
        self.was_grouped = False  # or was tried to be
        self.cpu_before_s = 0.0  # before it was
        self.warned: set[tuple[int, bytes]] = set()  # processes that had the warning signal
        self.warn_now = False
        self.ends_at = UNLIMITED  # when the pilot has to stop it

    @property
    def closing(self) -> bool:
        """Whether only the proof is wanting that nothing is left of it."""
        return self.killing or self.status is not None

    def frozen_total_s(self, now: float) -> float:
        return self.frozen_s + (now - self.frozen_at if self.frozen_at is not None else 0.0)

    def wall_over_at(self, now: float) -> float:
        return self.started_at + self.wall_s + self.frozen_total_s(now)

    def warn_at(self, now: float) -> float:
        """Return when its warning signal is due, as it looks now."""
        return min(self.wall_over_at(now), self.ends_at) - self.limits.warning_s

    def to_be_warned(self, now: float) -> bool:
        """Whether it is time for the warning signal."""
        return self.limits.warning_s > 0 and (self.warn_now or now >= self.warn_at(now))

    def warning(self, now: float) -> str:
        """Say with what it is warned, and of what."""
        left_s = min(self.wall_over_at(now), self.ends_at) - now
        if left_s <= self.limits.warning_s:
            return f"{self.limits.warning_signal}, {left_s:.0f} s before its end"
        return f"{self.limits.warning_signal}, its pilot was told to end"

    def end_moved(self, ends_at: float, now: float) -> None:
        """The pilot ends at another time: what was a warning may have been none."""
        self.ends_at = ends_at
        if not self.to_be_warned(now):
            self.warned.clear()

    def closed_once_more(self, now: float) -> bool:
        """It was sent SIGKILL and lived: look later and later; say whether to tell of it now."""
        self.look_at = now + self._closing_s
        self._closing_s = min(LOOK_S, CLOSING_SLOWER * self._closing_s)
        first = self._stuck_at is None
        self._stuck_at = now + STUCK_S if self._stuck_at is None else self._stuck_at
        if first or now < self._stuck_at:
            return False
        self._stuck_at = UNLIMITED
        return True

    def clear_once_more(self, now: float) -> bool:
        """Nothing was found of it: say whether that is proof.

        What is a new process each time can slip through one look at the list of children.
        """
        self._clear_looks += 1
        self.look_at = now + CLEAR_S
        return not self.has_strayed or self._clear_looks >= CLEAR_LOOKS

    def found_again(self) -> None:
        """Something of it is still there: what was seen before was no proof."""
        self._clear_looks = 0

    def leave_group(self) -> None:
        """Nothing is left of it: take from its group what that knows better, and remove it."""
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
        """It has passed a limit: it hears the soft signal, and has its grace."""
        if not self.why:
            self.why, self.detail = why, detail
        stop_at = now + GRACE_S
        self.stop_at = stop_at if self.stop_at is None else min(stop_at, self.stop_at)


def due(held: GuardedPayload, now: float) -> str:
    """Return what the guard must do for this payload now: kill, freeze, thaw, tell, end, nothing.

    A kill names its reason after a colon, and so does an end, which is a kill with a grace.
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

    They are the first one and what it has forked; of a container tool all that are not as deep in
    PID namespaces as it puts its payload. A payload may make deeper ones: they are its own.
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
    """Return the number of a signal; USR1 for one that this node does not know."""
    number: int = (
        getattr(signal, "SIG" + name, signal.SIGUSR1) if name.isalnum() else signal.SIGUSR1
    )
    return number


def stuck(members: Iterable[Process]) -> str:
    """Say which processes do not die, although they were killed."""
    found = ", ".join(f"{one.pid} ({one.state})" for one in members)
    return f"killed, and not dead after {STUCK_S:.0f} s: processes {found[:200] or 'unknown'}"


def cut(text: str) -> str:
    """Return what is told of a payload: no text of a job makes a line that the pilot cannot read.

    Of a long one the middle is left out: it begins with what failed, and ends with why.
    """
    if len(text) <= SAID_MAX:
        return text
    return f"{text[: SAID_MAX // 2]} ... {text[5 - SAID_MAX // 2 :]}"


def look_again_in_s(held: GuardedPayload, now: float) -> float:
    """Return after how many seconds this payload wants to be looked at again."""
    if held.stop_at is not None and not held.told:
        return CLOSING_S
    if held.closing or held.frozen_at is not None:
        return max(0.0, min(LOOK_S, held.look_at - now))
    first = held.fence if held.why else min(held.fence, held.wall_over_at(now))
    if held.stop_at is not None:
        first = min(first, held.stop_at)
    return max(0.0, min(LOOK_S, first - now))


def start(order: Order) -> int:
    """Start the payload of `order` in its folder and return its process id. Raises NotStarted."""
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
    """A shelter that was built before its payload is known: a shell in it waits for a script."""

    def __init__(self, folder: str, pid: int, feed: int, now: float) -> None:
        self.folder, self.pid = folder, pid
        self.feed = feed  # where the script is written to
        self.stale_at = now + SHELTER_FRESH_S
        self._streams = _streams(folder)

    @property
    def is_whole(self) -> bool:
        """Whether its output still goes to the files in its folder, which may have been emptied."""
        return bool(self._streams) and self._streams == _streams(self.folder)


def build(order: Order, now: float) -> Shelter:
    """Build a shelter for a payload that may start in the folder of `order`. Raises NotStarted."""
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
    """Start the payload of `order` in a shelter; False if that is not to be had."""
    command = " ".join(map(_quoted, order["argv"]))
    # In braces, of which the last is the last byte: a shell carries out nothing before it has read
    # that, so that of a script that is cut short nothing happens.
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
        # In memory: the values never reach a disk or argv.
        handle = _off_feed_fd(os.memfd_create("environment"))
        data = os.fsencode(text)
        while data:
            data = data[os.write(handle, data) :]
        os.lseek(handle, 0, os.SEEK_SET)
    except OSError as why:
        raise PayloadNotStarted(f"no room for its environment: {why}") from None
    return handle


def _off_feed_fd(handle: int) -> int:
    """Return the handle under another number, if it has the very one that it is handed on as.

    Never so in the guard, which has its own ends there by then.
    """
    if handle != FEED_FD:
        return handle
    other = os.dup(handle)
    os.close(handle)
    return other


def _streams(folder: str) -> list[tuple[int, int]]:
    """Return which files lie where a payload's output goes; none where one is missing."""
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
