"""Classifies failed attempts into one of thirteen classes, by the evidence about them. Pure.

A table decides: the first row that fits gives the class. The kind of the end (`How`) matters most.
Exit code, signal, memory and words in the output refine the choice.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from pilotage.proto.failures import Evidence, FailureClass, fingerprint
from pilotage.proto.job_states import JobEvent
from pilotage.proto.messages import How, Why

from .leases import Lease
from .record_types import AttemptChange, AttemptResult, AttemptRow, Requeue
from .verdicts import brought_result

NEAR_LIMIT: Final = 0.95  # share of the memory limit; a killed payload above it ran out of memory
SHELL_SIGNAL: Final = 128  # after a signal, shells and isolation exit with this plus the signal
CANNOT_RUN: Final = (126, 127)  # exit codes of a shell for a command that cannot run
KILL, TERM, XCPU = 9, 15, 24
DETAIL_READ: Final = 4_096

_C = FailureClass
_MEMORY_WORDS: Final = re.compile(
    r"bad_alloc|MemoryError|out of memory|oom.?kill|cannot allocate memory", re.IGNORECASE
)
# Messages of the pilot (`stage_in`) and the catalogue about files that no node can read.
_NO_COPY: Final = re.compile(
    r"it is (lost|removed|not there)\b|its (adler32|sha256) is|that the file has", re.IGNORECASE
)
_NODE_WORDS: Final = re.compile(
    r"no space left|the disk has|resource temporarily unavailable|cannot allocate memory"
    r"|too many open files|input/output error|stale file handle|no pipe",
    re.IGNORECASE,
)
_SIGNAL: Final = re.compile(r"\bsignal (\d{1,2})\b")

EvidenceTest = Callable[[Evidence], bool]


class FailureClassRule(NamedTuple):
    """One row of the table: ends of these kinds that pass the test have the class `found`."""

    hows: tuple[How | None, ...]
    found: FailureClass
    test: EvidenceTest | None = None


def _died_of(*signals: int) -> EvidenceTest:
    return lambda one: signal_of(one) in signals


def _in(words: re.Pattern[str]) -> EvidenceTest:
    return lambda one: words.search(one.detail[:DETAIL_READ]) is not None


def _at_its_memory(one: Evidence) -> bool:
    near = 0 < one.memory_mb * NEAR_LIMIT <= one.memory_peak_mb
    return _in(_MEMORY_WORDS)(one) or (near and signal_of(one) == KILL)


def _not_taken(one: Evidence) -> bool:
    return one.refused


def _no_command(one: Evidence) -> bool:
    return one.exit_code in CANNOT_RUN


BY_ITSELF: Final = (How.EXITED, How.SIGNALLED)

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
    FailureClassRule(BY_ITSELF, _C.MEMORY, _at_its_memory),
    FailureClassRule(BY_ITSELF, _C.TIME, _died_of(XCPU)),
    FailureClassRule(BY_ITSELF, _C.PREEMPTED, _died_of(TERM)),  # the batch system sent it
    FailureClassRule(BY_ITSELF, _C.UNKNOWN, _died_of(KILL)),
    FailureClassRule((How.EXITED,), _C.CONFIG, _no_command),
    FailureClassRule((*BY_ITSELF, How.SCRATCH, How.STREAMS, How.PROCESSES), _C.PAYLOAD),
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
    """Return the signal that ended the payload, even if only a shell's exit code shows it."""
    if evidence.signal is not None:
        return evidence.signal
    code = evidence.exit_code
    if code is not None and SHELL_SIGNAL < code <= SHELL_SIGNAL + 64:
        return code - SHELL_SIGNAL
    return None


def classify(evidence: Evidence) -> FailureClass | None:
    """Return the class of a failure, or None if the attempt did not fail.

    An attempt did not fail if it succeeded, if a user ended it, or if it continues from its
    checkpoint.
    """
    if evidence.succeeded or evidence.wanted not in (None, Why.OTHER):
        return None
    if evidence.how is How.CHECKPOINTED and not evidence.costs:
        return None
    for row in _ROWS[evidence.how]:
        if row.test is None or row.test(evidence):
            return row.found
    raise AssertionError(f"no row of the table fits {evidence.how}")


def evidence_of(attempt: AttemptRow, *, stderr: bytes = b"", host_failed: int = 0) -> Evidence:
    """Return the evidence about an ended attempt.

    `stderr` is the end of its standard error, if it was read: it makes failures alike, but changes
    no class (`with_memory_words`). `host_failed` is the number of other
    jobs that failed on its host recently.
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


def with_memory_words(detail: str, stderr: bytes) -> str:
    """Return the detail of a failed payload, with words about memory from its standard error.

    The detail is stored with the attempt, so its class is the same in counts, answers and rules.
    """
    found = _MEMORY_WORDS.search(stderr.decode(errors="replace"))
    if found is None or _MEMORY_WORDS.search(detail[:DETAIL_READ]) is not None:
        return detail
    said = f"standard error says {found[0]!r}"
    return f"{said}; {detail}" if detail else said  # in front: only its start is classified


_COSTS: Final = (JobEvent.RETRY.value, JobEvent.PAYLOAD_FAILED.value)


def class_of(attempt: AttemptRow) -> FailureClass | None:
    """Return the failure class of an attempt, or None if it is live or did not fail."""
    return None if attempt.ended_at is None else classify(evidence_of(attempt))


def class_of_change(lease: Lease, change: AttemptChange) -> FailureClass | None:
    """Return the failure class of a lease's attempt, by the change that ends it.

    For an attempt that is adrift (`AdriftEnd`) it returns None, because the attempt was classified
    when its lease ended.
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
    """Return whether a good result was refused. Then its reason is not an exit code."""
    return how is How.EXITED and bool(reason) and not reason.startswith("exit code")


def _signal_in(how: How | None, detail: str) -> int | None:
    found = _SIGNAL.search(detail[:DETAIL_READ]) if how is How.SIGNALLED else None
    return int(found[1]) if found is not None else None
