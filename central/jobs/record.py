"""Reads and writes of jobs and their attempts."""

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from pilotage.proto.job_states import FINAL, JobState

from ..accounts.record_quotas import charge_again
from ..identity.actions import Keep, kept
from ..rucio.outbox_record import release_jobs
from ..store.engine import weighs
from ..store.errors import StoreError
from ..store.session import Session, SqlParameters, json_list
from ..store.writer import NotJoinable
from .record_data import end_with_files, sweep_with_result
from .record_rows import (
    attempt_of,
    body_of,
    count_of,
    evidence_of,
    job_of,
    levels_of,
    live_attempt_of,
    note_of,
    standing_of,
)
from .record_token_classes import also_token_classes
from .record_types import (
    AdriftEnd,
    ApplicationStatus,
    AttemptChange,
    AttemptResult,
    AttemptRow,
    AttemptStart,
    AttemptWant,
    CountRow,
    JobBody,
    JobMove,
    JobRow,
    JobStanding,
    LiveAttempt,
    Note,
    Requeue,
    ShareLevels,
    TakeBack,
    UncountedReport,
)

EVIDENCE_MAX: Final = 8  # stored reports of one attempt and pilot that did not count
NOTES_MAX: Final = 1000  # notes read of one job, since a job can have any number of them

_ENDING: Final = (AttemptResult, Requeue)
_job_of = attrgetter("job_id")


def _one_row(*_: object) -> int:
    return 1


@weighs(_one_row)
def standing(session: Session, job_ids: Sequence[int]) -> dict[int, JobStanding]:
    """Return the standing of each job by id. Unknown ids are omitted.

    Run as a write, it sees all earlier writes.
    """
    found = session.rows("standing", {"ids": json_list(job_ids)})
    return {row[0]: standing_of(row) for row in found}


def move(session: Session, moves: Sequence[JobMove], keep: Keep | None = None) -> list[bool]:
    """Move jobs without a live attempt, with a note for each; return which were moved.

    Raises OverQuota, and moves none, if too many ended jobs would run again.
    """
    won = session.each(
        "move_job",
        [
            {
                "job_id": one.job_id,
                "old": one.old.value,
                "new": one.new.value,
                "reason": one.reason,
                "ended_at": one.at if one.new in FINAL else None,
                "new_round": one.new_round,
                "old_class": one.old_class,
                "new_class": one.new_class,
                "priority": one.priority,
            }
            for one in moves
        ],
    )
    moved = [one for one, changed in zip(moves, won, strict=True) if changed]
    again = [one.job_id for one in moved if one.runs_again]
    if again:
        charge_again(session, again)
    session.many("close_last", [{"job_id": one.job_id} for one in moved if one.close])
    session.many("storing_again", [(one.job_id,) for one in moved if one.new_round])
    back = [one for one in moved if one.new is JobState.WAITING]
    session.many(
        "run_without", [{"job_id": one.job_id, "new_round": one.new_round} for one in back]
    )
    completing = [one for one in moved if one.old is JobState.COMPLETING]
    release_jobs(session, [one.job_id for one in completing])
    killed = [one.job_id for one in completing if one.new is JobState.KILLED]
    session.many("task_has_outputs", [{"job_id": job_id} for job_id in killed])
    changed = {(one.old_class, one.new_class) for one in moved if one.new_class}
    also_token_classes(session, changed)
    _note(
        session,
        [(one.job_id, one.at, one.who, one.event, one.detail or one.reason) for one in moved],
    )
    return kept(session, keep, won)


def want(session: Session, wants: Sequence[AttemptWant], keep: Keep | None = None) -> list[bool]:
    """Set `wanted` of live attempts, with a note for each; return which were written.

    `kill` is never overwritten.
    """
    won = session.each(
        "want",
        [
            {
                "attempt_id": one.attempt_id,
                "job_id": one.job_id,
                "wanted": one.wanted.value,
                "reason": one.reason,
            }
            for one in wants
        ],
    )
    written = [one for one, changed in zip(wants, won, strict=True) if changed]
    _note(session, [(one.job_id, one.at, one.who, one.wanted.value, one.reason) for one in written])
    return kept(session, keep, won)


def delete(
    session: Session, job_ids: Sequence[int], at: float, who: str, keep: Keep | None = None
) -> list[bool]:
    """Mark final jobs as deleted; return which were marked."""
    won = session.each("delete_job", [{"job_id": job_id} for job_id in job_ids])
    _note(session, [(i, at, who, "deleted", "") for i in _winners(job_ids, won)])
    return kept(session, keep, won)


