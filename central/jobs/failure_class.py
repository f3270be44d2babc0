"""What an attempt failed of: from what the central knows of it to one of thirteen classes. Pure.

A table, read from above: the first row that fits decides. Who noticed and in which phase says
most (`How`); exit code, signal, memory and words refine it.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from pilotage.proto.failures import Evidence, FailureClass, fingerprint
from pilotage.proto.job_states import JobEvent
from pilotage.proto.messages import How, Why

from .leases import Lease
from .record_types import AttemptResult, AttemptRow, Change, Requeue
from .verdicts import brought_result

NEAR_LIMIT: Final = 0.95  # of the memory given: who dies there died of it
SHELL_SIGNAL: Final = 128  # a shell, and a rung of isolation, end with this and the signal
CANNOT_RUN: Final = (126, 127)  # a shell's words for a command that is none
KILL, TERM, XCPU = 9, 15, 24
DETAIL_READ: Final = 4_096

_C = FailureClass
_MEMORY_WORDS: Final = re.compile(
    r"bad_alloc|MemoryError|out of memory|oom.?kill|cannot allocate memory", re.IGNORECASE
)
# What the pilot says where no other node has more of a file: `stage_in` and the catalogue.
_NO_COPY: Final = re.compile(
    r"it is (lost|removed|not there)\b|its (adler32|sha256) is|that the file has", re.IGNORECASE
)
_NODE_WORDS: Final = re.compile(
    r"no space left|the disk has|resource temporarily unavailable|cannot allocate memory"
    r"|too many open files|input/output error|stale file handle|no pipe",
    re.IGNORECASE,
)
_SIGNAL: Final = re.compile(r"\bsignal (\d{1,2})\b")

Test = Callable[[Evidence], bool]


class FailureClassRule(NamedTuple):
    """One row of the table: ends of this kind for which the test holds are of the class."""

    hows: tuple[How | None, ...]
    found: FailureClass
    test: Test | None = None


def _died_of(*signals: int) -> Test:
    return lambda one: signal_of(one) in signals


def _in(words: re.Pattern[str]) -> Test:
    return lambda one: words.search(one.detail[:DETAIL_READ]) is not None


def _at_its_memory(one: Evidence) -> bool:
    near = 0 < one.memory_mb * NEAR_LIMIT <= one.memory_peak_mb
    return one.oom or _in(_MEMORY_WORDS)(one) or (near and signal_of(one) == KILL)


def _not_taken(one: Evidence) -> bool:
    return one.refused


def _no_command(one: Evidence) -> bool:
    return one.exit_code in CANNOT_RUN


_BY_ITSELF: Final = (How.EXITED, How.SIGNALLED)

TABLE: Final = (
    FailureClassRule((None, How.DRAINED, How.LOST, How.DECLINED), _C.PREEMPTED),
    FailureClassRule((How.SOFTWARE,), _C.NODE),
    FailureClassRule((How.INPUT,), _C.NODE, _in(_NODE_WORDS)),
    FailureClassRule((How.INPUT,), _C.DATA),
    FailureClassRule((How.NO_START,), _C.MISSING, _in(_NO_COPY)),
    FailureClassRule((How.NO_START,), _C.NODE, _in(_NODE_WORDS)),
    FailureClassRule((How.NO_START,), _C.CONFIG),
    FailureClassRule((How.MEMORY,), _C.MEMORY),
    FailureClassRule((How.WALL, How.CPU, How.STALLED, How.CHECKPOINTED), _C.TIME),
    FailureClassRule((How.EXITED,), _C.OUTPUT, _not_taken),
    FailureClassRule(_BY_ITSELF, _C.MEMORY, _at_its_memory),
    FailureClassRule(_BY_ITSELF, _C.TIME, _died_of(XCPU)),
    FailureClassRule(_BY_ITSELF, _C.PREEMPTED, _died_of(TERM)),  # not ours: the batch system's
    FailureClassRule(_BY_ITSELF, _C.UNKNOWN, _died_of(KILL)),
    FailureClassRule((How.EXITED,), _C.CONFIG, _no_command),
    FailureClassRule((*_BY_ITSELF, How.SCRATCH, How.STREAMS, How.PROCESSES), _C.PAYLOAD),
    FailureClassRule((How.OUTPUT,), _C.OUTPUT),
    FailureClassRule((How.QUOTA,), _C.QUOTA),
    FailureClassRule((How.STORAGE,), _C.STORAGE),
    FailureClassRule((How.KILLED, How.STALE, How.UNREADABLE_REPORT), _C.INTERNAL),
    FailureClassRule((How.OTHER,), _C.UNKNOWN),
)
_ROWS: Final[dict[How | None, tuple[FailureClassRule, ...]]] = {
    how: tuple(row for row in TABLE if how in row.hows) for how in (None, *How)
}


def signal_of(evidence: Evidence) -> int | None:
    """Return the signal that ended the payload, also where a shell says it for it."""
    if evidence.signal is not None:
        return evidence.signal
    code = evidence.exit_code
    if code is not None and SHELL_SIGNAL < code <= SHELL_SIGNAL + 64:
        return code - SHELL_SIGNAL
    return None


def classify(evidence: Evidence) -> FailureClass | None:
    """Return the class of a failure, None where there is none.

    None is for what did well, ended since somebody wished it, or goes on from its checkpoint.
    """
    if evidence.succeeded or evidence.wanted not in (None, Why.OTHER):
        return None
    if evidence.how is How.CHECKPOINTED and not evidence.costs:
        return None
    for row in _ROWS[evidence.how]:
        if row.test is None or row.test(evidence):
            return row.found
    raise AssertionError(f"no row of the table is for {evidence.how}")


def evidence_of(attempt: AttemptRow, *, stderr: bytes = b"", host_failed: int = 0) -> Evidence:
    """Return what is known of an attempt that is over.

    `stderr` is the end of its standard error, where somebody has read it; `host_failed` how many
    other jobs failed on its host lately.
    """
    usage = attempt.usage
    return Evidence(
        how=attempt.how,
        succeeded=attempt.event == JobEvent.SUCCEEDED.value,
        wanted=None if brought_result(attempt) else attempt.wanted,
        costs=attempt.event in _COSTS,
        refused=_refused(attempt.how, attempt.reason),
        exit_code=attempt.exit_code,
        signal=_signal_in(attempt.how, attempt.detail),
        oom=bool(stderr) and _MEMORY_WORDS.search(stderr.decode(errors="replace")) is not None,
        memory_peak_mb=usage.memory_peak_mb if usage is not None else 0.0,
        memory_mb=attempt.grant.memory_mb,
        cpu_s=usage.cpu_s if usage is not None else 0.0,
        wall_s=usage.wall_s if usage is not None else 0.0,
        wall_limit_s=attempt.grant.wall_s,
        detail=attempt.detail,
        fingerprint=fingerprint(stderr),
        host=attempt.host,
        pilot=attempt.pilot,
        site=attempt.site,
        host_failed=host_failed,
    )


_COSTS: Final = (JobEvent.RETRY.value, JobEvent.PAYLOAD_FAILED.value)


def class_of(attempt: AttemptRow) -> FailureClass | None:
    """Return what an attempt failed of; None while it lives and where it has not failed."""
    return None if attempt.ended_at is None else classify(evidence_of(attempt))


def class_of_change(lease: Lease, change: Change) -> FailureClass | None:
    """Return what the attempt of a lease failed of, by the change that ends it.

    Of an attempt that is adrift (`Left`) nothing is said: its class was told when its lease ended.
    """
    match change:
        case AttemptResult() if change.failed:
            return classify(
                Evidence(
                    how=change.how,
                    costs=True,
                    refused=_refused(change.how, change.reason),
                    exit_code=change.exit_code,
                    signal=_signal_in(change.how, change.detail),
                    memory_peak_mb=change.usage.memory_peak_mb,
                    memory_mb=lease.grant.memory_mb,
                    detail=change.detail,
                )
            )
        case Requeue() if change.wanted is None:
            return classify(Evidence(how=change.how, detail=change.detail))
        case _:
            return None


def _refused(how: How | None, reason: str) -> bool:
    """Whether a result that was good was not taken: then its reason is no exit code."""
    return how is How.EXITED and bool(reason) and not reason.startswith("exit code")


def _signal_in(how: How | None, detail: str) -> int | None:
    found = _SIGNAL.search(detail[:DETAIL_READ]) if how is How.SIGNALLED else None
    return int(found[1]) if found is not None else None
