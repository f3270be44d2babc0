"""The lines of the pilot's log that the central does not have yet, over all processes of the pilot.

They are in a file of the state directory, one JSON list on each line: a line of the log with its
number, or only the number of the last line that the central has. The file is not synced, because a
power cut loses only a few lines. If the disk accepts nothing, lines are only in memory.

Both are bounded. A pilot that logs too much leaves out lines that are not warnings, and reports
their number.
"""

import contextlib
import json
import os
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from pilotage.proto.messages import PilotLine

from ..events import QUIET, SOON, WARNINGS
from ..mind.report_texts import fit

LINES_MAX = 2_000  # waiting lines; then the oldest are dropped
RATE_A_S, BURST = 20.0, 2_000.0  # lines that are kept over time, and at once
WARNINGS_MORE = 500.0  # additional warnings
TAIL_BYTES_MAX = 2_000_000  # of the file that a later process reads
FILE_BYTES_MAX = 1_000_000  # then it is rewritten
ATTEMPTS_MAX = 2_000  # whose numbers at the central are kept
_SECONDS_MAX = 10 * 365 * 86_400.0  # a clock that was changed may give any time
_LEFT_OUT = frozenset({"job", "epoch", "attempt_id"})  # the number of the attempt replaces them


@dataclass(frozen=True)
class _Line:
    n: int
    at: float  # wall clock
    event: str
    text: str
    attempt_id: int

    def as_json(self) -> bytes:
        kept = [self.n, self.at, self.event, self.text, self.attempt_id]
        return json.dumps(kept, separators=(",", ":")).encode() + b"\n"


