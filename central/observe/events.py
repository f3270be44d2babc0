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

# The comment above each event describes it; `make docs` writes both into a page.
EVENTS: dict[str, frozenset[str]] = {
    # the central answers requests
    "central_started": frozenset({"url", "bus", "waiting", "attempts", "took_s"}),
    # the API is reachable from other machines without encryption, and carries tokens
    "plain_http": frozenset({"host", "why"}),
    # this process is a standby: another process on the same database leads
    "standing_by": frozenset({"url"}),
    # this process became the leader
    "lead_taken": frozenset({"term"}),
    # the leader cannot be read from the database
    "lead_unknown": frozenset({"why"}),
    # this process lost the lead: it ends, and its supervisor restarts it
    "lead_lost": frozenset({"why"}),
    # a graceful stop began
    "central_stopping": frozenset({"why"}),
    # a share or limit names a community or group without tokens or jobs
    "matcher_unknown": frozenset({"setting", "why"}),
    # jobs were accepted and are on disk
    "submitted": frozenset({"submission", "count", "owner"}),
    # http.url is this process' own address: behind a load balancer, set process.url
    "process_url_empty": frozenset({"url"}),
    # a process without the queue answers requests
    "beside_started": frozenset({"url", "leader", "took_s"}),
    # the store names another leader; requests about the queue go there
    "leader_found": frozenset({"url"}),
    # the leader does not answer; logged once until it does
    "leader_unreachable": frozenset({"url", "why"}),
    # the leader cannot be read from the store
    "leader_unknown": frozenset({"why"}),
    # submissions from other processes cannot be read
    "others_unseen": frozenset({"why"}),
    # revoked tokens and bans of other processes cannot be read from the store
    "revoked_unseen": frozenset({"why"}),
    # incomplete submissions of ended processes were removed
    "submissions_abandoned": frozenset({"count"}),
    # a submission was repeated with its key: the answer names the first jobs
    "submitted_again": frozenset({"submission", "owner"}),
    # a job was given to a pilot
    "matched": frozenset({"job", "epoch", "pilot"}),
    # a job could not be described to a pilot: it fails, other jobs continue
    "order_failed": frozenset({"job", "pilot", "error"}),
    # the central took a result
    "attempt_ended": frozenset({"job", "epoch", "pilot", "how", "state"}),
    # a payload ended `for_s` ago, and its pilot cannot deliver the result
    "result_undelivered": frozenset({"job", "epoch", "pilot", "for_s", "why"}),
    # an attempt ended without a result, and no user had asked for that
    "requeued": frozenset({"job", "epoch", "why", "state"}),
    # an attempt ended because a user killed, held or rescheduled its job
    "carried_out": frozenset({"job", "epoch", "wanted", "state"}),
    # a pilot came back in time: its attempt continues
    "taken_back": frozenset({"job", "epoch", "pilot"}),
    # a result came for an attempt that is over: it was kept, but does not count
    "evidence": frozenset({"job", "epoch", "pilot", "why"}),
    # a checkpoint file is missing: the attempt starts from an older one, or from scratch
    "checkpoint_gone": frozenset({"job", "epoch", "sha256"}),
    # a transformation made tasks, each with a waiting job
    "tasks_made": frozenset({"transformation", "count", "first"}),
    # too many tasks fail, or none can be made: its owner must act
    "transformation_paused": frozenset({"transformation", "name", "why"}),
    # more inputs are missing for good than the transformation allows
    "transformation_incomplete": frozenset({"transformation", "name", "missing"}),
    # a transformation has completed; `left` counts inputs without a group
    "transformation_completed": frozenset({"transformation", "name", "left"}),
    # failover decided about a failed task; with `dry_run` it does nothing more
    "failover_decided": frozenset(
        {"transformation", "task", "job", "failure", "rule", "do", "dry_run"}
    ),
    # the output of a failed attempt cannot be read: the rules decide without it
    "stderr_unread": frozenset({"job", "epoch", "why"}),
    # this release cannot read the rules of a production: the defaults apply
    "failover_rules_unread": frozenset({"production", "why"}),
    # failover repaired tasks that did not agree with their inputs
    "failover_recovered": frozenset({"transformation", "task", "rule", "do"}),
    # failover kept a report
    "failover_reported": frozenset({"transformation", "report", "title"}),
    # the mail server refused a report: failover retries a few times
    "report_not_mailed": frozenset({"report", "tries", "why"}),
    # a notification was put into the outbox
    "notified": frozenset({"kind", "id", "what", "owner"}),
    # notifications of a person were dropped: too many wait
    "notifications_dropped": frozenset({"owner", "count"}),
    # a message was not delivered; it is sent again, `notify.tries` times in all
    "not_notified": frozenset({"message", "owner", "channel", "tries", "why"}),
    # a user added a production or acted on it
    "production_said": frozenset({"production", "name", "what", "who", "why"}),
    # all steps of a production have completed
    "production_completed": frozenset({"production", "name"}),
    # no pilot fits the open tasks of a step; logged once until one fits
    "production_unfit": frozenset({"production", "name", "step", "why"}),
    # a production was cleaned; `files` counts files removed from the catalogue
    "production_cleaned": frozenset({"production", "name", "files"}),
    # a user declared a copy Bad, Missing or Available
    "replica_declared": frozenset({"did", "storage", "state", "who", "why"}),
    # a copy for a rule failed; the central retries a few times
    "transfer_failed": frozenset({"job", "storage", "why"}),
    # a job to remove bytes failed or could not be submitted; the central retries
    "sweep_failed": frozenset({"job", "storage", "why"}),
    # a job could not remove some bytes; the central retries
    "remnants_stay": frozenset({"job", "count", "why"}),
    # removals pause: the store refuses them, or owners of bytes are unknown
    "sweeps_wait": frozenset({"why"}),
    # rules pause: the store refuses their orders
    "rules_wait": frozenset({"why"}),
    # a Rucio server, or the store, takes no files now: the outbox waits and retries
    "outbox_waits": frozenset({"rucio", "why"}),
    # a Rucio server refuses a file; the central retries
    "outbox_refused": frozenset({"rucio", "entry", "why"}),
    # Rucio has other bytes under the name of a file, which is never sent again
    "outbox_clash": frozenset({"rucio", "entry", "why"}),
    # a user removed files from the catalogue; their bytes are removed later
    "files_removed": frozenset({"count", "first", "who"}),
    # a quota, the disk or a ban of the owner stops new tasks for now
    "transformation_waits": frozenset({"transformation", "name", "why"}),
    # a run of a CWL document waits: for a quota, disk space, the end of a ban, or after an error
    "cwl_run_waits": frozenset({"production", "why"}),
    # a run of a CWL document has ended
    "cwl_run_ended": frozenset({"production", "status", "why"}),
    # the process that evaluates CWL documents ended; it is started again when it is needed
    "cwl_evaluator_ended": frozenset({"why"}),
    # a user added a transformation or acted on it
    "transformation_said": frozenset({"transformation", "name", "what", "who", "why"}),
    # a user killed, held, released, rescheduled, deleted or reordered jobs
    "acted": frozenset({"action", "count", "who"}),
    # an operator set or removed a quota
    "quota_set": frozenset({"kind", "community", "name", "who", "removed"}),
    # an operator banned a person
    "person_banned": frozenset({"ban", "person", "who", "why"}),
    # an operator lifted the ban of a person
    "person_unbanned": frozenset({"ban", "person", "who"}),
    # jobs of a banned person were held and killed
    "ban_enforced": frozenset({"ban", "person", "held", "killed"}),
    # all jobs that a lifted ban held are released: `count` since the central started
    "ban_released": frozenset({"ban", "person", "count"}),
    # an action was repeated with its key: it got the first answer and changed nothing
    "acted_again": frozenset({"action", "who"}),
    # a pilot started, or came back after a restart
    "pilot_registered": frozenset({"pilot", "site", "host", "session"}),
    # a pilot signed off, or was silent for too long
    "pilot_ended": frozenset({"pilot", "site", "state", "why"}),
    # two processes used secret `number` of a pilot: the pilot was ended
    "secret_replayed": frozenset({"pilot", "site", "host", "session", "number"}),
    # pilots were submitted to a compute element; it may have refused some
    "pilots_submitted": frozenset({"site", "element", "pilots", "refused"}),
    # a submitted pilot ended before it asked for work; its output is kept if available
    "pilot_failed": frozenset({"pilot", "site", "element", "why"}),
    # an operator ended a pilot; `trouble` has the reason if its element did not
    "pilot_killed": frozenset({"pilot", "site", "why", "trouble"}),
    # an operator banned, drained or enabled a site or an element
    "site_said": frozenset({"place", "what", "who", "why"}),
    # a request to a compute element failed: it gets no pilots for `pause_s`
    "element_trouble": frozenset({"site", "element", "step", "why", "pause_s"}),
    # pilots could not run the jobs that they came for: the factory sends fewer there
    "place_in_doubt": frozenset({"site", "element", "shape", "community", "why"}),
    # the central asked an idle pilot to end
    "pilot_let_go": frozenset({"pilot", "site", "element", "why"}),
    # job after job failed on a host or element: it gets no jobs for a while
    "host_suspended": frozenset({"site", "element", "host", "why"}),
    # as host_suspended, but too few neighbours would be left: it keeps getting jobs
    "host_suspicious": frozenset({"site", "element", "host", "why"}),
    # a trial job succeeded on a suspended host: it gets jobs again
    "host_restored": frozenset({"site", "element", "host", "why"}),
    # no site file names the element any more; `why` describes what happens to its pilots
    "element_gone": frozenset({"site", "element", "pilots", "why"}),
    # part of a site file is wrong: the last good version stays in force
    "site_trouble": frozenset({"site", "element", "why"}),
    # the site files were read, at the start or after SIGHUP
    "sites_read": frozenset({"sites", "elements", "troubles"}),
    # shares and limits were reloaded; `changed` names the changed settings
    "limits_read": frozenset({"by", "changed"}),
    # the settings file cannot be read: shares and limits stay
    "limits_refused": frozenset({"by", "why"}),
    # the storage files were read, at the start or after a change
    "storages_read": frozenset({"storages", "troubles"}),
    # part of a storage file is wrong: the last good version stays in force
    "storage_trouble": frozenset({"storage", "why"}),
    # a Rucio server did not answer, or refused everything: it is asked again later
    "rucio_away": frozenset({"rucio", "why"}),
    # a broker sends no events of a Rucio server now: files are found by polling
    "rucio_events_away": frozenset({"rucio", "broker", "why"}),
    # files that Rucio has erased were removed from the catalogue
    "rucio_erased": frozenset({"rucio", "count", "first"}),
    # a Rucio server refused the requests of an input: its files stay as they are
    "rucio_refused": frozenset({"rucio", "input", "why"}),
    # a file, dataset or key of Rucio cannot be shown here; said once until the reason changes
    "rucio_skipped": frozenset({"rucio", "input", "what", "why"}),
    # Rucio says that an RSE may not be read: no job reads from its storage
    "rse_off": frozenset({"rucio", "rse", "storage"}),
    # an RSE may be read again
    "rse_on": frozenset({"rucio", "rse", "storage"}),
    # the files of Rucio servers were read, at the start or after a change
    "rucio_read": frozenset({"servers", "troubles"}),
    # a file of a Rucio server is wrong: its last good version stays in force
    "rucio_trouble": frozenset({"rucio", "why"}),
    # the keys of an identity provider were fetched and have changed; `skipped` are not used
    "provider_keys_read": frozenset({"provider", "keys", "skipped"}),
    # the keys of an identity provider cannot be fetched; logged once until they can
    "provider_keys_unread": frozenset({"provider", "why"}),
    # a pilot read a copy that differs from the catalogue: it is no longer used
    "copy_bad": frozenset({"job", "did", "storage", "why"}),
    # the factory submits no pilots, because the store takes no writes
    "factory_waits": frozenset({"why"}),
    # a pilot reported impossible times of an attempt: they were cut
    "doubted": frozenset({"job", "epoch", "pilot"}),
    # a pilot reported unknown attempts, more than the central keeps
    "stray": frozenset({"job", "epoch", "pilot"}),
    # the wall clock jumped by over an hour: no removal by age for a day
    "clock_jumped": frozenset({"by_s"}),
    # the store was last written at a very different time: no removal by age for a day
    "clock_in_doubt": frozenset({"by_s"}),
    # this process slept: all deadlines moved by `late_s`
    "late_loop": frozenset({"late_s"}),
    # the message bus is connected
    "bus_up": frozenset({"url"}),
    # the message bus is down: heartbeats use HTTPS, everything works, only slower
    "bus_down": frozenset({"url", "why"}),
    # bus counters that changed in the last minute, counted from the start
    "bus_traffic": frozenset({"counts"}),
    # a login or message on the bus was refused
    "refused": frozenset({"code", "message", "where"}),
    # JSON in a request was nested too deep; at most one line a minute and route
    "nested_too_deep": frozenset({"route", "times"}),
    # old jobs, evidence, pilots or blobs were removed
    "pruned": frozenset({"what", "count"}),
    # log lines were dropped before this one
    "log_gap": frozenset({"lines"}),
    # the disk is full: the central accepts nothing new
    "store_full": frozenset({"why"}),
    # free disk is below the reserve for reports: new work is refused
    "disk_short": frozenset({"why"}),
    # uploads and submissions are accepted again
    "disk_has_room": frozenset({"why"}),
    # a write succeeded after `store_full`
    "store_has_room": frozenset({"was"}),
    # memory and disk may differ: the process ends, and its restart reads the disk
    "store_broken": frozenset({"why"}),
    # a graceful stop has ended, with everything written
    "central_stopped": frozenset({"took_s"}),
    # a graceful stop was cut off after `within_s`; acknowledged data is on disk
    "end_late": frozenset({"within_s"}),
    # a library warned or failed; `error` has the traceback, if any
    "library": frozenset({"logger", "level", "message", "error"}),
    # a background task failed
    "loop_failed": frozenset({"loop", "error"}),
    # other users could open the data directory: now only its owner can
    "data_tightened": frozenset({"folder", "was"}),
    # community settings apply when the administrator's token is made; this one is older
    "community_unused": frozenset({"why", "do"}),
    # a token for the administrator was written to this file
    "first_token": frozenset({"file"}),
    # the files of identity providers were read, at the start or after a change
    "providers_read": frozenset({"providers", "troubles"}),
    # part of a provider's file is wrong: the last good version stays in force
    "provider_trouble": frozenset({"provider", "why"}),
    # an identity provider does not answer, or answers wrongly; sessions stay valid for 28 hours
    "provider_away": frozenset({"provider", "why"}),
    # a person logged in
    "login": frozenset({"person", "provider", "community", "role", "kind", "address"}),
    # a login could not begin, or the provider did not confirm it
    "login_failed": frozenset({"provider", "why"}),
    # the provider confirmed a person, whose groups give no such access
    "login_refused": frozenset({"person", "provider", "why"}),
    # a renewal secret was used twice: its session ends, since it may have been copied
    "renewal_replayed": frozenset({"person", "session", "host"}),
    # two clients used a renewal secret within a minute: they share a file, or one has a copy
    "renewal_shared": frozenset({"person", "session", "host", "address"}),
    # a session of a login has ended
    "session_ended": frozenset({"person", "session", "why"}),
    # a session has ended, but unfinished jobs still get tokens by it
    "grant_kept": frozenset({"person", "session"}),
    # a session that had ended before gives no tokens to jobs any more
    "grant_dropped": frozenset({"person", "session", "why"}),
    # a provider gave a token for payloads of a person
    "payload_token": frozenset({"person", "provider", "audience"}),
    # a provider refused a token for payloads, or no session can ask for it
    "payload_token_refused": frozenset({"person", "audience", "why"}),
    # a provider could not be told that a session has ended
    "grant_not_revoked": frozenset({"provider", "why"}),
}
QUIET = frozenset(
    {"matched", "attempt_ended", "submitted_again", "acted_again", "doubted", "stray"}
)  # only with log.level = debug: one line a job


class Log(Protocol):
    """The destination of events."""

    def __call__(self, event: str, **fields: Any) -> None:
        """Write one event. Raises KeyError if the table lacks it, which is a bug."""
        ...


class JsonLog:
    """Writes events as JSON lines. If the disk is full, it drops lines and does not fail."""

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
        except OSError:  # the caller must be able to continue
            self._left_out += 1
            return
        with contextlib.suppress(OSError):  # then the next flush writes it
            self._out.flush()

    def _write(self, event: str, fields: dict[str, Any]) -> None:
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        request = REQUEST.get()
        line = {"at": at, "event": event, **fields}
        if request:  # the event belongs to this request
            line["request"] = request
        try:
            text = msgspec.json.encode(line)
        except UnicodeEncodeError:  # a file name can contain any bytes
            text = json.dumps(line, default=str, ensure_ascii=False).encode(errors="replace")
        self._out.write(text + b"\n")


def no_log(event: str, **fields: Any) -> None:
    """Drop events after checking them against the table."""
    wrong = EVENTS[event].symmetric_difference(fields)
    assert not wrong, f"event {event} has other fields: {sorted(wrong)}"
