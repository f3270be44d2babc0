"""Decides what a report or the end of a lease changes in a job. Pure: values in, changes out.

It follows PROTOCOL C6, C7 and C9 and the table of job states. It writes nothing.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from pilotage.proto.job_states import JobEvent, JobState, next_state
from pilotage.proto.messages import CHECKPOINT_FILE, How, Report, Usage, Why

from ..received_messages import altered
from .leases import Lease, LeasePhase
from .record_types import AdriftEnd, AttemptResult, AttemptRow, Requeue

# Ends without a result of the payload. They use up no retry.
WITHOUT_RESULT = frozenset(
    {
        *(How.DECLINED, How.LOST, How.STALE, How.DRAINED, How.KILLED),
        *(How.INPUT, How.STORAGE, How.SOFTWARE, How.OTHER, How.CHECKPOINTED),
    }
)
# Ends that are never the job's fault, so they do not count as losses.
NO_LOSS = frozenset({How.DECLINED, How.DRAINED, How.CHECKPOINTED})
# Ends that count as losses even before the start was reported. The next pilot may have the same
# problem, and without a limit the job would be matched without end.
LOSS_BEFORE_START = frozenset({How.INPUT, How.STORAGE, How.SOFTWARE, How.OTHER})
# Ends that do not predict what happens on the next pilot, even if they are frequent. `lost` is not
# among them, because a job may kill each pilot that takes it.
WITHOUT_SIGN = WITHOUT_RESULT - LOSS_BEFORE_START - {How.LOST}

DRIFT: Final = 0.02  # clocks of two hosts may differ in speed by this share (PROTOCOL P4)
GRACE_S: Final = 2.0  # tolerance, because pilot and central measure different spans
CORES_USED_MAX: Final = 1_024  # a payload without a core limit may use all cores of its node
BYTES_A_SECOND_MAX: Final = 50_000_000_000  # no node transfers more

_OVER_QUOTA: Final = re.compile(r" was not stored: 403 over_quota ")
_CARRIED_OUT = {
    Why.KILL: JobEvent.KILLED,
    Why.HOLD: JobEvent.HELD,
    Why.RESCHEDULE: JobEvent.RESCHEDULED,
    Why.OTHER: JobEvent.LOST,
}


def state_of(lease: Lease) -> JobState:
    """Return the shown state of this attempt's job."""
    if lease.phase is LeasePhase.OPEN:
        return JobState.WAITING
    return JobState.RUNNING if lease.started else JobState.MATCHED


def used_core_s(lease: Lease, usage: Usage | None, at: float) -> float | None:
    """Return the core time of an attempt in seconds, or None if it is unknown.

    All its cores count while it ran or was frozen, because no other job could use them.
    """
    if usage is not None:
        return lease.grant.cores * (usage.wall_s + usage.frozen_s)
    if not lease.started:
        return 0.0
    if lease.started_at is None:
        return None
    return lease.grant.cores * min(lease.grant.wall_s, max(0.0, at - lease.started_at))


def believed(report: Report, *, lived_s: float, cores: int) -> Report:
    """Return a report cut to possible values, for an attempt that was matched `lived_s` ago.

    Nothing happened before the match, and a payload cannot use more time than has passed. Larger
    values would be charged to the owner of the job, and would date its end to another day.
    """
    usage = report.usage
    if usage is not None:
        usage = _believed(usage, longest_s=lived_s * (1 + DRIFT) + GRACE_S, cores=cores)
    if usage is report.usage and 0.0 <= report.ago_s <= lived_s:
        return report
    return altered(report, ago_s=min(max(0.0, report.ago_s), lived_s), usage=usage)


def _believed(usage: Usage, *, longest_s: float, cores: int) -> Usage:
    """Return the usage, cut to possible values for a span of `longest_s`."""
    cpu_max_s, bytes_max = longest_s * max(cores, CORES_USED_MAX), longest_s * BYTES_A_SECOND_MAX
    if (
        usage.wall_s + usage.frozen_s <= longest_s
        and usage.cpu_s <= cpu_max_s
        and usage.bytes_in <= bytes_max
        and usage.bytes_out <= bytes_max
    ):
        return usage
    wall_s = min(usage.wall_s, longest_s)
    return altered(
        usage,
        wall_s=wall_s,
        frozen_s=min(usage.frozen_s, longest_s - wall_s),
        cpu_s=min(usage.cpu_s, cpu_max_s),
        bytes_in=min(usage.bytes_in, int(bytes_max)),
        bytes_out=min(usage.bytes_out, int(bytes_max)),
    )


def over_quota(report: Report) -> Report:
    """Return the report with the end `quota`, which pilots of release 0.1 report as `output`."""
    if report.how is How.OUTPUT and _OVER_QUOTA.search(report.detail):
        return altered(report, how=How.QUOTA)
    return report


def sized(report: Report, sizes: Mapping[str, int], *, lived_s: float) -> Report:
    """Return a report with the true sizes of its outputs, instead of those that the pilot reported.

    Only the end of a stream is stored. The size of the whole stream comes from the pilot, cut to a
    possible value.
    """
    whole_max = int((lived_s * (1 + DRIFT) + GRACE_S) * BYTES_A_SECOND_MAX)
    for one in report.outputs:
        if one.size_bytes != sizes[one.sha256] or not 0 <= one.of_bytes <= whole_max:
            break
    else:
        return report
    outputs = tuple(
        altered(
            one,
            size_bytes=sizes[one.sha256],
            of_bytes=min(max(0, one.of_bytes), whole_max),
        )
        for one in report.outputs
    )
    return altered(report, outputs=outputs)


@dataclass(frozen=True)
class Losses:
    """Limits before a job is held: of lost attempts after a start, and of all its attempts."""

    lost_max: int
    matched_max: int


