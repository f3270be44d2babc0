"""Turns rows into records, in the column order of the statements."""

from typing import Any, Final

import msgspec

from pilotage.matcher.types import NO_AMOUNTS, Grant
from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How, Output, Usage, Why

from .record_types import (
    AttemptRow,
    CountRow,
    JobBody,
    JobClassRow,
    JobRow,
    JobStanding,
    LiveAttempt,
    Note,
    ShareLevels,
    SubmissionRecord,
    UncountedReport,
)

DatabaseRow = Any  # a tuple whose columns have different types

_usage: Final = msgspec.json.Decoder(Usage)
_outputs: Final = msgspec.json.Decoder(tuple[Output, ...])
_progress: Final = msgspec.json.Decoder(tuple[tuple[float, str], ...])
_ranges: Final = msgspec.json.Decoder(tuple[tuple[int, int], ...])
_amounts: Final = msgspec.json.Decoder(dict[str, int])
_word: Final = msgspec.json.Decoder(str)


def levels_of(row: DatabaseRow) -> ShareLevels:
    return ShareLevels(at=row[0], levels=msgspec.json.decode(row[1], type=dict[str, float]))


def class_of(row: DatabaseRow) -> JobClassRow:
    return JobClassRow(
        class_id=row[0],
        community=row[1],
        group=row[2],
        owner_id=row[3],
        type=row[4],
        needs=row[5],
        preference=row[6],
    )


def submission_of(row: DatabaseRow) -> SubmissionRecord:
    return SubmissionRecord(
        submission_id=row[0],
        community=row[1],
        owner_id=row[2],
        key=row[3],
        body_hash=row[4],
        name=row[5],
        template=row[6],
        at=row[7],
        complete=bool(row[8]),
        ranges=_ranges.decode(row[9]),
    )


def standing_of(row: DatabaseRow) -> JobStanding:
    return JobStanding(
        job_id=row[0],
        state=JobState(row[1]),
        epoch=row[2],
        round=row[3],
        class_id=row[4],
        priority=row[5],
        retries=row[6],
        failures=row[7],
        losses=row[8],
        queue_until=row[9],
        attempt_id=row[10],
        live=bool(row[11]),
        wanted=_why(row[12]),
        deleted=bool(row[13]),
        pilot=row[14],
        session=row[15],
        site=row[16],
    )


def body_of(row: DatabaseRow, template: bytes | None) -> JobBody:
    return JobBody(
        job_id=row[0],
        template=template,
        body=row[2],
        round=row[3],
        retries=row[4],
        failures=row[5],
        losses=row[6],
    )


def job_of(row: DatabaseRow) -> JobRow:
    return JobRow(
        job_id=row[0],
        submission_id=row[1],
        submission_name=row[2],
        class_id=row[3],
        community=row[4],
        group=row[5],
        owner=row[6],
        owner_id=row[7],
        type=row[8],
        name=row[9],
        state=JobState(row[10]),
        epoch=row[11],
        round=row[12],
        priority=row[13],
        failures=row[14],
        losses=row[15],
        reason=row[16],
        status=_word.decode(row[17]),
        site=row[18],
        pilot=row[19],
        wanted=_why(row[20]),
        exit_code=row[21],
        submitted_at=row[22],
        started_at=row[23],
        ended_at=row[24],
        deleted=bool(row[25]),
        host=row[26],
        cores=row[27],
        memory_mb=row[28],
        usage=None if row[29] is None else _usage.decode(row[29]),
    )


def attempt_of(row: DatabaseRow) -> AttemptRow:
    return AttemptRow(
        attempt_id=row[0],
        job_id=row[1],
        epoch=row[2],
        round=row[3],
        pilot=row[4],
        session=row[5],
        ask=row[6],
        site=row[7],
        element=row[8],
        host=row[9],
        state=None if row[10] is None else JobState(row[10]),
        live=bool(row[11]),
        open=bool(row[12]),
        wanted=_why(row[13]),
        matched_at=row[14],
        started_at=row[15],
        ended_at=row[16],
        how=None if row[17] is None else How(row[17]),
        exit_code=row[18],
        detail=row[19],
        isolation=row[20],
        usage=None if row[21] is None else _usage.decode(row[21]),
        outputs=() if row[22] is None else _outputs.decode(row[22]),
        progress=() if row[23] is None else _progress.decode(row[23]),
        event=row[24],
        reason=row[25],
        lease_s=row[26],
        grant=_grant_of(row[27:]),
    )


def grant_columns(grant: Grant) -> tuple[object, ...]:
    """Return a grant as columns of its attempt, in field order."""
    *numbers, amounts = msgspec.structs.astuple(grant)
    return (*numbers, msgspec.json.encode(dict(amounts)).decode() if amounts else None)


def _grant_of(columns: DatabaseRow) -> Grant:
    *numbers, text = columns
    fields: list[Any] = [*numbers, NO_AMOUNTS if text is None else _amounts.decode(text)]
    return Grant(*fields)


def live_attempt_of(row: DatabaseRow) -> LiveAttempt:
    return LiveAttempt(
        attempt_id=row[0],
        job_id=row[1],
        epoch=row[2],
        round=row[3],
        class_id=row[4],
        priority=row[5],
        pilot=row[6],
        session=row[7],
        ask=row[8],
        site=row[9],
        element=row[10],
        started=bool(row[11]),
        wanted=_why(row[12]),
        retries=row[13],
        failures=row[14],
        losses=row[15],
        queue_until=row[16],
        community=row[17],
        matched_at=row[18],
        live=bool(row[19]),
        reason=row[20],
        lease_s=row[21],
        grant=_grant_of(row[22:]),
    )


def count_of(row: DatabaseRow) -> CountRow:
    return CountRow(
        community=row[0],
        group=row[1],
        owner_id=row[2],
        owner=row[3],
        type=row[4],
        site=row[5],
        state=JobState(row[6]),
        count=row[7],
    )


def evidence_of(row: DatabaseRow) -> UncountedReport:
    return UncountedReport(
        job_id=row[0], epoch=row[1], at=row[2], pilot=row[3], why=row[4], report=row[5]
    )


def note_of(row: DatabaseRow) -> Note:
    return Note(job_id=row[0], at=row[1], who=row[2], event=row[3], detail=row[4])


def _why(word: str | None) -> Why | None:
    return None if word is None else Why(word)
