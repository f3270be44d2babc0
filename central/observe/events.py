"""All events that the central logs: one table, and the writer of the lines.

A line is one JSON object with `at`, `event` and the fields that the table names.
"""

import contextlib
import json
import sys
from datetime import UTC, datetime
from typing import IO, Any, Protocol

import msgspec

from .request_ids import REQUEST

# The line above each says what it means; `make docs` writes both into a page.
EVENTS: dict[str, frozenset[str]] = {
    # requests are answered from here on
    "central_started": frozenset({"url", "bus", "waiting", "attempts", "took_s"}),
    # the API can be reached from other machines and is not encrypted: it carries tokens
    "plain_http": frozenset({"host", "why"}),
    # of several processes on a database this one waits to lead
    "standing_by": frozenset({"url"}),
    # this process leads from here on
    "lead_taken": frozenset({"term"}),
    # the database does not say who leads
    "lead_unknown": frozenset({"why"}),
    # this process may not lead any more: it ends, and its supervisor starts it again
    "lead_lost": frozenset({"why"}),
    # a graceful stop has begun
    "central_stopping": frozenset({"why"}),
    # a share or limit names a community or group of which there is neither a token nor a job
    "matcher_unknown": frozenset({"setting", "why"}),
    # jobs were accepted; they are on the disk
    "submitted": frozenset({"submission", "count", "owner"}),
    # http.url is given as this process' own address: if it is a balancer's, process.url is missing
    "process_url_empty": frozenset({"url"}),
    # a process without the queue answers requests from here on
    "beside_started": frozenset({"url", "leader", "took_s"}),
    # another process leads now, as the store says; what needs the queue is handed on to it
    "leader_found": frozenset({"url"}),
    # the process that leads could not be asked; told once, until it could
    "leader_unreachable": frozenset({"url", "why"}),
    # who leads cannot be read from the store now
    "leader_unknown": frozenset({"why"}),
    # submissions that other processes have taken in cannot be looked for now
    "others_unseen": frozenset({"why"}),
    # tokens that were revoked elsewhere cannot be read from the store now
    "revoked_unseen": frozenset({"why"}),
    # submissions that never became whole were removed: the processes that took them in are gone
    "submissions_abandoned": frozenset({"count"}),
    # a submission came again with its key: it was answered with the jobs of the first one
    "submitted_again": frozenset({"submission", "owner"}),
    # a job was given to a pilot
    "matched": frozenset({"job", "epoch", "pilot"}),
    # no pilot can be told what a job is to run: it fails, and the pilot gets the others
    "order_failed": frozenset({"job", "pilot", "error"}),
    # a result was taken
    "attempt_ended": frozenset({"job", "epoch", "pilot", "how", "state"}),
    # a payload ended `for_s` ago, and its pilot cannot deliver the result: `why` is of the last try
    "result_undelivered": frozenset({"job", "epoch", "pilot", "for_s", "why"}),
    # an attempt ended without a result, and nobody had wanted that
    "requeued": frozenset({"job", "epoch", "why", "state"}),
    # an attempt was ended because somebody had killed, held or rescheduled its job
    "carried_out": frozenset({"job", "epoch", "wanted", "state"}),
    # a pilot that had been cut off is heard again, and its job had not been given away
    "taken_back": frozenset({"job", "epoch", "pilot"}),
    # a report that does not count was kept: a result of an attempt that is over
    "evidence": frozenset({"job", "epoch", "pilot", "why"}),
    # the file of a checkpoint is not there: its attempt begins with an older one, or anew
    "checkpoint_gone": frozenset({"job", "epoch", "sha256"}),
    # a transformation has made tasks, each with a job that waits
    "tasks_made": frozenset({"transformation", "count", "first"}),
    # a transformation makes no more tasks until a person has looked: too many fail, or none can be
    "transformation_paused": frozenset({"transformation", "name", "why"}),
    # a transformation waits: more of its inputs is missing for good than it allows
    "transformation_incomplete": frozenset({"transformation", "name", "missing"}),
    # a transformation has nothing left to do; left: inputs that make no group
    "transformation_completed": frozenset({"transformation", "name", "left"}),
    # the rules of failover say what is done about a task that failed; dry_run: it is only said
    "failover_decided": frozenset(
        {"transformation", "task", "job", "failure", "rule", "do", "dry_run"}
    ),
    # what a failed attempt wrote cannot be read now: the rules judge without it
    "stderr_unread": frozenset({"job", "epoch", "why"}),
    # rules of a production do not read in this release: the default ones hold
    "failover_rules_unread": frozenset({"production", "why"}),
    # tasks did not agree with their inputs, and now do; what cannot be repaired is reported
    "failover_recovered": frozenset({"transformation", "task", "rule", "do"}),
    # a report of failover has been kept
    "failover_reported": frozenset({"transformation", "report", "title"}),
    # the mail server did not take a report: it is tried again later, a number of times
    "report_not_mailed": frozenset({"report", "tries", "why"}),
    # somebody has added a production, or said what is to be done with one
    "production_said": frozenset({"production", "name", "what", "who", "why"}),
    # all steps of a production have completed
    "production_completed": frozenset({"production", "name"}),
    # no pilot that is there fits the open tasks of a step; told once until one fits
    "production_unfit": frozenset({"production", "name", "step", "why"}),
    # of a production nothing is left; files: that have left the catalogue
    "production_cleaned": frozenset({"production", "name", "files"}),
    # somebody has said how a copy of a file is: Bad, Missing, Available
    "replica_declared": frozenset({"did", "storage", "state", "who", "why"}),
    # a copy that a rule wants could not be made; it is tried again later, a few times
    "transfer_failed": frozenset({"job", "storage", "why"}),
    # a job that was to remove bytes brought no result, or could not be submitted; tried again later
    "sweep_failed": frozenset({"job", "storage", "why"}),
    # a job could not remove some of the bytes that it was to; they are tried again later
    "remnants_stay": frozenset({"job", "count", "why"}),
    # no bytes are removed now: the store refuses it, or nobody knows whose they are
    "sweeps_wait": frozenset({"why"}),
    # nothing is ordered for rules now: the store refuses it
    "rules_wait": frozenset({"why"}),
    # somebody took files out of the catalogue; their bytes go later, from storages that delete
    "files_removed": frozenset({"count", "first", "who"}),
    # a quota has no room for more tasks of a transformation: it goes on when there is some
    "transformation_waits": frozenset({"transformation", "name", "why"}),
    # somebody has added a transformation, or said what is to be done with one
    "transformation_said": frozenset({"transformation", "name", "what", "who", "why"}),
    # somebody killed, held, released, rescheduled, deleted or reordered jobs
    "acted": frozenset({"action", "count", "who"}),
    # an operator set or removed a quota
    "quota_set": frozenset({"kind", "community", "name", "who", "removed"}),
    # an action came again with its key: it was answered as the first time, and nothing was done
    "acted_again": frozenset({"action", "who"}),
    # a pilot began, or came back after a restart
    "pilot_registered": frozenset({"pilot", "site", "host", "session"}),
    # a pilot said good-bye, or was silent for too long
    "pilot_ended": frozenset({"pilot", "site", "state", "why"}),
    # two processes used the secret of a pilot; the pilot ended; number: which of its secrets
    "secret_replayed": frozenset({"pilot", "site", "host", "session", "number"}),
    # pilots were given to a compute element, or it refused some
    "pilots_submitted": frozenset({"site", "element", "pilots", "refused"}),
    # a submitted pilot ended before it asked for work; its output is kept where its element has it
    "pilot_failed": frozenset({"pilot", "site", "element", "why"}),
    # somebody has ended a pilot; trouble: why its element has not been asked to, or will not
    "pilot_killed": frozenset({"pilot", "site", "why", "trouble"}),
    # an operator has banned, drained or enabled a site or an element
    "site_said": frozenset({"place", "what", "who", "why"}),
    # a compute element did not do what it was asked: it gets no pilots for so long
    "element_trouble": frozenset({"site", "element", "step", "why", "pause_s"}),
    # pilots came for jobs that wait and could not run them: fewer and fewer are sent to this place
    "place_in_doubt": frozenset({"site", "element", "shape", "community", "why"}),
    # a pilot with nothing to do was told to go
    "pilot_let_go": frozenset({"pilot", "site", "element", "why"}),
    # jobs failed on a host, or at an element, one after another: it gets none for a while
    "host_suspended": frozenset({"site", "element", "host", "why"}),
    # the same, but too few of its neighbours would be left: it goes on getting jobs
    "host_suspicious": frozenset({"site", "element", "host", "why"}),
    # a single job did well on a suspended host: it gets jobs again
    "host_restored": frozenset({"site", "element", "host", "why"}),
    # no site's file speaks of an element any more: what becomes of its pilots
    "element_gone": frozenset({"site", "element", "pilots", "why"}),
    # something in a site's file is not in force; what it said before stays
    "site_trouble": frozenset({"site", "element", "why"}),
    # the sites' files were read, at the start or after SIGHUP
    "sites_read": frozenset({"sites", "elements", "troubles"}),
    # shares and limits were read again, and which of their settings have changed
    "limits_read": frozenset({"by", "changed"}),
    # the file of settings cannot be read: shares and limits stay as they were
    "limits_refused": frozenset({"by", "why"}),
    # the storages' files were read, at the start or because one had changed
    "storages_read": frozenset({"storages", "troubles"}),
    # something in a storage's file is not in force; what it said before stays
    "storage_trouble": frozenset({"storage", "why"}),
    # a pilot has read a copy of a file that is not what was registered: it is used no more
    "copy_bad": frozenset({"job", "did", "storage", "why"}),
    # pilots cannot be submitted now, because the store takes nothing
    "factory_waits": frozenset({"why"}),
    # a pilot said more than can be of an attempt of its own: times were cut to what has passed
    "doubted": frozenset({"job", "epoch", "pilot"}),
    # a pilot told of the end of more attempts that it never had, or that are gone, than are kept
    "stray": frozenset({"job", "epoch", "pilot"}),
    # the wall clock jumped by more than an hour: for a day nothing is removed by it
    "clock_jumped": frozenset({"by_s"}),
    # the store was last written at quite another time: for a day nothing is removed by its age
    "clock_in_doubt": frozenset({"by_s"}),
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
    # JSON in a request was nested too deep; logged once a minute per route, with the count
    "nested_too_deep": frozenset({"route", "times"}),
    # what is over for long has gone: jobs, evidence, pilots or blobs
    "pruned": frozenset({"what", "count"}),
    # so many lines of this log found no room before this one
    "log_gap": frozenset({"lines"}),
    # the disk is full: nothing new is accepted until there is room
    "store_full": frozenset({"why"}),
    # the disk has less room than is kept for reports: what is new is refused
    "disk_short": frozenset({"why"}),
    # uploads and submissions are taken again
    "disk_has_room": frozenset({"why"}),
    # a write has succeeded again after `store_full`
    "store_has_room": frozenset({"was"}),
    # memory and disk may differ: the process ends, and its restart reads the disk
    "store_broken": frozenset({"why"}),
    # a graceful stop has ended: nothing is left to be written
    "central_stopped": frozenset({"took_s"}),
    # a graceful stop took too long and was cut off: what was acknowledged is on the disk
    "end_late": frozenset({"within_s"}),
    # a library warned or failed; the error with its traceback, if there was one
    "library": frozenset({"logger", "level", "message", "error"}),
    # something in the background failed; `error` says how
    "loop_failed": frozenset({"loop", "error"}),
    # others could get into the data directory: now its owner alone may
    "data_tightened": frozenset({"folder", "was"}),
    # settings of the community count when the administrator's token is made: this one is of before
    "community_unused": frozenset({"why", "do"}),
    # a token for the administrator was written into this file
    "first_token": frozenset({"file"}),
}
QUIET = frozenset(
    {"matched", "attempt_ended", "submitted_again", "acted_again", "doubted", "stray"}
)  # only with log.level = debug: one line a job


