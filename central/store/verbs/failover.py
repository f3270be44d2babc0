"""What failover keeps: a part of the store."""

from collections.abc import Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any

import msgspec

from pilotage.proto.catalogue import Did
from pilotage.proto.ids import ID_MAX
from pilotage.proto.transformation_states import InputState, TaskState

from ..failover import (
    BACKFILL_MAX,
    DROPPED_MAX,
    LOST_TOO_OFTEN,
    REASSIGNED,
    CycleKept,
    Decided,
    EndedTask,
    FailoverRow,
    HeldTask,
    Mend,
    OddInput,
    OddTask,
    ReportRow,
    ReportSearch,
    TriedAgain,
)
from ..records import AttemptRow
from . import catalogue_change
from .opened import Opened
from .rows import attempt_of
from .session import Session, json_list

_words = msgspec.json.Decoder(tuple[str, ...]).decode


class FailoverVerbs(Opened):
    """The verbs of `store.failover`."""

    async def begin_failover(self, transformation_id: int) -> None:
        begin = partial(_begin, transformation_id=transformation_id)
        await self._writer.run(begin, rows=BACKFILL_MAX)

    async def failover_rows(self, transformation_ids: Sequence[int]) -> dict[int, FailoverRow]:
        rows = await self._reader.rows("failover_rows", {"ids": json_list(transformation_ids)})
        return {row[0]: _row(row) for row in rows}

    async def failover_ends(self, transformation_id: int, *, limit: int) -> list[EndedTask]:
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
            for row in await self._reader.rows("failover_ends", given)
        ]

    async def unseen_failover(self) -> list[int]:
        return [row[0] for row in await self._reader.rows("unseen_failover", {})]

    async def note_decisions(self, decisions: Sequence[Decided]) -> None:
        await self._writer.run(partial(_note, decisions=decisions), rows=len(decisions))

    async def keep_cycle(self, kept: CycleKept) -> list[int] | None:
        rows = 2 + 2 * len(kept.seen) + len(kept.reports)
        rows += sum(1 + len(one.inputs) for one in kept.mends)
        return await self._writer.run(partial(_keep, kept=kept), rows=rows)

    async def held_tasks(self, transformation_ids: Sequence[int]) -> list[HeldTask]:
        given = {
            "ids": json_list(transformation_ids),
            "lost": LOST_TOO_OFTEN,
            "reassigned": REASSIGNED,
        }
        return [_struct(HeldTask, row) for row in await self._reader.rows("held_tasks", given)]

    async def attempts_of_jobs(self, job_ids: Sequence[int]) -> dict[int, list[AttemptRow]]:
        rows = await self._reader.rows("attempts_of_jobs", {"ids": json_list(job_ids)})
        found = [attempt_of(row) for row in rows]
        return {job: list(several) for job, several in groupby(found, key=attrgetter("job_id"))}

    async def tried_again(self, since: float, *, limit: int) -> list[TriedAgain]:
        rows = await self._reader.rows("tried_again", {"since": since, "limit": limit})
        return [
            TriedAgain(
                transformation_id=some[0][0],
                task_id=task_id,
                job_id=some[0][2],
                made_at=some[0][3],
                file_ids=tuple(row[4] for row in some),
            )
            for task_id, found in groupby(rows, key=itemgetter(1))
            if (some := list(found))
        ]

    # -- tasks that do not agree ----------------------------------------------------------------

    async def note_missed_ends(self) -> int:
        return await self._writer.run(lambda session: session.run("note_missed_ends").rowcount)

    async def odd_inputs(self, transformation_id: int, *, limit: int) -> list[OddTask]:
        given = {"transformation_id": transformation_id, "limit": limit}
        rows = await self._reader.rows("odd_inputs", given)
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

    async def odd_outputs(self, transformation_id: int, *, after: int, limit: int) -> list[OddTask]:
        given = {"transformation_id": transformation_id, "after": after, "limit": limit}
        rows = await self._reader.rows("odd_outputs", given)
        tasks = json_list([row[0] for row in rows])
        wanted = {"transformation_id": transformation_id, "tasks": tasks}
        had: dict[int, list[OddInput]] = {}
        for row in await self._reader.rows("inputs_of_odd", wanted) if rows else ():
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

    # -- reports --------------------------------------------------------------------------------

    async def reports(self, search: ReportSearch) -> list[ReportRow]:
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
        return [_struct(ReportRow, row) for row in await self._reader.rows("reports", given)]

    async def report(self, report_id: int) -> ReportRow | None:
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
        found = await self._reader.one("reports", given)
        return None if found is None else _struct(ReportRow, found)

    async def mails_due(self, now: float, *, limit: int) -> list[ReportRow]:
        rows = await self._reader.rows("mails_due", {"now": now, "limit": limit})
        return [_struct(ReportRow, row) for row in rows]

    async def mailed(self, report_id: int, at: float) -> None:
        given = {"report_id": report_id, "at": at}
        await self._writer.run(lambda session: session.run("report_mailed", given), rows=1)

    async def mail_failed(self, report_id: int, *, why: str, due: float | None) -> None:
        given = {"report_id": report_id, "why": why, "due": due}
        await self._writer.run(lambda session: session.run("report_not_mailed", given), rows=1)

    async def drop_reports(self, before: float) -> int:
        given = {"before": before, "limit": DROPPED_MAX}
        return await self._writer.run(
            lambda session: session.run("drop_reports", given).rowcount, rows=DROPPED_MAX
        )


# -- on the writer's session --------------------------------------------------------------------


def _begin(session: Session, *, transformation_id: int) -> None:
    given = {"transformation_id": transformation_id, "limit": BACKFILL_MAX}
    if session.run("begin_failover", given).rowcount == 1:
        session.run("note_earlier_ends", given)


def _note(session: Session, *, decisions: Sequence[Decided]) -> None:
    for one in sorted({one.transformation_id for one in decisions}):
        _begin(session, transformation_id=one)
    rows = [{"task_id": one.task_id, "said": one.said.decode()} for one in decisions]
    session.many("note_decision", rows)


def _keep(session: Session, *, kept: CycleKept) -> list[int] | None:
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


def _holds(session: Session, mend: Mend, transformation_id: int) -> bool:
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


def _mend(session: Session, mend: Mend, *, at: float) -> None:
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
