"""What a pilot logs: one table of events, one JSON line per event."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Final, TextIO

# Event and the facts that come with it.
EVENTS: Final[dict[str, frozenset[str]]] = {
    "pilot_started": frozenset({"version", "protocol", "central", "isolation", "cores"}),
    "registered": frozenset({"pilot", "community", "site", "element", "session", "gen"}),
    "not_answered": frozenset({"path", "why", "wait_s"}),
    "token_renewed": frozenset({"expires_in_s"}),
    "bus_up": frozenset({"url"}),
    "bus_down": frozenset({"url", "why"}),
    "bus_refused": frozenset({"why"}),
    "no_bus": frozenset({"why"}),
    "assigned": frozenset({"job", "epoch"}),
    "declined": frozenset({"job", "epoch", "why"}),
    "payload_started": frozenset({"job", "epoch"}),
    "payload_not_started": frozenset({"job", "epoch", "why"}),
    "payload_frozen": frozenset({"job", "epoch"}),
    "payload_thawed": frozenset({"job", "epoch"}),
    "payload_ended": frozenset({"job", "epoch", "exit_code", "signal", "why"}),
    "ended": frozenset({"job", "epoch", "how"}),
    "stale": frozenset({"job", "epoch"}),
    "report_dropped": frozenset({"job", "epoch", "why"}),
    "end_refused": frozenset({"job", "epoch", "why"}),
    "work_failed": frozenset({"attempt_id", "work", "why", "traceback"}),
    "turn_refused": frozenset({"status", "code", "message"}),
    "beat_refused": frozenset({"status", "code", "message"}),
    "blob_not_moved": frozenset({"attempt_id", "why", "wait_s"}),
    "draining": frozenset({"why", "held"}),
    "guard_gone": frozenset({"why"}),
    "pilot_ended": frozenset({"code", "why"}),
}

Log = Callable[[str, Mapping[str, object]], None]


def json_lines(stream: TextIO, wall: Callable[[], float]) -> Log:
    """Return a log that writes each event as one line of JSON."""

    def log(event: str, facts: Mapping[str, object]) -> None:
        at = datetime.fromtimestamp(wall(), timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "event": event, **facts}, default=str)
        stream.write(line + "\n")
        stream.flush()

    return log
