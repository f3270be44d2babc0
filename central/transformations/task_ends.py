"""Closes ended tasks: moves inputs, judges scouts, and completes transformations."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Usage
from pilotage.proto.transformation_states import (
    MAKES_TASKS,
    InputState,
    TaskState,
    TransformationEvent,
    TransformationState,
    next_transformation,
)

from ..jobs import record as job_records
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from ..store.errors import OF_ALL, StoreError
from . import record as transformation_records
from .input_files import FileReader
from .input_moves import Bad, consequences, moves_of
from .live_state import NEVER, LiveTransformation, document
from .missing_outputs import WAITS as MISSING_WAITS, takes_all, why_it_waits, without
from .record import InputRow, StateCounts, TaskClose, TaskEnd, TransformationMove, TransformationRow
from .repairs import Repair, Repairs, bounds_of
from .scouts import figures, too_many_failed

CHUNK: Final = 500
ROOM_WAITS: Final = "waits: "  # the reason of one that continues by itself begins with it
TOGETHER: Final = 10_000  # inputs of tasks in one transaction: other writers wait for it
_encode = msgspec.json.encode


class TaskEnding:
    """Closes ended tasks, and reviews transformations."""

    def __init__(
        self,
        *,
        store: Store,
        files: FileReader,
        repairs: Repairs,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._files, self._repairs = store, files, repairs
        self._clock, self._log = clock, log
        # tasks whose end the store refused: they are few, and come first
        self._told: set[int] = set()
        self._errors_max: dict[int, int] = {}  # of transformations that are not live any more

    # -- tasks ----------------------------------------------------------------------------------

    async def ends(self, lives: Mapping[int, LiveTransformation]) -> int:
        """Close ended tasks; return their number."""
        ends = await self._store.read(transformation_records.task_ends, CHUNK)
        if not ends:
            return 0
        for one in {i.transformation_id for end in ends for i in end.inputs}:
            await self._know(one, lives)
        bad = await self._files.unreadable(
            {i.file_id for end in ends if end.state is JobState.FAILED for i in end.inputs}
        )
        repaired = [e for e in ends if (of := lives.get(e.transformation_id)) and of.doc.failover]
        bounds = {one: bounds_of(lives[one].doc) for one in {e.transformation_id for e in repaired}}
        repairs = await self._repairs.verdicts(repaired, bounds) if repaired else {}
        said = [_unreadable(end, bad) or repairs.get(end.task_id, Repair()) for end in ends]
        closes = [
            consequences(
                end,
                at=self._clock.wall(),
                errors_max=self._errors_max.__getitem__,
                bad=repair.bad,
                is_split=repair.is_split,
                is_retried=repair.is_retried,
            )
            for end, repair in zip(ends, said, strict=True)
        ]
        done: list[bool] = []
        for some in pieces(closes):
            done += await self._closed(some)
        for end, close, is_done in zip(ends, closes, done, strict=True):
            if is_done:
                self._tell(end, close, lives)
        pauses = {e.transformation_id: r.pause for e, r in zip(ends, said, strict=True) if r.pause}
        for one, why in pauses.items():
            if one in lives and lives[one].makes_tasks:
                await self.brake(lives[one], why)
        await self._come_back([one for one, d in zip(closes, done, strict=True) if d], lives)
        return sum(done)

    async def _closed(self, closes: Sequence[TaskClose]) -> list[bool]:
        """Close tasks; one that the store refuses waits, without delaying the others."""
        try:
            return await self._store.write(transformation_records.close_tasks, closes)
        except OF_ALL:
            raise
        except StoreError as why:
            if len(closes) == 1:
                self._refused(closes[0].task_id, str(why))
                return [False]
        return [done for one in closes for done in await self._closed([one])]

    def _refused(self, task_id: int, why: str) -> None:
        if task_id not in self._told:
            self._told.add(task_id)
            self._log("loop_failed", loop=f"end of task {task_id}", error=why)

    async def _know(self, transformation_id: int, lives: Mapping[int, LiveTransformation]) -> None:
        """Remember how often inputs of a transformation may fail."""
        if transformation_id in lives:
            self._errors_max[transformation_id] = lives[transformation_id].doc.errors_max
        elif transformation_id not in self._errors_max:
            row = await self._store.read(transformation_records.transformation, transformation_id)
            assert row is not None
            self._errors_max[transformation_id] = document(row).errors_max

    def _tell(
        self, end: TaskEnd, close: TaskClose, lives: Mapping[int, LiveTransformation]
    ) -> None:
        for one in {end.transformation_id, *(move.transformation_id for move in close.inputs)}:
            if one in lives:
                lives[one].look = True
        mine = lives.get(end.transformation_id)
        if mine is not None:
            mine.open -= 1
            if not close.is_retried:  # otherwise the tasks of the retry count
                mine.ends.append(close.state)
            mine.dirty = mine.dirty or bool(mine.doc.tasks_open_max)

    async def _come_back(
        self, closes: Sequence[TaskClose], lives: Mapping[int, LiveTransformation]
    ) -> None:
        """Put inputs that are Unused again into memory."""
        rows: dict[int, list[InputRow]] = {}
        for close in closes:
            for move in close.inputs:
                if move.new is InputState.UNUSED and move.transformation_id in lives:
                    row = InputRow(
                        file_id=move.file_id,
                        input_no=move.input_no,
                        state=move.new,
                        task_id=close.task_id,
                        errors=0,
                        replays=0,
                        inherited=False,
                        changed_at=close.at,
                    )
                    rows.setdefault(move.transformation_id, []).append(row)
        for one, several in rows.items():
            live = lives[one]
            if live.pool is None:
                live.dirty = True
                continue
            files, gone = await self._files.of_rows(several, with_sites=live.by_site, cut=live.cut)
            for file in files:
                live.came(file)
            moves = [
                move
                for row, state in gone
                for move in moves_of(state, one, row.file_id, row.input_no)
            ]
            if moves:
                await self._store.write(
                    transformation_records.move_inputs, moves, self._clock.wall()
                )

    # -- transformations ------------------------------------------------------------------------

    async def review(self, live: LiveTransformation, *, parents_done: bool) -> None:
        """Pause, widen, close or complete a transformation, as its tasks and inputs require."""
        live.look = False
        if live.row.state is TransformationState.CLEANING and live.open == 0:
            await self.move(live, TransformationEvent.EMPTIED)
        if live.row.state not in MAKES_TASKS:
            return
        why = too_many_failed(live.ends, live.doc.pause_when_failed)
        if why:
            await self.brake(live, why)
        elif live.row.scouts_until and live.open == 0 and live.room() <= 0:
            await self._judge_scouts(live)
        elif live.row.state is TransformationState.ACTIVE:
            await self._close(live, parents_done=parents_done)
        elif not (live.open or live.may_make or live.waits_for_room) and live.retries_at == NEVER:
            await self._complete(live)

    async def brake(self, live: LiveTransformation, why: str) -> None:
        """Make no more tasks until a user resumes it."""
        await self.move(live, TransformationEvent.BRAKE, reason=why[:500])
        self._log("transformation_paused", transformation=live.id, name=live.row.name, why=why)

    async def wait_for_room(self, live: LiveTransformation, why: str, *, until: float) -> None:
        """Set the reason why no task can be made now; it is tried again at `until` or earlier.

        A reason that names missing inputs stays: only a user can end that wait.
        """
        live.forget()  # the chosen groups wait again
        live.dirty, live.due, live.waits_for_room = False, until, True
        if not live.row.reason.startswith((ROOM_WAITS, MISSING_WAITS)):
            await self._say(live, f"{ROOM_WAITS}{why}"[:500])
            self._log("transformation_waits", transformation=live.id, name=live.row.name, why=why)

    async def go_on(self, live: LiveTransformation, waited: str) -> None:
        """Clear the reason of a wait that is over; `waited` is the start of such a reason."""
        if live.row.reason.startswith(waited):
            await self._say(live, "")

    async def _say(self, live: LiveTransformation, reason: str) -> None:
        """Set the reason of a transformation, if its state is unchanged."""
        state = live.row.state
        move = TransformationMove(
            transformation_id=live.id, old=state, new=state, reason=reason, at=self._clock.wall()
        )
        if await self._store.write(transformation_records.move_transformation, move):
            live.row = msgspec.structs.replace(live.row, reason=reason)
        else:
            live.stale = True

    async def unusable(self, row: TransformationRow, why: str) -> None:
        """Pause a transformation that the engine cannot run: it names an unknown rule or word."""
        if row.state in MAKES_TASKS:
            move = TransformationMove(
                transformation_id=row.transformation_id,
                old=row.state,
                new=next_transformation(row.state, TransformationEvent.BRAKE),
                reason=why[:500],
                at=self._clock.wall(),
            )
            await self._store.write(transformation_records.move_transformation, move)
            one = row.transformation_id
            self._log("transformation_paused", transformation=one, name=row.name, why=why)

    async def wait_for_missing(self, live: LiveTransformation) -> None:
        """Set the reason of a wait while more inputs are missing than allowed."""
        missing = live.missing
        reason = why_it_waits(missing, live.doc.allow_partial)
        if live.row.reason == reason:
            return
        await self._say(live, reason)
        self._log(
            "transformation_incomplete",
            transformation=live.id,
            name=live.row.name,
            missing=str(missing),
        )

    async def move(
        self,
        live: LiveTransformation,
        event: TransformationEvent,
        *,
        reason: str = "",
        scouts_until: int | None = None,
        scouted: bytes | None = None,
    ) -> bool:
        """Move a transformation if its state is unchanged; otherwise it is read again."""
        move = TransformationMove(
            transformation_id=live.id,
            old=live.row.state,
            new=next_transformation(live.row.state, event),
            reason=reason,
            at=self._clock.wall(),
            scouts_until=scouts_until,
            scouted=scouted,
        )
        done = await self._store.write(transformation_records.move_transformation, move)
        live.stale = True
        return done

    async def _close(self, live: LiveTransformation, *, parents_done: bool) -> None:
        """Close a transformation without further inputs: partial groups may become tasks."""
        row = live.row
        if live.doc.by_run:
            over = row.closing  # the run has ended
        elif live.doc.inputs:
            over = row.seeded and (row.closing or parents_done)
        else:
            over = row.tasks_made >= row.tasks_wanted
        if over:
            await self.move(live, TransformationEvent.LAST_INPUT)

    async def _complete(self, live: LiveTransformation) -> None:
        counts = (await self._store.read(transformation_records.transformation_counts, [live.id]))[
            live.id
        ]
        if counts.tasks.get(TaskState.CREATED) or inputs(counts, InputState.ASSIGNED):
            return  # it is checked again at the next end, or at one of the parent
        left = inputs(counts, InputState.UNUSED)
        reason = f"{left} inputs are left that make no group" if left else ""
        if live.missing.words and takes_all(live.doc):
            reason = "; ".join(filter(None, (without(live.missing), reason)))
        await self.move(live, TransformationEvent.ALL_ENDED, reason=reason)
        self._log("transformation_completed", transformation=live.id, name=live.row.name, left=left)

    async def _judge_scouts(self, live: LiveTransformation) -> None:
        """Use the findings of the scouts for the other tasks, or pause if too many have failed."""
        rows = await self._store.read(
            transformation_records.tasks,
            live.id,
            states=[TaskState.DONE],
            after=0,
            limit=live.row.scouts_until,
        )
        usages: list[Usage] = []
        for row in rows:
            attempts = await self._store.read(job_records.attempts, row.job_id)
            if attempts and attempts[-1].usage is not None:
                usages.append(attempts[-1].usage)
        made = live.row.tasks_made
        judged = await self._store.read(
            transformation_records.last_ends, live.id, live.row.judged_from, made
        )
        not_done = sum(one is not TaskState.DONE for one in judged) if judged else made - len(rows)
        count = len(judged) or made  # no newer ends: all scouts ended while it was paused
        if not judged and await self._are_retried(live):
            more = made + live.doc.scouts
            await self.move(live, TransformationEvent.MORE, scouts_until=more)
            return
        if not_done > live.doc.pause_when_failed * count:
            why = f"{not_done} of the {count} scouts are not Done"
            move = TransformationEvent.BRAKE
            if await self.move(live, move, reason=why, scouts_until=made + live.doc.scouts):
                self._log(
                    "transformation_paused", transformation=live.id, name=live.row.name, why=why
                )
            return
        found = figures(usages)
        event = TransformationEvent.MORE
        await self.move(live, event, scouts_until=0, scouted=_encode(found))

    async def _are_retried(self, live: LiveTransformation) -> bool:
        """Return whether scouts without a judged end failed since a user resumed it.

        Other tasks retry the inputs of these scouts, and will be judged.
        """
        failed = await self._store.read(
            transformation_records.tasks,
            live.id,
            states=[TaskState.FAILED],
            after=0,
            limit=live.row.tasks_made,
        )
        return any((one.ended_at or 0.0) > live.row.judged_from for one in failed)


def _unreadable(end: TaskEnd, bad: Bad) -> Repair | None:
    """Return the unreadable inputs of a task, or None. The rules of failover then do not count."""
    found = {one.file_id: bad[one.file_id] for one in end.inputs if one.file_id in bad}
    return Repair(found) if found else None


def pieces(closes: Sequence[TaskClose]) -> Iterator[list[TaskClose]]:
    """Yield tasks in pieces for one transaction each: one task may have ten thousand inputs."""
    some: list[TaskClose] = []
    size = 0
    for one in closes:
        size += len(one.inputs)
        if some and size > TOGETHER:
            yield some
            some, size = [], len(one.inputs)
        some.append(one)
    if some:
        yield some


def inputs(counts: StateCounts, state: InputState) -> int:
    """Return the number of a transformation's inputs in a state."""
    return sum(files for (_, one), files in counts.inputs.items() if one is state)
