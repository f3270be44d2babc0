"""Trials of commands in wrappings, without the guard, to find those that work on this node."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

from ..guard.held_payload import FEED_FD
from .wrapping import Wrapping

PRINTED_MAX = 4 << 20  # bytes of its output that are read
ERRORS_MAX = 64 << 10  # of its standard error
_LOOK_S = 1.0  # between two looks of a watch
SAID_MAX = 300  # characters of a line of its standard error


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial. No code: the command is missing or took too long."""

    code: Optional[int]
    printed: bytes
    said: str  # its last line of standard error, or why there is none
    errors: tuple[str, ...] = ()  # all lines of standard error, readable


def try_out(
    wrapping: Wrapping,
    command: Sequence[str],
    *,
    folder: str = "/",
    patience_s: float,
    watch: Optional[Callable[[], str]] = None,
) -> TrialResult:
    """Run a command in a wrapping, in `folder`, and wait for its end.

    It prints into files, so that neither much output nor an unkillable process can block the pilot.
    It is killed as soon as `watch` returns a reason, which is asked for every second.
    """
    hand_over = f'exec "$@" {FEED_FD}<&0 </dev/null'
    with contextlib.ExitStack() as files:
        feed, printed, errors = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        feed.write(os.fsencode(wrapping.feed))
        feed.seek(0)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", hand_over, "trial", *wrapping.prefix, *command],
                env=dict(wrapping.environment),
                stdin=feed,
                stdout=printed,
                stderr=errors,
                cwd=folder,
                start_new_session=True,
            )
        except (OSError, ValueError) as why:
            return TrialResult(None, b"", str(why))
        stopped = _waited(process, patience_s, watch)
        if stopped:
            _kill(process)
            return TrialResult(None, b"", stopped)
        code: Optional[int] = process.returncode
        printed.seek(0)
        errors.seek(0)
        lines = _lines(errors.read(ERRORS_MAX))
        return TrialResult(code, printed.read(PRINTED_MAX), lines[-1] if lines else "", lines)


def _waited(
    process: "subprocess.Popen[bytes]", patience_s: float, watch: Optional[Callable[[], str]]
) -> str:
    """Wait for the end of a process; return why it must be killed instead, or nothing."""
    deadline = time.monotonic() + patience_s
    while True:
        left_s = max(0.0, deadline - time.monotonic())
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(left_s if watch is None else min(_LOOK_S, left_s))
            return ""
        why = watch() if watch is not None else ""
        if why or time.monotonic() >= deadline:
            return why or f"it did not end within {patience_s:g} s"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a trial and its session. If it waits for a disk, it dies when the disk answers."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass
    try:
        process.wait(0.5)
    except subprocess.TimeoutExpired:
        pass


def _lines(errors: bytes) -> tuple[str, ...]:
    lines = (line.strip() for line in errors.decode("utf-8", errors="replace").splitlines())
    return tuple(
        "".join(sign if sign.isprintable() else " " for sign in line[:SAID_MAX])
        for line in lines
        if line
    )
