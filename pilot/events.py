"""What a pilot logs: one table of events, one JSON line per event."""

import contextlib
import json
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Final, TextIO

# Event and the facts that come with it. The line above each says what it means: a page of the
# documentation has both.
EVENTS: Final[dict[str, frozenset[str]]] = {
    # a life of the pilot begins; `isolation` is its best rung, `cores` what it offers
    "pilot_started": frozenset({"version", "protocol", "central", "isolation", "cores"}),
    # payloads must run in namespaces, and this node has none: the pilot ends
    "no_namespaces": frozenset({"host"}),
    # its payloads run in namespaces, but it cannot say that others of this user see nothing of them
    "not_apart": frozenset({"why"}),
    # what it found on its node, each with where it found it
    "node_found": frozenset({"facts"}),
    # a setting asks for more than the node or the batch system gives: `offered` counts, by `why`
    "offer_capped": frozenset({"what", "asked", "offered", "why"}),
    # the driver of a type of storage cannot be loaded: this pilot knows no storages of the type
    "storage_type_left_out": frozenset({"type", "driver", "why"}),
    # the batch system was asked again until when the pilot may run
    "time_left": frozenset({"wall_left_s"}),
    # the central has let it in, as this pilot
    "registered": frozenset({"pilot", "community", "site", "element", "session", "gen"}),
    # the central does not let it in yet: the same is said again after `wait_s`
    "not_answered": frozenset({"path", "why", "wait_s"}),
    # it sends `what` (messages, files) to another process of the central; empty: to its first one
    "goes_to": frozenset({"leader", "what"}),
    # it has a new token
    "token_renewed": frozenset({"expires_in_s"}),
    # the message bus is connected
    "bus_up": frozenset({"url"}),
    # the message bus is away: beats go over HTTPS, and everything works, only slower
    "bus_down": frozenset({"url", "why"}),
    # what came over the message bus, or its login, is not as expected
    "bus_refused": frozenset({"why"}),
    # this pilot has no message bus: everything goes over HTTPS
    "no_bus": frozenset({"why"}),
    # it has been given a job, and has noted it
    "assigned": frozenset({"job", "epoch"}),
    # the job comes too late, or fits no more: it goes back
    "declined": frozenset({"job", "epoch", "why"}),
    # the payload runs
    "payload_started": frozenset({"job", "epoch"}),
    # the payload could not be started
    "payload_not_started": frozenset({"job", "epoch", "why"}),
    # the payload stands still: its lease may be over, for no beat was answered
    "payload_frozen": frozenset({"job", "epoch"}),
    # a beat was answered: the payload goes on
    "payload_thawed": frozenset({"job", "epoch"}),
    # the payload had its warning signal: `with` what, and of what
    "payload_warned": frozenset({"job", "epoch", "with"}),
    # the payload was killed and does not die: its slot stays taken
    "payload_stuck": frozenset({"job", "epoch", "why"}),
    # nothing of the payload is left; `why` says who ended it, if not it itself
    "payload_ended": frozenset({"job", "epoch", "exit_code", "signal", "why", "detail"}),
    # the attempt is over: `how` is in [the messages](pilot-messages.md#how)
    "ended": frozenset({"job", "epoch", "how"}),
    # the central has given the job away: the payload is killed, its outputs are dropped
    "stale": frozenset({"job", "epoch"}),
    # a report was left out, for the central could not read it
    "report_dropped": frozenset({"job", "epoch", "why"}),
    # the central could not read the full report of an end: a short one is sent
    "end_refused": frozenset({"job", "epoch", "why"}),
    # input or output of an attempt broke in a way that nobody foresaw; the attempt ends
    "work_failed": frozenset({"attempt_id", "work", "why", "traceback"}),
    # a turn was not taken, or not answered (status 0): it is repeated
    "turn_refused": frozenset({"status", "code", "message"}),
    # a beat was not taken, or not answered (status 0): the next one comes
    "beat_refused": frozenset({"status", "code", "message"}),
    # a file could not be brought or uploaded: the same again after `wait_s`
    "blob_not_moved": frozenset({"attempt_id", "why", "wait_s"}),
    # storages did not give or take a file of a job's data: the same again after `wait_s`
    "data_not_moved": frozenset({"attempt_id", "why", "wait_s"}),
    # a copy of a file is not what the catalogue says: another one is taken, and the central is told
    "bad_copy": frozenset({"job", "epoch", "did", "storage"}),
    # the checkpoint of an earlier attempt is of no use: the payload begins anew
    "checkpoint_left_out": frozenset({"job", "epoch", "why"}),
    # the disk does not take the journal; an empty `why`: it is whole again
    "journal_behind": frozenset({"why"}),
    # it takes nothing more, and ends when the `held` attempts have
    "draining": frozenset({"why", "held"}),
    # the guard has died, and all payloads with it: the pilot drains
    "guard_gone": frozenset({"why"}),
    # so many lines were left out for the central: there were too many
    "log_gap": frozenset({"lines"}),
    # the central does not take these lines, or (404, 405: it is older) none of this life
    "log_refused": frozenset({"status", "code", "message"}),
    # the pilot ends; `code` is its exit code
    "pilot_ended": frozenset({"code", "why"}),
}
# What an operator should see.
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
        "bad_copy",
        "checkpoint_left_out",
        "journal_behind",
        "guard_gone",
        "log_gap",
        "log_refused",
    }
)
# What somebody may look for right away: warnings, ends, and the beginning of the pilot.
SOON: Final = WARNINGS | {"registered", "ended", "draining", "pilot_ended"}
# What is told with other lines, and is no reason to tell anything.
QUIET: Final = frozenset({"token_renewed", "time_left"})

Log = Callable[[str, Mapping[str, object]], None]


def both(one: Log, other: Log) -> Log:
    """Return a log that writes to two."""

    def log(event: str, facts: Mapping[str, object]) -> None:
        one(event, facts)
        other(event, facts)

    return log


def json_lines(stream: TextIO, wall: Callable[[], float]) -> Log:
    """Return a log that writes each event as one line of JSON."""

    def log(event: str, facts: Mapping[str, object]) -> None:
        at = datetime.fromtimestamp(wall(), timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, "event": event, **facts}, default=str)
        with contextlib.suppress(OSError):  # a full disk costs a line, not the pilot
            stream.write(line + "\n")
            stream.flush()

    return log