class FileUntoldLog:
    """Driver of ports.UntoldLog. Without a file, it is only in memory."""

    def __init__(self, file: Optional[Path], wall: Callable[[], float]) -> None:
        self._file, self._wall = file, wall
        self._lines: deque[_Line] = deque()
        self._attempts: dict[tuple[object, object], int] = {}
        self._left_out = 0
        self._level, self._level_at = BURST, wall()
        self._handle = -1
        # A running clock gives numbers that no earlier process has used, whatever happened to the
        # file.
        self._last = int(wall() * 1_000)
        if file is not None:
            self._read(file)
            self._open(file)

    # -- events ---------------------------------------------------------------------------------

    def note(self, event: str, facts: Mapping[str, object]) -> None:
        """Keep an event until the central has it."""
        warning = event in WARNINGS
        if not self._may(warning):
            self._left_out += 1
            return
        if self._left_out:
            self._add("log_gap", {"lines": self._left_out})
            self._left_out = 0
        self._add(event, facts)

    def about(self, job: int, epoch: int, attempt_id: int) -> None:
        """Set the central's number of an attempt, for its events."""
        self._attempts[job, epoch] = attempt_id
        if len(self._attempts) > ATTEMPTS_MAX:
            del self._attempts[next(iter(self._attempts))]

    # -- sending --------------------------------------------------------------------------------

    def waits_s(self) -> float:
        """Return how long the oldest line that is sent on its own has waited; 0: none."""
        now = self._wall()
        return max((now - one.at for one in self._lines if one.event not in QUIET), default=0.0)

    def is_pressing(self) -> bool:
        """Return whether a line waits that should be sent soon."""
        return any(one.event in SOON for one in self._lines)

    def lines(self, lines_max: int, characters_max: int) -> tuple[PilotLine, ...]:
        """Return the oldest lines, at least one if there is any."""
        found: list[PilotLine] = []
        size, now = 0, self._wall()
        for one in self._lines:
            size += len(one.text)
            if len(found) == lines_max or (found and size > characters_max):
                break
            found.append(
                PilotLine(
                    n=one.n,
                    ago_s=round(min(_SECONDS_MAX, max(0.0, now - one.at)), 3),
                    event=one.event,
                    text=one.text,
                    attempt_id=one.attempt_id,
                    warning=one.event in WARNINGS,
                )
            )
        return tuple(found)

    def told(self, n: int) -> None:
        """Record that the central has all lines up to this number."""
        while self._lines and self._lines[0].n <= n:
            self._lines.popleft()
        self._write(b"[%d]\n" % n)

    def renumber(self, above: int) -> None:
        """Give the waiting lines higher numbers, because the central knows higher ones."""
        self._last = max(self._last, above)
        waiting, self._lines = self._lines, deque()
        for one in waiting:
            self._last += 1
            self._lines.append(_Line(self._last, one.at, one.event, one.text, one.attempt_id))
        self._rewrite()

    # -- helpers --------------------------------------------------------------------------------

    def _may(self, warning: bool) -> bool:
        now = self._wall()
        self._level = min(BURST, self._level + RATE_A_S * max(0.0, now - self._level_at))
        self._level_at = now
        if self._level < (1.0 - WARNINGS_MORE if warning else 1.0):
            return False
        self._level -= 1.0
        return True

    def _add(self, event: str, facts: Mapping[str, object]) -> None:
        self._last += 1
        line = _Line(
            self._last, round(self._wall(), 3), event, text_of(facts), self._attempt_of(facts)
        )
        self._lines.append(line)
        if len(self._lines) > LINES_MAX:
            self._lines.popleft()
            self._left_out += 1
        self._write(line.as_json())

    def _attempt_of(self, facts: Mapping[str, object]) -> int:
        named = facts.get("attempt_id")
        if isinstance(named, int):
            return named
        return self._attempts.get((facts.get("job"), facts.get("epoch")), 0)

    # -- the file -------------------------------------------------------------------------------

    def _read(self, file: Path) -> None:
        """Read the lines of an earlier process; unreadable lines are skipped."""
        try:
            with open(file, "rb") as kept:
                kept.seek(max(0, os.fstat(kept.fileno()).st_size - TAIL_BYTES_MAX))
                texts = kept.read(TAIL_BYTES_MAX).split(b"\n")
        except OSError:
            return
        known = 0
        for text in texts:
            read = _parsed(text)
            if isinstance(read, _Line):
                self._lines.append(read)
            else:
                known = max(known, read)
        self._lines = deque((one for one in self._lines if one.n > known), LINES_MAX)
        self._last = max([self._last, known, *(one.n for one in self._lines)])

    def _open(self, file: Path) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            self._handle = os.open(file, flags, 0o600)
            self._rewrite()

    def _write(self, line: bytes) -> None:
        if self._handle < 0:
            return
        with contextlib.suppress(OSError):
            os.write(self._handle, line)
            if os.fstat(self._handle).st_size > FILE_BYTES_MAX:
                self._rewrite()

    def _rewrite(self) -> None:
        """Rewrite the waiting lines, and the last number."""
        if self._handle < 0:
            return
        with contextlib.suppress(OSError):
            first = self._lines[0].n if self._lines else self._last + 1
            os.ftruncate(self._handle, 0)
            os.write(self._handle, b"[%d]\n" % (first - 1))
            os.write(self._handle, b"".join(one.as_json() for one in self._lines))


def text_of(facts: Mapping[str, object]) -> str:
    """Return the facts of an event as users read and search them: `how=exited why="no room"`."""
    return fit(" ".join(f"{k}={_word(v)}" for k, v in facts.items() if k not in _LEFT_OUT))


def _word(value: object) -> str:
    if isinstance(value, str) and value and not set(value) & set(' "\\\n'):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)


def _parsed(text: bytes) -> Union[_Line, int]:
    """Return a line, or the number of the last line that the central has; 0 for invalid text."""
    try:
        read: Any = json.loads(text)
        if len(read) == 1:
            return int(read[0])
        n, at, event, said, attempt_id = read
        return _Line(int(n), float(at), str(event), fit(str(said)), int(attempt_id))
    except (ValueError, TypeError):
        return 0
