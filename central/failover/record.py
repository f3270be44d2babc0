"""Stores the state of failover: counters of transformations, ends of tasks, and reports."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.catalogue import Did
from pilotage.proto.ids import ID_MAX
from pilotage.proto.transformation_states import InputState, TaskState

from ..catalogue import record_files as file_records
from ..store.engine import weighs
from ..store.session import Session, json_list
from ..transformations.record import InputMove, TransformationMove

# Reason of a job that failover has killed because its inputs go to another task. Queries count the
# jobs by this text.
REASSIGNED: Final = "failover: lost too often, its inputs go to another task"
LOST_TOO_OFTEN: Final = "lost_too_often:"  # the reason of a Held job begins with it
BACKFILL_MAX: Final = 1_000  # tasks that had ended before failover began with their transformation
DROPPED_MAX: Final = 1_000  # old reports that one call deletes


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class FailoverRow(_Record, frozen=True, kw_only=True):
    """The state of failover for a transformation after its last cycle."""

    transformation_id: int
    cycle: int = 0  # cycles that stored something
    flushes: int = 0
    inputs: int = 0  # number of inputs at that time
    judged_from: float = 0.0  # tasks that ended before this time are not in `first` and `last`
    first: tuple[str, ...] = ()  # failures of its first tasks; empty: success
    last: tuple[str, ...] = ()  # of its last tasks, the newest last
    said: tuple[str, ...] = ()  # conditions that were reported: they are not reported again


class EndedTask(_Record, frozen=True, kw_only=True):
    """An ended task that no cycle has checked yet."""

    transformation_id: int
    task_id: int
    number: int
    job_id: int
    state: TaskState
    ended_at: float
    decisions: bytes = b""  # JSON, as noted when the task ended


class TaskDecision(_Record, frozen=True, kw_only=True):
    """The decisions about the end of a task."""

    transformation_id: int
    task_id: int
    said: bytes  # JSON


class HeldTask(_Record, frozen=True, kw_only=True):
    """A task whose job is Held because its attempts were lost too often."""

    transformation_id: int
    task_id: int
    number: int
    job_id: int
    inputs: int  # of the task
    reassigned: int  # how often its inputs were reassigned: the highest number


class OddInput(_Record, frozen=True, kw_only=True):
    """An input that a task was made of, in its present state; side inputs are not among them."""

    file_id: int
    input_no: int
    state: InputState
    is_own: bool = True  # no other task has had it since
    other_did: bool = False  # another task has, and is Done
    errors: int = 0
    replays: int = 0
    is_there: bool = True  # in the catalogue, neither Lost nor Removed


class OddTask(_Record, frozen=True, kw_only=True):
    """A task that does not agree with its inputs or outputs."""

    transformation_id: int
    task_id: int
    number: int
    job_id: int
    state: TaskState | None  # None: the task does not exist
    inputs: tuple[OddInput, ...] = ()
    outputs: int = 0  # files that its job has published
    outputs_gone: int = 0  # of them, Lost or Removed
    outputs_lost: int = 0  # of these, Lost
    is_read: bool = False  # a Done task or job has read one of them, or an unfinished one will


class TaskRepair(_Record, frozen=True, kw_only=True):
    """The changes that make a task agree with its inputs and outputs: all of them, or none."""

    task_id: int
    old: TaskState | None  # None: the task does not exist, and only its inputs move
    new: TaskState | None
    reason: str = ""  # of the new state
    inputs: tuple[InputMove, ...] = ()  # of one transformation, which had this task last
    clean: bool = False  # remove the remaining outputs, unless another task or job has read one


class NewReport(_Record, frozen=True, kw_only=True):
    cause: str  # a FailureClass, or an action
    title: str
    saved: int
    for_people: int
    body: bytes  # JSON of failover.report.Report


class CycleRecord(_Record, frozen=True, kw_only=True):
    """The decisions of one cycle about one transformation, stored together or not at all."""

    row: FailoverRow  # the present state; its cycle is `was` + 1
    was: int  # the number of the cycle before
    seen: tuple[int, ...] = ()  # tasks that were checked
    flush: bool = False
    move: TransformationMove | None = None
    reports: tuple[NewReport, ...] = ()
    mends: tuple[TaskRepair, ...] = ()
    mail: bool = False  # mail the reports
    at: float = 0.0


class ReportRow(_Record, frozen=True, kw_only=True):
    """A report and the state of its mail."""

    report_id: int
    transformation_id: int
    name: str  # of the transformation
    community: str
    cycle: int
    cause: str
    at: float
    title: str
    saved: int
    for_people: int
    body: bytes
    mail_due: float | None = None  # None: not to be mailed, or mailed already
    mailed_at: float | None = None
    mail_tries: int = 0
    mail_why: str = ""  # why it was not mailed


class ReportSearch(_Record, frozen=True, kw_only=True):
    """A filter for reports, newest first; None: any."""

    community: str | None = None
    owner_id: int | None = None
    groups: tuple[str, ...] | None = None
    transformation_id: int | None = None
    since: float = 0.0
    before: int | None = None  # an id
    limit: int = 100


_words = msgspec.json.Decoder(tuple[str, ...]).decode


@weighs(BACKFILL_MAX)
def begin_failover(session: Session, transformation_id: int) -> None:
    """Note the ends of its tasks from now on, and the most recent earlier ones. Idempotent."""
    given = {"transformation_id": transformation_id, "limit": BACKFILL_MAX}
    if session.run("begin_failover", given).rowcount == 1:
        session.run("note_earlier_ends", given)


def failover_rows(session: Session, transformation_ids: Sequence[int]) -> dict[int, FailoverRow]:
    """Return the failover state of transformations, by id."""
    rows = session.rows("failover_rows", {"ids": json_list(transformation_ids)})
    return {row[0]: _row(row) for row in rows}


def failover_ends(session: Session, transformation_id: int, *, limit: int) -> list[EndedTask]:
    """Return ends that no cycle has checked yet, ordered by task."""
    given = {"transformation_id": transformation_id, "limit": limit}
    return [
        EndedTask(
            transformation_id=row[0],
            task_id=row[1],
            number=row[2],
            job_id=row[3],
            state=TaskState(row[4]),
            ended_at=row[5],
            decisions=row[6].encode(),
        )
        for row in session.rows("failover_ends", given)
    ]


def unseen_failover(session: Session) -> list[int]:
    """Return the ids of transformations with ends that no cycle has checked yet."""
    return [row[0] for row in session.rows("unseen_failover", {})]


def note_decisions(session: Session, decisions: Sequence[TaskDecision]) -> None:
    """Note the decisions about tasks that end now; begin failover if it has not begun.

    The last decision about a task replaces earlier ones.
    """
    for one in sorted({one.transformation_id for one in decisions}):
        begin_failover(session, one)
    rows = [{"task_id": one.task_id, "said": one.said.decode()} for one in decisions]
    session.many("note_decision", rows)


def _rows_of_cycle(kept: CycleRecord) -> int:
    mended = sum(1 + len(one.inputs) for one in kept.mends)
    return 2 + 2 * len(kept.seen) + len(kept.reports) + mended


@weighs(_rows_of_cycle)
def keep_cycle(session: Session, kept: CycleRecord) -> list[int] | None:
    """Write all of a cycle; return the ids of the reports.

    Write nothing and return None in three cases: another cycle was stored after `was`; the
    transformation has left the state that `move` starts from; or a task in `mends` has changed.
    """
    row = kept.row
    given: dict[str, object] = {
        **msgspec.structs.asdict(row),
        "first": json_list(row.first),
        "last": json_list(row.last),
        "said": json_list(row.said),
    }
    known = session.one("failover_cycle", given)
    if known is None or known[0] != kept.was:
        return None
    if not all(_holds(session, one, row.transformation_id) for one in kept.mends):
        return None
    if kept.move is not None:
        move = msgspec.structs.asdict(kept.move)
        move |= {"old": kept.move.old.value, "new": kept.move.new.value}
        if session.run("move_transformation", move).rowcount != 1:
            return None
    for mend in kept.mends:
        _mend(session, mend, at=kept.at)
    session.run("keep_failover", given)
    if kept.flush:
        session.run("set_flushing", {**given, "flushing": True})
    tasks = json_list(kept.seen)
    session.run("drop_failover_ends", {**given, "tasks": tasks})
    session.run("drop_failover_decisions", {"tasks": tasks})
    if not kept.reports:
        return []
    first = session.reserve("failover_report", len(kept.reports))
    rows = [
        {
            **msgspec.structs.asdict(one),
            "report_id": first + i,
            "transformation_id": row.transformation_id,
            "cycle": row.cycle,
            "at": kept.at,
            "mail_due": kept.at if kept.mail else None,
        }
        for i, one in enumerate(kept.reports)
    ]
    session.many("insert_report", rows)
    return [first + i for i in range(len(rows))]


def held_tasks(session: Session, transformation_ids: Sequence[int]) -> list[HeldTask]:
    """Return the tasks whose jobs are Held because their attempts were lost too often."""
    given = {
        "ids": json_list(transformation_ids),
        "lost": LOST_TOO_OFTEN,
        "reassigned": REASSIGNED,
    }
    return [_struct(HeldTask, row) for row in session.rows("held_tasks", given)]


def note_missed_ends(session: Session) -> int:
    """Note ends of tasks that were never noted; return their number."""
    return session.run("note_missed_ends").rowcount


def odd_inputs(session: Session, transformation_id: int, *, limit: int) -> list[OddTask]:
    """Return ended or missing tasks, with the inputs that are Assigned to them.

    `limit` is a number of inputs. Whether outputs are Lost or were read is not included.
    """
    given = {"transformation_id": transformation_id, "limit": limit}
    rows = session.rows("odd_inputs", given)
    by_task: dict[int, list[Any]] = {}
    for row in rows:
        by_task.setdefault(row[0], []).append(row)
    return [
        OddTask(
            transformation_id=transformation_id,
            task_id=task,
            number=some[0][1] or 0,
            job_id=some[0][2] or 0,
            state=None if some[0][3] is None else TaskState(some[0][3]),
            outputs=some[0][4],
            outputs_gone=some[0][5],
            inputs=tuple(_input(row[6:]) for row in some),
        )
        for task, some in sorted(by_task.items())
    ]


def odd_outputs(
    session: Session, transformation_id: int, *, after: int, limit: int
) -> list[OddTask]:
    """Return tasks after a task id whose state and outputs do not agree.

    These are Done tasks with missing outputs, and other ended tasks with outputs. Each has the
    inputs that it was made of.
    """
    given = {"transformation_id": transformation_id, "after": after, "limit": limit}
    rows = session.rows("odd_outputs", given)
    tasks = json_list([row[0] for row in rows])
    wanted = {"transformation_id": transformation_id, "tasks": tasks}
    had: dict[int, list[OddInput]] = {}
    for row in session.rows("inputs_of_odd", wanted) if rows else ():
        had.setdefault(row[0], []).append(_input(row[1:]))
    return [
        OddTask(
            transformation_id=transformation_id,
            task_id=row[0],
            number=row[1],
            job_id=row[2],
            state=TaskState(row[3]),
            outputs=row[4],
            outputs_gone=row[5],
            outputs_lost=row[6],
            is_read=bool(row[7]),
            inputs=tuple(had.get(row[0], ())),
        )
        for row in rows
    ]


def reports(session: Session, search: ReportSearch) -> list[ReportRow]:
    """Return reports, newest first."""
    given: dict[str, object] = {
        "before": ID_MAX if search.before is None else search.before,
        "since": search.since,
        "report_id": None,
        "community": search.community,
        "owner_id": search.owner_id,
        "groups": None if search.groups is None else json_list(search.groups),
        "transformation_id": search.transformation_id,
        "limit": search.limit,
    }
    return [_struct(ReportRow, row) for row in session.rows("reports", given)]


def report(session: Session, report_id: int) -> ReportRow | None:
    """Return a report; None: it does not exist."""
    given: dict[str, object] = {
        "before": report_id + 1,
        "since": 0.0,
        "report_id": report_id,
        "community": None,
        "owner_id": None,
        "groups": None,
        "transformation_id": None,
        "limit": 1,
    }
    found = session.one("reports", given)
    return None if found is None else _struct(ReportRow, found)


def mails_due(session: Session, now: float, *, limit: int) -> list[ReportRow]:
    """Return reports whose mail is due, the oldest first."""
    rows = session.rows("mails_due", {"now": now, "limit": limit})
    return [_struct(ReportRow, row) for row in rows]


def mailed(session: Session, report_id: int, at: float) -> None:
    """Note that a mail was sent."""
    given = {"report_id": report_id, "at": at}
    session.run("report_mailed", given)


def mail_failed(session: Session, report_id: int, *, why: str, due: float | None) -> None:
    """Note that a mail was not sent; `due`: when to try again, None: never."""
    given = {"report_id": report_id, "why": why, "due": due}
    session.run("report_not_mailed", given)


@weighs(DROPPED_MAX)
def drop_reports(session: Session, before: float) -> int:
    """Delete old reports, at most `DROPPED_MAX`; return their number."""
    given = {"before": before, "limit": DROPPED_MAX}
    return session.run("drop_reports", given).rowcount


def _holds(session: Session, mend: TaskRepair, transformation_id: int) -> bool:
    """Return whether a task, its inputs and its outputs are still as `mend` saw them."""
    given = {
        "task_id": mend.task_id,
        "transformation_id": transformation_id,
        "files": json_list([one.file_id for one in mend.inputs]),
    }
    state = session.one("state_of_task", given)
    if (None if state is None else state[0]) != (mend.old.value if mend.old else None):
        return False
    if mend.clean and session.one("outputs_are_read", given)[0]:
        return False
    has = {tuple(row) for row in session.rows("inputs_last_had", given)}
    return has >= {(one.file_id, one.input_no, one.old.value) for one in mend.inputs}


def _mend(session: Session, mend: TaskRepair, *, at: float) -> None:
    given = {"task_id": mend.task_id, "reason": mend.reason}
    if mend.new is not None and mend.new is not mend.old:
        session.run("mend_task", {**given, "state": mend.new.value})
    if mend.inputs:
        moves = [msgspec.structs.asdict(one) for one in mend.inputs]
        session.many(
            "move_input",
            [{**one, "old": one["old"].value, "new": one["new"].value, "at": at} for one in moves],
        )
    if mend.clean:
        left = [(row[0], Did(row[1], row[2])) for row in session.rows("outputs_left", given)]
        for community in sorted({one for one, _ in left}):
            dids = [did for one, did in left if one == community]
            file_records.remove_files(session, community, dids, at=at)


def _input(row: Sequence[Any]) -> OddInput:
    return OddInput(
        file_id=row[0],
        input_no=row[1],
        state=InputState(row[2]),
        is_own=bool(row[3]),
        other_did=bool(row[4]),
        errors=row[5],
        replays=row[6],
        is_there=bool(row[7]),
    )


def _row(row: Sequence[Any]) -> FailoverRow:
    return FailoverRow(
        transformation_id=row[0],
        cycle=row[1],
        flushes=row[2],
        inputs=row[3],
        judged_from=row[4],
        first=_words(row[5]),
        last=_words(row[6]),
        said=_words(row[7]),
    )


def _struct(kind: Any, row: Sequence[Any]) -> Any:
    return msgspec.convert(dict(zip(kind.__struct_fields__, row, strict=True)), kind)
