"""The events of a pilot's log: one table, and one JSON line for each event."""

import contextlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Final, TextIO

# Each event with its facts. The comment above an event describes it on a page of the documentation
# too.
EVENTS: Final[dict[str, frozenset[str]]] = {
    # the pilot starts; `isolation` is its best level, `cores` what it offers
    "pilot_started": frozenset({"version", "protocol", "central", "isolation", "cores"}),
    # payloads must run in namespaces, and this node has none: the pilot ends
    "no_namespaces": frozenset({"host"}),
    # payloads run in namespaces, but other processes of this user may see them
    "not_apart": frozenset({"why"}),
    # what the pilot found on its node, and where
    "node_found": frozenset({"facts"}),
    # a setting exceeds what the node or batch system gives: `offered` counts
    "offer_capped": frozenset({"what", "asked", "offered", "why"}),
    # the driver of a storage type cannot be loaded: these storages are unknown
    "storage_type_left_out": frozenset({"type", "driver", "why"}),
    # the batch system was asked again for the end of the pilot
    "time_left": frozenset({"wall_left_s"}),
    # the central registered the pilot
    "registered": frozenset({"pilot", "community", "site", "element", "session", "gen"}),
    # the central does not let the pilot in yet: it retries after `wait_s`
    "not_answered": frozenset({"path", "why", "wait_s"}),
    # the pilot sends `what` to another process of the central; empty: to the first one
    "goes_to": frozenset({"leader", "what"}),
    # the pilot has a new token
    "token_renewed": frozenset({"expires_in_s"}),
    # the message bus is connected
    "bus_up": frozenset({"url"}),
    # the message bus is down: heartbeats use HTTPS, everything works, only slower
    "bus_down": frozenset({"url", "why"}),
    # a message or login on the message bus was not as expected
    "bus_refused": frozenset({"why"}),
    # the pilot has no message bus, and uses HTTPS
    "no_bus": frozenset({"why"}),
    # the pilot got a job and recorded it
    "assigned": frozenset({"job", "epoch"}),
    # the job came too late or no longer fits: the pilot returns it
    "declined": frozenset({"job", "epoch", "why"}),
    # the payload runs
    "payload_started": frozenset({"job", "epoch"}),
    # the payload could not be started
    "payload_not_started": frozenset({"job", "epoch", "why"}),
    # the payload is frozen, as no heartbeat was answered and its lease may be over
    "payload_frozen": frozenset({"job", "epoch"}),
    # a heartbeat was answered: the payload continues
    "payload_thawed": frozenset({"job", "epoch"}),
    # the payload got its warning signal
    "payload_warned": frozenset({"job", "epoch", "with"}),
    # the payload was killed but does not die: its slot stays taken
    "payload_stuck": frozenset({"job", "epoch", "why"}),
    # the payload has ended; `why` says what ended it, unless it ended by itself
    "payload_ended": frozenset({"job", "epoch", "exit_code", "signal", "why", "detail"}),
    # the attempt is over: `how` is in [the messages](pilot-messages.md#how)
    "ended": frozenset({"job", "epoch", "how"}),
    # the central gave the job away: the payload is killed, its outputs are dropped
    "stale": frozenset({"job", "epoch"}),
    # a report was dropped, because the central could not read it
    "report_dropped": frozenset({"job", "epoch", "why"}),
    # the central could not read the full report of an end: the pilot sends a short one
    "end_refused": frozenset({"job", "epoch", "why"}),
    # input or output of an attempt failed unexpectedly; the attempt ends
    "work_failed": frozenset({"attempt_id", "work", "why", "traceback"}),
    # a turn was refused, or not answered (status 0): the pilot repeats it
    "turn_refused": frozenset({"status", "code", "message"}),
    # a heartbeat was refused, or not answered (status 0): the next one follows
    "beat_refused": frozenset({"status", "code", "message"}),
    # a file could not be fetched or uploaded: the pilot retries after `wait_s`
    "blob_not_moved": frozenset({"attempt_id", "why", "wait_s"}),
    # a token of a payload was fetched, and is in its file
    "payload_token_kept": frozenset({"job", "epoch", "name", "expires_in_s"}),
    # a token of a payload was not fetched: the pilot retries after `wait_s`
    "payload_token_failed": frozenset({"job", "epoch", "name", "why", "wait_s"}),
    # a storage did not give or take a data file: the pilot retries after `wait_s` (0: elsewhere)
    "data_not_moved": frozenset({"attempt_id", "why", "wait_s"}),
    # a copy differs from the catalogue: the pilot uses another one and reports it
    "bad_copy": frozenset({"job", "epoch", "did", "storage"}),
    # the checkpoint of an earlier attempt is unusable: the payload starts from scratch
    "checkpoint_left_out": frozenset({"job", "epoch", "why"}),
    # the journal cannot be written; an empty `why`: it works again
    "journal_behind": frozenset({"why"}),
    # the pilot takes no more jobs, and ends after its `held` attempts
    "draining": frozenset({"why", "held"}),
    # the guard died, and all payloads with it: the pilot drains
    "guard_gone": frozenset({"why"}),
    # log lines for the central were dropped: there were too many
    "log_gap": frozenset({"lines"}),
    # the central refuses these lines, or (404, 405: it is older) all lines
    "log_refused": frozenset({"status", "code", "message"}),
    # the pilot ends; `code` is its exit code
    "pilot_ended": frozenset({"code", "why"}),
}
# Events that an operator should see.
WARNINGS: Final = frozenset(
    {
        "not_answered",
        "bus_down",
        "bus_refused",
        "declined",
        "payload_not_started",
        "offer_capped",
        "storage_type_left_out",
        "payload_frozen",
        "payload_stuck",
        "stale",
        "report_dropped",
        "end_refused",
        "work_failed",
        "turn_refused",
        "beat_refused",
        "blob_not_moved",
        "data_not_moved",
        "payload_token_failed",
        "bad_copy",
        "checkpoint_left_out",
        "journal_behind",
        "guard_gone",
        "log_gap",
        "log_refused",
    }
)
# Events that are sent soon: warnings, ends, and the start of the pilot.
SOON: Final = WARNINGS | {"registered", "ended", "draining", "pilot_ended"}
# Events that are sent with other lines, but never trigger a message.
QUIET: Final = frozenset({"token_renewed", "time_left", "payload_token_kept"})

WriteEvent = Callable[[str, Mapping[str, object]], None]


def both(one: WriteEvent, other: WriteEvent) -> WriteEvent:
    """Return a log that writes to two logs."""

    def log(event: str, facts: Mapping[str, object]) -> None:
        one(event, facts)
        other(event, facts)

    return log


def json_lines(stream: TextIO, wall: Callable[[], float]) -> WriteEvent:
    """Return a log that writes each event as one line of JSON."""

    def log(event: str, facts: Mapping[str, object]) -> None:
        at = datetime.fromtimestamp(wall(), timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "event": event, **facts}, default=str)
        with contextlib.suppress(OSError):  # a full disk costs a line, not the pilot
            stream.write(line + "\n")
            stream.flush()

    return log