class Log(Protocol):
    """Where events go."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Write one event. Raises KeyError for one that the table does not have: a bug."""
        ...


class JsonLog:
    """Writes events as JSON lines. On a full disk lines are left out, and nothing else happens."""

    def __init__(self, out: IO[bytes] | None = None, *, debug: bool = False) -> None:
        self._out = out or sys.stderr.buffer
        self.leaves_out = frozenset[str]() if debug else QUIET
        self._left_out = 0

    def __call__(self, event: str, **fields: Any) -> None:
        if event in self.leaves_out:
            return
        wrong = EVENTS[event].symmetric_difference(fields)
        assert not wrong, f"event {event} has other fields: {sorted(wrong)}"
        try:
            if self._left_out:
                self._write("log_gap", {"lines": self._left_out})
                self._left_out = 0
            self._write(event, fields)
        except OSError:  # whoever logs is in the middle of something that must go on
            self._left_out += 1
            return
        with contextlib.suppress(OSError):  # then the next flush writes it
            self._out.flush()

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        request = REQUEST.get()
        line = {"at": at, "event": event, **fields}
        if request:  # what was logged while one was answered
            line["request"] = request
        try:
            text = msgspec.json.encode(line)
        except UnicodeEncodeError:  # the name of a file, which may be any bytes
            text = json.dumps(line, default=str, ensure_ascii=False).encode(errors="replace")
        self._out.write(text + b"\n")


def no_log(event: str, **fields: Any) -> None:
    """Drop events after checking them against the table."""
    wrong = EVENTS[event].symmetric_difference(fields)
    assert not wrong, f"event {event} has other fields: {sorted(wrong)}"
