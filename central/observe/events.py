"""All events that the central logs: one table, and the writer of the lines.

A line is one JSON object with `at`, `event` and the fields that the table names.
"""

import sys
from datetime import UTC, datetime
from typing import IO, Any, Protocol

import msgspec

# The line above each says what it means; `make docs` writes both into a page.
EVENTS: dict[str, frozenset[str]] = {
    # requests are answered from here on
    "central_started": frozenset({"url", "bus", "waiting", "attempts", "took_s"}),
    # the API can be reached from other machines and is not encrypted: it carries tokens
    "plain_http": frozenset({"host", "why"}),
    # a graceful stop has begun
    "central_stopping": frozenset({"why"}),
    # jobs were accepted; they are on the disk
    "submitted": frozenset({"submission", "count", "owner"}),
    # a job was given to a pilot
    "matched": frozenset({"job", "epoch", "pilot"}),
    # a result was taken
    "attempt_ended": frozenset({"job", "epoch", "pilot", "how", "state"}),
    # an attempt ended without a result
    "requeued": frozenset({"job", "epoch", "why", "state"}),
    # a pilot that had been cut off is heard again, and its job had not been given away
    "taken_back": frozenset({"job", "epoch", "pilot"}),
    # a report that does not count was kept: a result of an attempt that is over
    "evidence": frozenset({"job", "epoch", "pilot", "why"}),
    # somebody killed, held, released, rescheduled, deleted or reordered jobs
    "acted": frozenset({"action", "count", "who"}),
    # a pilot began, or came back after a restart
    "pilot_registered": frozenset({"pilot", "site", "host", "session"}),
    # a pilot said good-bye, or was silent for too long
    "pilot_ended": frozenset({"pilot", "site", "state", "why"}),
    # this process had slept: all deadlines were moved by so much
    "late_loop": frozenset({"late_s"}),
    # the message bus is connected
    "bus_up": frozenset({"url"}),
    # the message bus is away: beats go over HTTPS, and everything works, only slower
    "bus_down": frozenset({"url", "why"}),
    # the counters of the bus that changed within a minute, counted from the start of the central
    "bus_traffic": frozenset({"counts"}),
    # a login or a message on the bus was refused
    "refused": frozenset({"code", "message", "where"}),
    # the disk is full: nothing new is accepted until there is room
    "store_full": frozenset({"why"}),
    # memory and disk may differ: the process ends, and its restart reads the disk
    "store_broken": frozenset({"why"}),
    # something in the background failed; `error` says how
    "loop_failed": frozenset({"loop", "error"}),
    # a token for the administrator was written into this file
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
        if event in QUIET and not self._debug:
            return
        wrong = EVENTS[event].symmetric_difference(fields)
        assert not wrong, f"event {event} has other fields: {sorted(wrong)}"
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._out.write(msgspec.json.encode({"at": at, "event": event, **fields}) + b"\n")
        self._out.flush()


def no_log(event: str, **fields: Any) -> None:
    """Drop events after checking them against the table."""
    wrong = EVENTS[event].symmetric_difference(fields)
    assert not wrong, f"event {event} has other fields: {sorted(wrong)}"
