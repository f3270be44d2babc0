"""Trials of commands in wrappings, without the guard, to find those that work on this node."""

import contextlib
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ..guard.held_payload import FEED_FD
from .wrapping import Wrapping

PRINTED_MAX = 4 << 20  # bytes of its output that are read
ERRORS_MAX = 64 << 10  # of its standard error
SAID_MAX = 300  # characters of a line of its standard error


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial. No code: the command is missing or took too long."""

    code: Optional[int]
    printed: bytes
    said: str  # its last line of standard error, or why there is none
    errors: tuple[str, ...] = ()  # all lines of standard error, readable


def try_out(
    wrapping: Wrapping, command: Sequence[str], *, folder: str = "/", patience_s: float
) -> TrialResult:
    """Run a command in a wrapping, in `folder`, and wait for its end.

    It prints into files, so that neither much output nor an unkillable process can block the pilot.
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
        try:
            code: Optional[int] = process.wait(patience_s)
        except subprocess.TimeoutExpired:
            _kill(process)
            return TrialResult(None, b"", f"it did not end within {patience_s:g} s")
        printed.seek(0)
        errors.seek(0)
        lines = _lines(errors.read(ERRORS_MAX))
        return TrialResult(code, printed.read(PRINTED_MAX), lines[-1] if lines else "", lines)


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
