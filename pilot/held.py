"""A payload in the hands of the guard: how it is started, and what is due for it when.

The guard process imports this module, so it stays small: no dataclasses, no typing, no asyncio.
"""

from __future__ import annotations

import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
CLOSING_S = 0.02  # how often a payload that is being killed is looked at


class NotStarted(Exception):
    """The payload could not be started; the message says why."""


class Held:
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
        self.why = ""
        self.killing = False
        self.status: int | None = None  # of wait4, once the first process is reaped
        self.ended_at = 0.0
        self.look_at = 0.0  # when a frozen or closing payload is looked at again
        self.cpu_s = 0.0
        self.memory_peak_mb = 0.0

    @property
    def closing(self) -> bool:
        """Whether only the proof is wanting that nothing is left of it."""
        return self.killing or self.status is not None

    def frozen_total_s(self, now: float) -> float:
        return self.frozen_s + (now - self.frozen_at if self.frozen_at is not None else 0.0)

    def wall_over_at(self, now: float) -> float:
        return self.started_at + self.wall_s + self.frozen_total_s(now)


def due(held: Held, now: float) -> str:
    """Return what the guard must do for this payload now: kill, freeze, thaw, tell, or nothing.

    A kill names its reason after a colon.
    """
    if held.closing:
        return ""
    if held.frozen_at is not None:
        if held.fence > now:
            return "thaw"
        if now - held.frozen_at >= held.frozen_max_s:
            return "kill:fence"
        # Again and again: another process of the same user may have sent SIGCONT.
        return "freeze" if now >= held.look_at else ""
    if now >= held.fence:
        return "freeze"
    if now >= held.wall_over_at(now):
        return "kill:wall"
    if held.stop_at is not None:
        return "kill:killed" if now >= held.stop_at else "" if held.told else "tell"
    return ""


def look_again_in_s(held: Held, now: float) -> float:
    """Return after how many seconds this payload wants to be looked at again."""
    if held.stop_at is not None and not held.told:
        return CLOSING_S
    if held.closing or held.frozen_at is not None:
        return max(0.0, min(LOOK_S, held.look_at - now))
    first = min(held.fence, held.wall_over_at(now))
    if held.stop_at is not None:
        first = min(first, held.stop_at)
    return max(0.0, min(LOOK_S, first - now))


def start(order: Order) -> int:
    """Start the payload of `order` in its folder and return its process id. Raises NotStarted."""
    work = os.path.join(order["folder"], "work")
    argv: list[str] = order["argv"]
    program = resolve(argv[0], work, order["path"])
    whole = [*order["prefix"], program, *argv[1:]]
    feed = _feed(order.get("feed", ""))
    try:
        # posix_spawn has no working directory of its own, and this process has one thread.
        os.chdir(work)
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
        raise NotStarted(f"{whole[0]} cannot be started: {why}") from None
    finally:
        os.chdir("/")
        if feed is not None:
            os.close(feed)


def resolve(program: str, work: str, path: str) -> str:
    """Return the path of an executable file that `program` names. Raises NotStarted."""
    if "/" in program:
        candidates = [program]
    else:
        candidates = [os.path.join(folder, program) for folder in path.split(":") if folder]
    found = False
    for candidate in candidates:
        whole = os.path.join(work, candidate)
        found = found or os.path.exists(whole)
        if os.path.isfile(whole) and os.access(whole, os.X_OK):
            return candidate
    if found:
        raise NotStarted(f"{program} is not an executable file")
    raise NotStarted(f"there is no {program}" + ("" if "/" in program else f" in {path}"))


def _feed(text: str) -> int | None:
    if not text:
        return None
    handle = os.memfd_create("environment")  # in memory: the values never reach a disk or argv
    if handle == FEED_FD:
        handle, lower = os.dup(handle), handle
        os.close(lower)
    data = os.fsencode(text)
    while data:
        data = data[os.write(handle, data) :]
    os.lseek(handle, 0, os.SEEK_SET)
    return handle


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