def set_priority(
    session: Session,
    job_ids: Sequence[int],
    priority: int,
    at: float,
    who: str,
    keep: Keep | None = None,
) -> list[bool]:
    """Change the priority of jobs that are not final; return which were changed."""
    won = session.each("set_priority", [{"job_id": i, "priority": priority} for i in job_ids])
    _note(session, [(i, at, who, "priority", str(priority)) for i in _winners(job_ids, won)])
    return kept(session, keep, won)


def bodies(session: Session, job_ids: Sequence[int]) -> dict[int, JobBody]:
    """Return the bodies of jobs by id. Unknown ids are omitted."""
    found = session.rows("bodies", {"ids": json_list(job_ids)})
    return {row[0]: body_of(row, session.template(row[1])) for row in found}


def job(session: Session, job_id: int) -> JobRow | None:
    """Return a job, or None if it does not exist."""
    found = session.one("job_rows", {"ids": json_list([job_id])})
    return None if found is None else job_of(found)


def jobs(session: Session, job_ids: Sequence[int]) -> dict[int, JobRow]:
    """Return jobs by id, all read at one moment. Unknown ids are omitted."""
    if not job_ids:
        return {}
    rows = session.rows("job_rows", {"ids": json_list(job_ids)})
    return {job.job_id: job for job in map(job_of, rows)}


def counts(session: Session) -> list[CountRow]:
    """Return the numbers of visible, undeleted jobs, for the counters in memory."""
    return [count_of(row) for row in session.rows("counts", {})]


def notes(session: Session, job_id: int) -> list[Note]:
    """Return the newest NOTES_MAX notes of a job, oldest first."""
    fields = {"job_id": job_id, "limit": NOTES_MAX}
    return [note_of(row) for row in session.rows("notes", fields)]


def ids_given(session: Session) -> dict[str, int]:
    """Return the next id of each kind, as committed. It never decreases."""
    return {row[0]: row[1] for row in session.rows("next_ids", {})}


def evidence(session: Session, job_id: int) -> list[UncountedReport]:
    """Return the reports about a job that did not count."""
    return [evidence_of(row) for row in session.rows("evidence", {"job_id": job_id})]


def attempts(session: Session, job_id: int) -> list[AttemptRow]:
    """Return all attempts of a job, oldest first."""
    return [attempt_of(row) for row in session.rows("attempts", {"job_id": job_id})]


def live_attempts(session: Session) -> list[LiveAttempt]:
    """Return all live attempts, and open attempts of jobs that wait again."""
    return [live_attempt_of(row) for row in session.rows("live_attempts", {})]


def levels(session: Session) -> ShareLevels | None:
    """Return the levels stored last, or None."""
    found = session.one("levels", {})
    return None if found is None else levels_of(found)


def reserve_attempts(session: Session, count: int) -> int:
    """Reserve `count` attempt ids; return the first."""
    return session.reserve("attempt", count)


def _winners(job_ids: Sequence[int], won: Sequence[bool]) -> list[int]:
    return [job_id for job_id, changed in zip(job_ids, won, strict=True) if changed]


def _note(session: Session, notes: Sequence[tuple[int, float, str, str, str]]) -> None:
    names = ("job_id", "at", "who", "event", "detail")
    session.many("insert_note", [dict(zip(names, note, strict=True)) for note in notes])


# -- attempts -----------------------------------------------------------------------------------


def change(session: Session, changes: Sequence[AttemptChange]) -> list[bool]:
    """Apply changes; return which were written.

    Changes of one job keep their order. Jobs are sorted by id, because neighbours share pages.
    """
    won = [False] * len(changes)
    ended: dict[int, tuple[object, ...]] = {}  # rows of jobs, not written yet
    for i in sorted(range(len(changes)), key=lambda i: changes[i].job_id):
        one = changes[i]
        if one.job_id in ended:  # this change must see the job's row after the earlier change
            _end_jobs(session, ended)
        if isinstance(one, AttemptResult) and one.publication is not None:
            one, won[i] = end_with_files(session, one, partial(_write_end, session))
            if won[i]:
                ended[one.job_id] = _job_row(one)
            continue
        if isinstance(one, AttemptResult) and one.swept is not None:
            won[i] = sweep_with_result(session, one, partial(_write_end, session))
            if won[i]:
                ended[one.job_id] = _job_row(one)
            continue
        statement, row = _attempt_row(one)
        won[i] = session.run(statement, row).rowcount == 1
        if won[i] and isinstance(one, _ENDING):
            ended[one.job_id] = _job_row(one)
    _end_jobs(session, ended)
    return won


def _write_end(session: Session, end: AttemptResult) -> bool:
    return session.run("end_attempt", _end_row(end)).rowcount == 1


def _end_jobs(session: Session, rows: dict[int, tuple[object, ...]]) -> None:
    """Write rows of jobs. Their attempts were live or adrift, so the rows must say Waiting."""
    if session.many("end_job", list(rows.values())) != len(rows):
        raise StoreError(f"one of the jobs {list(rows)} is not Waiting, but its attempt was open")
    rows.clear()


