"""The class of a failed attempt, as a table that can be read without Python, and as properties."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from pilotage.central.jobs.failure_class import (
    class_of,
    class_of_change,
    classify,
    evidence_of,
    with_memory_words,
)
from pilotage.central.jobs.record_types import AttemptRow
from pilotage.central.jobs.verdicts import (
    WITHOUT_RESULT,
    Losses,
    lease_over,
    result,
    without_result,
)
from pilotage.matcher.types import Grant
from pilotage.proto.failures import WORDS, Evidence, FailureClass, fingerprint
from pilotage.proto.messages import How, Usage, Why

from ...builders import a_lease, an_ended

#  how               code  signal  memory  detail                                    class
TABLE = """
   lease_over        -     -       -       -                                         preempted
   drained           -     -       -       -                                         preempted
   lost              -     -       -       seen dead                                 preempted
   declined          -     -       -       it fits no more                           preempted
   signalled         -     15      -       signal 15                                 preempted
   exited            143   -       -       -                                         preempted
   software          -     -       -       image /cvmfs/x.sif is not on this node    infra.node
   no_start          -     -       -       Resource temporarily unavailable          infra.node
   input             -     -       -       its data have 9 MB, the disk has 3 MB     infra.node
   input             -     -       -       a:b: disk: time-out                       infra.data
   input             -     -       -       a:b: no copy of it is known               infra.data
   no_start          -     -       -       a:b: it is Lost                           data.missing
   no_start          -     -       -       a:b: disk: it is not there: 404           data.missing
   no_start          -     -       -       a:b: disk: its adler32 is 1               data.missing
   memory            -     -       -       -                                         limit.memory
   signalled         -     9       0.96    signal 9                                  limit.memory
   exited            137   -       0.95    -                                         limit.memory
   exited            1     -       -       MemoryError                               limit.memory
   signalled         -     6       -       signal 6; std::bad_alloc                  limit.memory
   wall              -     -       -       -                                         limit.time
   cpu               -     -       -       -                                         limit.time
   stalled           -     -       -       -                                         limit.time
   signalled         -     24      -       signal 24                                 limit.time
   exited            1     -       0.99    -                                         payload
   signalled         -     11      0.99    signal 11                                 payload
   signalled         -     4       -       signal 4                                  payload
   exited            139   -       -       -                                         payload
   scratch           -     -       -       -                                         payload
   streams           -     -       -       -                                         payload
   processes         -     -       -       -                                         payload
   output            0     -       -       no file matches *.h5                      payload.output
   quota             0     -       -       out was not stored: 403 over_quota        limit.quota
   storage           0     -       -       eos: full                                 infra.storage
   exited            126   -       -       -                                         config
   exited            127   -       -       -                                         config
   no_start          -     -       -       /no/such cannot be started: No such file  config
   no_start          -     -       -       its data have 9 MB, and scratch_mb is 3   config
   stale             -     -       -       -                                         internal
   unreadable_report -     -       -       -                                         internal
   killed            -     -       -       -                                         internal
   signalled         -     9       0.5     signal 9                                  unknown
   other             -     -       -       -                                         unknown