def lease_over(
    lease: Lease,
    *,
    at: float,
    silent_s: float,
    limits: Losses,
    event: JobEvent = JobEvent.LEASE_OVER,
) -> Requeue:
    """Return the change to a job whose lease ended without a result."""
    is_silent = event is JobEvent.LEASE_OVER
    reason = f"no heartbeat for {silent_s:.0f} s" if is_silent else "given back by the pilot"
    return _requeue(lease, event, reason, at=at, close=False, limits=limits, how=None)


def without_result(lease: Lease, report: Report, *, at: float, limits: Losses) -> Requeue:
    """Return the change to a job after an `ended` without a result. It closes the attempt."""
    how = report.how or How.OTHER
    event = JobEvent.DECLINED if how is How.DECLINED and not lease.started else JobEvent.LOST
    reason = report.detail or f"the pilot reported: {how.value}"
    requeue = _requeue(lease, event, reason, at=at, close=True, limits=limits, how=how)
    return msgspec.structs.replace(
        requeue,
        detail=report.detail,
        isolation=report.isolation,
        usage=report.usage,
        outputs=report.outputs,
    )


def goes_on(lease: Lease, report: Report, limits: Losses) -> bool:
    """Return whether the job continues after `ended: checkpointed` without using up a retry.

    The attempt must have stored a checkpoint. From the attempt number `matched_max` on it uses up
    retries, so that a payload that never progresses ends.
    """
    saved = any(one.name == CHECKPOINT_FILE for one in report.outputs)
    return saved and lease.epoch < limits.matched_max


def left(lease: Lease, report: Report) -> AdriftEnd:
    """Return the change to an attempt that ended without a result while its job waits again."""
    return AdriftEnd(
        attempt_id=lease.attempt_id,
        job_id=lease.job,
        epoch=lease.epoch,
        how=report.how or How.OTHER,
        detail=report.detail,
        isolation=report.isolation,
        usage=report.usage,
        outputs=report.outputs,
    )


def brought_result(attempt: AttemptRow) -> bool:
    """Return whether an attempt ended with a result of its payload, good or bad."""
    return (
        attempt.how is not None
        and attempt.how not in WITHOUT_RESULT
        and attempt.event != JobEvent.KILLED.value
        and not attempt.open
    )


def _requeue(
    lease: Lease,
    event: JobEvent,
    reason: str,
    *,
    at: float,
    close: bool,
    limits: Losses,
    how: How | None,
) -> Requeue:
    lost = (lease.started or how in LOSS_BEFORE_START) and how not in NO_LOSS
    if lease.wanted is not None:
        event, close = _CARRIED_OUT[lease.wanted], True
        lost = False
        # The user's reason is more useful than the signal that ended the payload.
        reason = lease.wanted_reason or ("" if how is How.KILLED else reason)
    elif lost and lease.losses + 1 >= limits.lost_max:
        event, close = JobEvent.LOST_TOO_OFTEN, True
        reason = f"lost_too_often: {lease.losses + 1} attempts were lost; the last one: {reason}"
    elif how not in WITHOUT_SIGN and lease.epoch >= limits.matched_max:
        # Each pilot that takes it disappears before it can report the start.
        event, close = JobEvent.LOST_TOO_OFTEN, True
        reason = f"lost_too_often: matched {lease.epoch} times; the last end: {reason}"
    return Requeue(
        attempt_id=lease.attempt_id,
        job_id=lease.job,
        epoch=lease.epoch,
        new=next_state(state_of(lease), event),
        at=at,
        event=event.value,
        reason=reason,
        close=close,
        wanted=lease.wanted,
        lost=lost,
        how=how,
    )


def result(lease: Lease, report: Report, *, at: float) -> AttemptResult:
    """Return the change to a job after an `ended` with a result (PROTOCOL C9)."""
    good = report.how is How.EXITED and report.exit_code in lease.success_codes
    if good:
        event, reason = JobEvent.SUCCEEDED, ""
    else:
        event = JobEvent.RETRY if _is_retried(lease, report) else JobEvent.PAYLOAD_FAILED
        reason = _why_failed(lease, report)
        if event is JobEvent.RETRY and lease.wanted is Why.HOLD:
            event = JobEvent.HELD
    usage = report.usage or Usage()
    return AttemptResult(
        attempt_id=lease.attempt_id,
        job_id=lease.job,
        epoch=lease.epoch,
        new=next_state(state_of(lease), event),
        at=at,
        event=event.value,
        reason=reason,
        failed=not good,
        how=report.how or How.OTHER,
        exit_code=report.exit_code,
        detail=report.detail,
        isolation=report.isolation,
        usage=usage,
        outputs=report.outputs,
        started_at=_started_at(lease, report, ended_at=at, usage=usage),
    )


def _is_retried(lease: Lease, report: Report) -> bool:
    if lease.failures >= lease.retries:
        return False
    codes = lease.retry_codes
    return not codes or (report.how is How.EXITED and report.exit_code in codes)


def _started_at(lease: Lease, report: Report, *, ended_at: float, usage: Usage) -> float | None:
    """Return the start time. If it was never reported, derive it from the end and the usage."""
    if report.how is How.NO_START:
        return lease.started_at
    return lease.started_at or (ended_at - usage.wall_s - usage.frozen_s)


def _why_failed(lease: Lease, report: Report) -> str:
    how = report.how or How.OTHER
    if how is How.EXITED:
        return f"exit code {report.exit_code}"
    if how is How.WALL:
        return f"{how.value}: ran longer than its wall_s of {lease.grant.wall_s:g} s"
    has_detail = report.detail not in ("", how.value)
    return f"{how.value}: {report.detail}" if has_detail else how.value