def change_all(session: Session, changes: Sequence[AttemptChange]) -> list[bool]:
    """Apply changes with one statement for each kind; return which were written.

    Raises NotJoinable if one loses its race, or if a job has several changes, whose order matters.
    Results that publish files or report swept remnants are still applied one by one.
    """
    if len({one.job_id for one in changes}) < len(changes):
        raise NotJoinable
    rows: defaultdict[str, list[SqlParameters]] = defaultdict(list)
    ended: dict[int, tuple[object, ...]] = {}
    publishing: list[AttemptChange] = []
    for one in sorted(changes, key=_job_of):  # neighbours share pages
        if isinstance(one, AttemptResult) and (
            one.publication is not None or one.swept is not None
        ):
            publishing.append(one)
            continue
        statement, row = _attempt_row(one)
        rows[statement].append(row)
        if isinstance(one, _ENDING):
            ended[one.job_id] = _job_row(one)
    for statement, its in rows.items():
        if session.many(statement, its) != len(its):
            raise NotJoinable
    _end_jobs(session, ended)
    if not publishing:
        return [True] * len(changes)
    won = dict(zip(map(_job_of, publishing), change(session, publishing), strict=True))
    return [won.get(one.job_id, True) for one in changes]


def _attempt_row(one: AttemptChange) -> tuple[str, SqlParameters]:
    """Return the compare-and-set statement of a change, and its parameters."""
    match one:
        case AttemptStart():
            return "start_attempt", (one.attempt_id, one.job_id, one.at, one.isolation)
        case AttemptResult():
            return "end_attempt", _end_row(one)
        case Requeue():
            return "requeue_attempt", _requeue_row(one)
        case ApplicationStatus():
            entry = msgspec.json.encode([one.at, one.status]).decode()
            ids = {"attempt_id": one.attempt_id, "job_id": one.job_id}
            return "add_progress", {**ids, "entry": entry}
        case TakeBack():
            return "take_back", msgspec.structs.asdict(one)
        case AdriftEnd():
            whose = (one.attempt_id, one.job_id, one.epoch)
            return "leave_attempt", (*whose, one.how.value, *_reported(one))


def _job_row(one: AttemptResult | Requeue) -> tuple[object, ...]:
    failed = isinstance(one, AttemptResult) and one.failed
    lost = isinstance(one, Requeue) and one.lost
    ended_at = one.at if one.new in FINAL else None
    return (
        one.job_id,
        one.new.value,
        one.epoch,
        one.attempt_id,
        failed,
        lost,
        one.reason,
        ended_at,
    )


def _end_row(one: AttemptResult) -> tuple[object, ...]:
    return (
        one.attempt_id,
        one.job_id,
        one.epoch,
        one.at,
        one.how.value,
        one.exit_code,
        one.event,
        one.reason,
        one.detail,
        one.isolation,
        msgspec.json.encode(one.usage).decode(),
        msgspec.json.encode(one.outputs).decode(),
        one.started_at,
    )


def _requeue_row(one: Requeue) -> tuple[object, ...]:
    return (
        one.attempt_id,
        one.job_id,
        one.epoch,
        one.wanted.value if one.wanted else None,
        not one.close,
        one.at,
        one.how.value if one.how else None,
        one.event,
        one.reason,
        *_reported(one),
    )


def _reported(one: Requeue | AdriftEnd) -> tuple[object, ...]:
    """Return the columns that a pilot reported about an attempt without a result."""
    return (
        one.detail,
        one.isolation,
        msgspec.json.encode(one.usage).decode() if one.usage is not None else None,
        msgspec.json.encode(one.outputs).decode() if one.outputs else None,
    )


def keep_levels(session: Session, levels: ShareLevels) -> None:
    """Replace the stored levels."""
    fields = {"at": levels.at, "levels": msgspec.json.encode(levels.levels).decode()}
    session.run("keep_levels", fields)


def keep_evidence(session: Session, evidence: Sequence[UncountedReport]) -> None:
    """Store reports that did not count, at most EVIDENCE_MAX for one attempt and pilot."""
    rows = [{**msgspec.structs.asdict(one), "most": EVIDENCE_MAX} for one in evidence]
    session.many("insert_evidence", rows)


def attempts_of_jobs(session: Session, job_ids: Sequence[int]) -> dict[int, list[AttemptRow]]:
    """Return all attempts of the given jobs, oldest first. Deleted jobs are omitted."""
    rows = session.rows("attempts_of_jobs", {"ids": json_list(job_ids)})
    found = [attempt_of(row) for row in rows]
    return {job: list(several) for job, several in groupby(found, key=attrgetter("job_id"))}
