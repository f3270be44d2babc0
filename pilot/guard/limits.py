"""The limits of a payload, and the words for each exceeded limit.

The guard imports this module, so it stays small: no dataclasses, no typing. Pure.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

GRACE_S = 10.0  # seconds between the soft signal and SIGKILL
FAR = 1.25  # of a limit: beyond this factor there is no grace
FILES_MAX = 1_000_000  # below the folder of a payload with a disk limit
FIRST_S = 0.1  # shorter payloads are not checked
EVERY_S = 1.0  # interval of checks far from the limits
NEAR_S = 0.05  # interval of checks near a limit
TOGETHER_S = 0.25  # checks that are due this soon are done together
REST = 100  # pause after a check, as a multiple of its time, because the guard has other work
UNLIMITED = float("inf")


class PayloadLimits:
    """The limits of one payload; 0 in an order means no limit."""

    def __init__(self, given: dict[str, Any]) -> None:
        def limit(name: str) -> float:
            return given.get(name) or UNLIMITED

        self.cpu_s = limit("cpu_s")
        self.memory_mb = limit("memory_mb")
        self.scratch_mb = limit("scratch_mb")
        self.files = FILES_MAX if given.get("scratch_mb") else UNLIMITED
        self.streams_mb = limit("streams_mb")
        self.processes = limit("processes")
        self.stall_s = limit("stall_s")
        self.warning_s: float = given.get("warning_s", 0)
        self.warning_signal: str = given.get("warning_signal", "USR1")


class PayloadUse:
    """The present and the accumulated usage of a payload."""

    def __init__(self) -> None:
        self.cpu_s = 0.0
        self.memory_mb = 0.0
        self.in_memory_mb = 0.0  # with its files in /dev/shm, if there are any
        self.scratch_mb = 0.0
        self.files = 0
        self.streams_mb = 0.0
        self.processes = 0
        self.idle_s = 0.0  # since one of its processes last used the CPU
        self.unmeasurable = ""  # why its folder cannot be measured


class PassedLimit:
    """An exceeded limit: its name, the figures, and whether there is no grace."""

    def __init__(self, why: str, detail: str, *, at_once: bool) -> None:
        self.why, self.detail, self.at_once = why, detail, at_once


def passed(limits: PayloadLimits, use: PayloadUse) -> PassedLimit | None:
    """Return the first exceeded limit, the most urgent first; None if none is exceeded.

    Memory and processes are taken from other payloads during a wait, so they have no grace.
    """
    memory_mb = max(use.memory_mb, use.in_memory_mb)
    if memory_mb > limits.memory_mb:
        what = f"used {size(memory_mb)}, was given {size(limits.memory_mb)}"
        return PassedLimit("memory", what, at_once=True)
    if use.processes > limits.processes:
        what = f"had {use.processes} processes at once, was given {limits.processes:.0f}"
        return PassedLimit("processes", what, at_once=True)
    if use.scratch_mb > limits.scratch_mb:
        what = f"wrote {size(use.scratch_mb)} to its folder, was given {size(limits.scratch_mb)}"
        return PassedLimit("scratch", what, at_once=use.scratch_mb > FAR * limits.scratch_mb)
    if use.files > limits.files:
        what = f"has {use.files} files in its folder, at most {limits.files:.0f} are allowed"
        return PassedLimit("scratch", what, at_once=use.files > FAR * limits.files)
    if use.unmeasurable and limits.scratch_mb < UNLIMITED:
        return PassedLimit("scratch", use.unmeasurable, at_once=False)
    if use.streams_mb > limits.streams_mb:
        what = f"printed {size(use.streams_mb)}, was given {size(limits.streams_mb)}"
        return PassedLimit("streams", what, at_once=use.streams_mb > FAR * limits.streams_mb)
    if use.cpu_s > limits.cpu_s:
        what = f"used {use.cpu_s:.0f} s of CPU, was given {limits.cpu_s:.0f} s"
        return PassedLimit("cpu", what, at_once=use.cpu_s > FAR * limits.cpu_s + GRACE_S)
    if use.idle_s > limits.stall_s:
        what = f"used no CPU for {use.idle_s:.0f} s, the limit is {limits.stall_s:.0f} s"
        return PassedLimit("stalled", what, at_once=False)
    return None


def look_again_in_s(limit: float, before: float, now: float, in_s: float) -> float:
    """Return when a figure that grew from `before` to `now` in `in_s` is half-way to its limit."""
    if now <= before or limit == UNLIMITED:
        return EVERY_S
    return max(NEAR_S, 0.5 * (limit - now) * in_s / (now - before))


def size(mb: float) -> str:
    """Return a size for people: 3.2 GB, 512 MB."""
    return f"{mb / 1000:.1f} GB" if mb >= 1000 else f"{mb:.0f} MB" if mb >= 10 else f"{mb:.1f} MB"
