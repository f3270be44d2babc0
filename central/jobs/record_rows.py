"""Rows into records, in the order of the columns that the statements select."""

from typing import Any, Final

import msgspec

from pilotage.proto.job_states import JobState
from pilotage.proto.messages import How, Output, Usage, Why

from .records import (
    AttemptRow,
    CountRow,
    Evidence,
    JobBody,
    JobClass,
    JobRow,
    Levels,
    LiveAttempt,
    Note,
    Standing,
    SubmissionRecord,
)

Row = Any  # a tuple whose columns have each their own type

_usage: Final = msgspec.json.Decoder(Usage)
_outputs: Final = msgspec.json.Decoder(tuple[Output, ...])
_progress: Final = msgspec.json.Decoder(tuple[tuple[float, str], ...])
_ranges: Final = msgspec.json.Decoder(tuple[tuple[int, int], ...])
_word: Final = msgspec.json.Decoder(str)


def levels_of(row: Row) -> Levels:
    return Levels(at=row[0], levels=msgspec.json.decode(row[1], type=dict[str, float]))


def class_of(row: Row) -> JobClass:
    return JobClass(
        class_id=row[0],
        community=row[1],
        group=row[2],
        owner_id=row[3],
        type=row[4],
        needs=row[5],
        preference=row[6],
    )


def submission_of(row: Row) -> SubmissionRecord:
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


def standing_of(row: Row) -> Standing:
    return Standing(
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


def body_of(row: Row, template: bytes | None) -> JobBody:
    return JobBody(
        job_id=row[0],
        template=template,
        body=row[2],
        round=row[3],
        retries=row[4],
        failures=row[5],
        losses=row[6],
    )


def job_of(row: Row) -> JobRow:
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
    )


def attempt_of(row: Row) -> AttemptRow:
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
        cores=row[10],
        memory_mb=row[11],
        wall_s=row[12],
        state=None if row[13] is None else JobState(row[13]),
        live=bool(row[14]),
        open=bool(row[15]),
        wanted=_why(row[16]),
        matched_at=row[17],
        started_at=row[18],
        ended_at=row[19],
        how=None if row[20] is None else How(row[20]),
        exit_code=row[21],
        detail=row[22],
        isolation=row[23],
        usage=None if row[24] is None else _usage.decode(row[24]),
        outputs=() if row[25] is None else _outputs.decode(row[25]),
        progress=() if row[26] is None else _progress.decode(row[26]),
        event=row[27],
        reason=row[28],
        scratch_mb=row[29],
        gpus=row[30],
        charged_cores=row[31],
        lease_s=row[32],
    )


def live_attempt_of(row: Row) -> LiveAttempt:
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
        cores=row[11],
        memory_mb=row[12],
        wall_s=row[13],
        started=bool(row[14]),
        wanted=_why(row[15]),
        retries=row[16],
        failures=row[17],
        losses=row[18],
        queue_until=row[19],
        community=row[20],
        matched_at=row[21],
        live=bool(row[22]),
        scratch_mb=row[23],
        reason=row[24],
        gpus=row[25],
        charged_cores=row[26],
        lease_s=row[27],
    )


def count_of(row: Row) -> CountRow:
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


def evidence_of(row: Row) -> Evidence:
    return Evidence(job_id=row[0], epoch=row[1], at=row[2], pilot=row[3], why=row[4], report=row[5])


def note_of(row: Row) -> Note:
    return Note(job_id=row[0], at=row[1], who=row[2], event=row[3], detail=row[4])


def _why(word: str | None) -> Why | None:
    return None if word is None else Why(word)
