"""All events that the central logs: one table, and the writer of the lines.

A line is one JSON object with `at`, `event` and the fields that the table names.
"""

import sys
from datetime import UTC, datetime
from typing import IO, Any, Protocol

import msgspec

EVENTS: dict[str, frozenset[str]] = {
    "central_started": frozenset({"url", "bus", "waiting", "attempts", "took_s"}),
    "central_stopping": frozenset({"why"}),
    "submitted": frozenset({"submission", "count", "owner"}),
    "matched": frozenset({"job", "epoch", "pilot"}),
    "attempt_ended": frozenset({"job", "epoch", "pilot", "how", "state"}),
    "requeued": frozenset({"job", "epoch", "why", "state"}),
    "taken_back": frozenset({"job", "epoch", "pilot"}),
    "evidence": frozenset({"job", "epoch", "pilot", "why"}),
    "acted": frozenset({"action", "count", "who"}),
    "pilot_registered": frozenset({"pilot", "site", "host", "session"}),
    "pilot_ended": frozenset({"pilot", "site", "state", "why"}),
    "late_loop": frozenset({"late_s"}),
    "bus_up": frozenset({"url"}),
    "bus_down": frozenset({"url", "why"}),
    "refused": frozenset({"code", "message", "where"}),
    "store_full": frozenset({"why"}),
    "store_broken": frozenset({"why"}),
    "loop_failed": frozenset({"loop", "error"}),
    "first_token": frozenset({"file"}),
}
QUIET = frozenset({"matched", "attempt_ended"})  # only with log.level = debug: one line a job


class Log(Protocol):
    """Where events go."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Write one event. Raises KeyError for one that the table does not have: a bug."""
        ...


class JsonLog:
    """Writes events as JSON lines."""

    def __init__(self, out: IO[bytes] | None = None, *, debug: bool = False) -> None:
        self._out = out or sys.stderr.buffer
        self._debug = debug

    def __call__(self, event: str, **fields: Any) -> None:
        wrong = EVENTS[event].symmetric_difference(fields)
        assert not wrong, f"event {event} has other fields: {sorted(wrong)}"
        if event in QUIET and not self._debug:
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._out.write(msgspec.json.encode({"at": at, "event": event, **fields}) + b"\n")
        self._out.flush()


def no_log(event: str, **fields: Any) -> None:
    """Drop events after checking them against the table."""
    wrong = EVENTS[event].symmetric_difference(fields)
    assert not wrong, f"event {event} has other fields: {sorted(wrong)}"