"""
LIMIT_MB = 1_000


def rows() -> list[list[str]]:
    return [list[str](line.split(maxsplit=4)) for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize("row", rows(), ids=" ".join)
def test_the_table(row: list[str]) -> None:
    how, code, signal, memory, rest = row
    detail, found = rest.rsplit(maxsplit=1)
    evidence = Evidence(
        how=None if how == "lease_over" else How(how),
        exit_code=None if code == "-" else int(code),
        signal=None if signal == "-" else int(signal),
        memory_mb=LIMIT_MB,
        memory_peak_mb=0.0 if memory == "-" else float(memory) * LIMIT_MB,
        detail=detail.strip().removeprefix("-"),
    )

    assert classify(evidence) is FailureClass(found)


def test_every_class_has_words_and_a_row() -> None:
    assert set(WORDS) == set(FailureClass)
    assert {row[-1].rsplit(maxsplit=1)[-1] for row in rows()} == {one.value for one in FailureClass}


EVIDENCE = st.builds(
    Evidence,
    how=st.sampled_from([None, *How]),
    succeeded=st.booleans(),
    wanted=st.sampled_from([None, *Why]),
    costs=st.booleans(),
    refused=st.booleans(),
    exit_code=st.none() | st.integers(-(2**31), 2**31),
    signal=st.none() | st.integers(-1, 200),
    memory_peak_mb=st.floats(0, 1e9),
    memory_mb=st.integers(0, 10**6),
    detail=st.text(max_size=60),
)


@given(EVIDENCE)
def test_every_end_has_one_class_or_is_no_failure(evidence: Evidence) -> None:
    found = classify(evidence)

    wished = evidence.wanted in (Why.KILL, Why.HOLD, Why.RESCHEDULE)
    goes_on = evidence.how is How.CHECKPOINTED and not evidence.costs
    assert (found is None) == (evidence.succeeded or wished or goes_on)
    assert classify(evidence) is found


def attempt(how: How | None, event: str, **values: Any) -> AttemptRow:
    row = AttemptRow(
        attempt_id=1,
        job_id=7,
        epoch=1,
        round=1,
        pilot="p1",
        session=1,
        ask=1,
        site="PIC",
        element="ce1",
        host="n1",
        grant=Grant(1, LIMIT_MB, 0, 600.0),
        state=None,
        live=False,
        open=False,
        wanted=None,
        matched_at=1.0,
        started_at=2.0,
        ended_at=3.0,
        how=how,
        exit_code=None,
        detail="",
        isolation="",
        usage=None,
        outputs=(),
        progress=(),
        event=event,
    )
    return msgspec.structs.replace(row, **values)


def test_what_is_kept_of_an_attempt_gives_the_class_that_was_counted_at_its_end() -> None:
    lease, limits = a_lease(), Losses(10, 100)
    lease.success_codes = (0,)
    for how in How:
        for code in (0, 1, 127, 137):
            report = an_ended(how=how, exit_code=code, detail="")
            end = result(lease, report, at=9.0)
            row = attempt(
                how, end.event, exit_code=code, reason=end.reason, usage=Usage(wall_s=1.0)
            )
            assert class_of_change(lease, end) is classify(evidence_of(row)), (how, code)
        if how not in WITHOUT_RESULT:
            continue
        requeue = without_result(lease, an_ended(how=how), at=9.0, limits=limits)
        row = attempt(how, requeue.event, reason=requeue.reason)
        assert class_of_change(lease, requeue) is classify(evidence_of(row)), how
    over = lease_over(lease, at=9.0, silent_s=50.0, limits=limits)

    assert class_of_change(lease, over) is FailureClass.PREEMPTED


def test_a_good_result_that_the_catalogue_does_not_take_is_a_matter_of_its_outputs() -> None:
    row = attempt(
        How.EXITED, "payload_failed", exit_code=0, reason="its data are not published: a:b"
    )

    assert classify(evidence_of(row)) is FailureClass.OUTPUT


def test_what_is_written_to_standard_error_tells_of_memory_and_of_likeness() -> None:
    row = attempt(How.EXITED, "retry", exit_code=1, reason="exit code 1")
    one = b"Traceback\n  File '/data/12/x.py', line 3\nValueError: bad run 101\n"
    other = b"Traceback\n  File '/scratch/a/x.py', line 3\nValueError: bad run 2044\n"

    said = with_memory_words("gone", b"terminate: std::bad_alloc")
    told = msgspec.structs.replace(row, detail=said)
    assert said == "standard error says 'bad_alloc'; gone"
    assert with_memory_words(said, b"MemoryError") == said
    assert with_memory_words("gone", one) == "gone"
    assert class_of(told) is classify(evidence_of(told, stderr=one)) is FailureClass.MEMORY
    assert classify(evidence_of(row, stderr=one)) is FailureClass.PAYLOAD
    assert fingerprint(one) == fingerprint(other) != fingerprint(b"Segmentation fault\n")
    assert fingerprint(b"") == fingerprint(b" \n\n") == ""


def test_what_somebody_wished_is_no_failure_and_a_lost_pilot_is_none_of_the_payload() -> None:
    for wanted in (Why.KILL, Why.HOLD, Why.RESCHEDULE):
        assert classify(evidence_of(attempt(How.KILLED, "killed", wanted=wanted))) is None
    itself = attempt(How.EXITED, "held", wanted=Why.HOLD, exit_code=1, reason="exit code 1")
    assert classify(evidence_of(itself)) is FailureClass.PAYLOAD
    assert classify(evidence_of(attempt(How.CHECKPOINTED, "lost"))) is None
    assert classify(evidence_of(attempt(How.CHECKPOINTED, "retry"))) is FailureClass.TIME
    assert classify(evidence_of(attempt(None, "lease_over"))) is FailureClass.PREEMPTED
