"""What failover keeps of transformations."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from pilotage.proto.catalogue import Did
from pilotage.proto.ids import ID_MAX
from pilotage.proto.transformation_states import InputState, TaskState

from ..catalogue import record_change as catalogue_change
from ..store.engine import weighs
from ..store.session import Session, json_list
from ..transformations.record import InputMove, TransformationMove

# Of a job that failover has killed: its inputs go to another task. They are counted by this word.
REASSIGNED: Final = "failover: lost too often, its inputs go to another task"
LOST_TOO_OFTEN: Final = "lost_too_often:"  # so begins the reason of a job that is Held for it
BACKFILL_MAX: Final = 1_000  # tasks that had ended before failover looked for the first time
DROPPED_MAX: Final = 1_000  # old reports that go with one call


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    pass


class FailoverRow(_Record, frozen=True, kw_only=True):
    """What failover knows of a transformation since its last cycle."""

    transformation_id: int
    cycle: int = 0  # cycles in which there was something to keep
    flushes: int = 0
    inputs: int = 0  # that it had then
    judged_from: float = 0.0  # tasks that ended before are not among the following
    first: tuple[str, ...] = ()  # what its first tasks failed of; empty: they did well
    last: tuple[str, ...] = ()  # its last ones, the newest last
    said: tuple[str, ...] = ()  # what stood then, and was told: it is not told again


class EndedTask(_Record, frozen=True, kw_only=True):
    """A task that has ended, and that no cycle has looked at."""

    transformation_id: int
    task_id: int
    number: int
    job_id: int
    state: TaskState
    ended_at: float
    decisions: bytes = b""  # JSON, as noted when it ended


class TaskDecision(_Record, frozen=True, kw_only=True):
    """What was decided about the end of a task."""

    transformation_id: int
    task_id: int
    said: bytes  # JSON


class HeldTask(_Record, frozen=True, kw_only=True):
    """A task whose job is Held because its attempts were lost too often."""

    transformation_id: int
    task_id: int
    number: int
    job_id: int
    inputs: int  # that it has
    reassigned: int  # how often that input of it was, that was so most often


class OddInput(_Record, frozen=True, kw_only=True):
    """An input that a task was made of, as it stands now; side inputs are none of these."""

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
    state: TaskState | None  # None: there is no such task
    inputs: tuple[OddInput, ...] = ()
    outputs: int = 0  # files that its job has published
    outputs_gone: int = 0  # of them, Lost or Removed
    outputs_lost: int = 0  # of these, Lost
    is_read: bool = False  # one of them was read by what is Done, or is to be by what is not over


class TaskRepair(_Record, frozen=True, kw_only=True):
    """What makes a task agree with its inputs and outputs again: all of it, or nothing."""

    task_id: int
    old: TaskState | None  # None: there is no such task, and its inputs alone move
    new: TaskState | None
    reason: str = ""  # of the new state
    inputs: tuple[InputMove, ...] = ()  # of one transformation; the task is the last they were in
    clean: bool = False  # what is left of its outputs is removed, unless somebody has read of it


class NewReport(_Record, frozen=True, kw_only=True):
    cause: str  # a FailureClass, or what was done
    title: str
    saved: int
    for_people: int
    body: bytes  # JSON of failover.report.Report


class CycleRecord(_Record, frozen=True, kw_only=True):
    """What one cycle has decided about one transformation: all of it holds, or nothing."""

    row: FailoverRow  # as it is now; its cycle is one more than that of `was`
    was: int  # the cycle before
    seen: tuple[int, ...] = ()  # tasks that were looked at
    flush: bool = False
    move: TransformationMove | None = None
    reports: tuple[NewReport, ...] = ()
    mends: tuple[TaskRepair, ...] = ()
    mail: bool = False  # they are to be mailed
    at: float = 0.0


class ReportRow(_Record, frozen=True, kw_only=True):
    """A report, with how it stands with its mail."""

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
    mail_due: float | None = None  # None: it is not to be mailed, or it was
    mailed_at: float | None = None
    mail_tries: int = 0
    mail_why: str = ""  # it was not mailed


class ReportSearch(_Record, frozen=True, kw_only=True):
    """Which reports, the newest first; None: any."""

    community: str | None = None
    owner_id: int | None = None
    groups: tuple[str, ...] | None = None
    transformation_id: int | None = None
    since: float = 0.0
    before: int | None = None  # this id
    limit: int = 100


_words = msgspec.json.Decoder(tuple[str, ...]).decode


@weighs(BACKFILL_MAX)
def begin_failover(session: Session, transformation_id: int) -> None:
    """Note ends of its tasks from now on, and the last ones that were; known ones stay."""
    given = {"transformation_id": transformation_id, "limit": BACKFILL_MAX}
    if session.run("begin_failover", given).rowcount == 1:
        session.run("note_earlier_ends", given)


def failover_rows(session: Session, transformation_ids: Sequence[int]) -> dict[int, FailoverRow]:
    """Return what is kept of the failover of transformations."""
    rows = session.rows("failover_rows", {"ids": json_list(transformation_ids)})
    return {row[0]: _row(row) for row in rows}


def failover_ends(session: Session, transformation_id: int, *, limit: int) -> list[EndedTask]:
    """Return ends that no cycle has looked at, in order of the task."""
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
    """Return the transformations with ends that no cycle has looked at."""
    return [row[0] for row in session.rows("unseen_failover", {})]


def note_decisions(session: Session, decisions: Sequence[TaskDecision]) -> None:
    """Note what was decided about tasks that end now; it begins failover where it has not.

    The last word on a task holds.
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
    """Write all of it; return the ids of the reports.

    None, and nothing is written: another cycle was kept since `was`, the transformation does
    not stand any more where `move` leaves from, or a task not as one of `mends` has seen it.
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
    """Return tasks of transformations whose jobs are held because they were lost too often."""
    given = {
        "ids": json_list(transformation_ids),
        "lost": LOST_TOO_OFTEN,
        "reassigned": REASSIGNED,
    }
    return [_struct(HeldTask, row) for row in session.rows("held_tasks", given)]


def note_missed_ends(session: Session) -> int:
    """Note ends of tasks that nobody was told of; return how many."""
    return session.run("note_missed_ends").rowcount


def odd_inputs(session: Session, transformation_id: int, *, limit: int) -> list[OddTask]:
    """Return tasks that are over, or not there, with the inputs that are Assigned to them.

    `limit` is of inputs. Which outputs are Lost, and who has read any, is not looked up.
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
    """Return tasks after a number that are Done, while outputs of them are gone, or that are
    over and not Done, while outputs of them are there; with the inputs that they were made of.
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
    """Return reports, the newest first."""
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
    """Return a report, None: there is none."""
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
    """Note that a mail went."""
    given = {"report_id": report_id, "at": at}
    session.run("report_mailed", given)


def mail_failed(session: Session, report_id: int, *, why: str, due: float | None) -> None:
    """Note that a mail did not go; `due`: when it is tried again, None: never."""
    given = {"report_id": report_id, "why": why, "due": due}
    session.run("report_not_mailed", given)


@weighs(DROPPED_MAX)
def drop_reports(session: Session, before: float) -> int:
    """Remove old reports, some at a time; return how many."""
    given = {"before": before, "limit": DROPPED_MAX}
    return session.run("drop_reports", given).rowcount


def _holds(session: Session, mend: TaskRepair, transformation_id: int) -> bool:
    """Whether a task, its inputs and its outputs still are as they were seen."""
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
            catalogue_change.remove_files(session, community, dids, at=at)


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
