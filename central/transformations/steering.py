"""Carries out users' actions on a transformation: pause, extend, replay and the others."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

from pilotage.proto.api.jobs import Action as JobAction, ActionName
from pilotage.proto.api.transformations import TransformationAction, TransformationActionName as A
from pilotage.proto.catalogue import BadCatalogueField, Did
from pilotage.proto.decoding.complaints import short
from pilotage.proto.problems import Code
from pilotage.proto.state_machine import IllegalTransition
from pilotage.proto.transformation_states import (
    FINAL,
    InputEvent,
    InputState,
    TaskState,
    TransformationEvent,
    TransformationState,
    left_by,
    next_input,
    next_transformation,
)

from ..catalogue import record_read as catalogue_read
from ..errors import Refused
from ..identity.callers import User
from ..ports import Clock
from ..store.engine import CHUNK_MAX, Store
from . import record as transformation_records
from .live_state import document
from .record import InputMove, InputRow, TransformationMove, TransformationRow

E = TransformationEvent
S = TransformationState
TRIES: Final = 5  # lost races with the engine that one action survives
PAGE: Final = 1_000

_EVENTS: Final = {
    A.START: E.START,
    A.PAUSE: E.PAUSE,
    A.RESUME: E.RESUME,
    A.STOP: E.STOP,
    A.ARCHIVE: E.ARCHIVE,
    A.CLEAN: E.CLEAN,
    A.EXTEND: E.MORE,
    A.REPLAY: E.MORE,
    A.RESET: E.MORE,
}
_DONE_ALREADY: Final = {
    A.START: (S.ACTIVE,),
    A.PAUSE: (S.PAUSED,),
    A.RESUME: (S.ACTIVE, S.COMPLETING),
    A.STOP: (S.STOPPED,),
    A.ARCHIVE: (S.ARCHIVED,),
    A.CLEAN: (S.CLEANING, S.CLEANED),
}
_OF_FILES: Final = {
    A.REPLAY: InputEvent.REPLAY,
    A.RESET: InputEvent.RESET,
    A.REFUSE: InputEvent.BAD_DATA,
}

_GOES_ON: Final = (A.RESUME, A.EXTEND, A.REPLAY, A.RESET)  # with its files, or new ones

KillJobs = Callable[[User, JobAction], Awaitable[object]]


async def check_free(
    store: Store, row: TransformationRow, reads: Callable[[TransformationRow], bool]
) -> None:
    """Raise Refused if another transformation has the name of an archived one.

    Cleaning makes the archived one use its name again. `reads`: whether the caller may know the
    other one.
    """
    if row.state is not S.ARCHIVED:
        return
    other = await store.read(transformation_records.transformation_named, row.community, row.name)
    if other is not None:
        why = f"name: {row.name!r} is taken by another user of the community by now"
        if reads(other):
            why = (
                f"name: {row.name!r} is the name of transformation {other.transformation_id} by "
                "now: archive or clean that one first"
            )
        raise Refused(Code.ILLEGAL_STATE, why, field="name")


class TransformationControl:
    """Carries out actions on transformations."""

    def __init__(self, *, store: Store, catalogue: Store, kill: KillJobs, clock: Clock) -> None:
        self._store, self._catalogue = store, catalogue
        self._kill, self._clock = kill, clock

    async def act(self, caller: User, row: TransformationRow, action: TransformationAction) -> int:
        """Carry out an action; return the number of changed files. Raises Refused."""
        what = action.action
        if what in _GOES_ON:
            await self._check_heir(row, what.value)
        if what in _OF_FILES:
            return await self._files(row, action)
        if what is A.FLUSH:
            self._check_inputs(row, "flush")
            if row.state not in (S.ACTIVE, S.PAUSED, S.COMPLETING):
                raise _cannot(row, "flushed")
            await self._store.write(
                transformation_records.set_flushing, row.transformation_id, True
            )
        elif what is A.COMPLETE:
            await self._complete(row, action.reason)
        elif what is A.EXTEND:
            await self._extend(row, action)
        else:
            await self._move(row, action)
            if what is A.CLEAN:
                await self._kill_jobs(caller, row)
        return 0

    async def derive(self, child: TransformationRow, *, start: bool) -> TransformationRow:
        """Give a new transformation the remaining inputs of its parent, then start it."""
        at = self._clock.wall()
        one = child.transformation_id
        if child.state is S.NEW:  # otherwise this was done before
            await self._inherit(child, at)
            if start:
                move = TransformationMove(
                    transformation_id=one, old=S.NEW, new=_next(child, E.START), reason="", at=at
                )
                await self._store.write(transformation_records.move_transformation, move)
        row = await self._store.read(transformation_records.transformation, one)
        assert row is not None
        return row

    async def _inherit(self, child: TransformationRow, at: float) -> None:
        """Give a transformation all inputs of its parent; continue after an interruption."""
        if child.parent_id is not None:
            await transformation_records.derive_inputs(
                self._store, child.parent_id, child.transformation_id, at
            )

    async def _check_heir(self, row: TransformationRow, what: str) -> None:
        """Raise Refused if a derived one continues with its files: both would take new files."""
        heir = await self._store.read(transformation_records.derived_from, row.transformation_id)
        child = (
            await self._store.read(transformation_records.transformation, heir)
            if heir is not None
            else None
        )
        if child is not None and child.state not in FINAL:
            text = (
                f"action: transformation {child.transformation_id}, {child.name}, was derived from "
                f"{row.transformation_id} and continues with its files: {what} that one"
            )
            raise Refused(Code.ILLEGAL_STATE, text, field="action")

    # -- states ---------------------------------------------------------------------------------

    async def _move(self, row: TransformationRow, action: TransformationAction) -> None:
        """Move along the table of states, from the present state."""
        what = action.action
        if what is A.RESUME and row.state is S.NEW:
            what = A.START
        for _ in range(TRIES):
            if row.state in _DONE_ALREADY.get(what, ()):
                return
            if what is A.START:
                await self._inherit(row, self._clock.wall())
            move = TransformationMove(
                transformation_id=row.transformation_id,
                old=row.state,
                new=_next(row, _EVENTS[what]),
                reason=action.reason,
                at=self._clock.wall(),
                judge_anew=what is A.RESUME,
                seed_anew=what is A.RESUME and row.state is S.STOPPED,
            )
            if await self._store.write(transformation_records.move_transformation, move):
                return
            row = await self._again(row)
        raise _busy(row)

    async def _complete(self, row: TransformationRow, reason: str) -> None:
        """Close a transformation: the engine completes it after a check of all earlier files."""
        self._check_inputs(row, "complete")
        if row.state in (S.COMPLETING, S.COMPLETED) and row.closing:
            return
        for _ in range(TRIES):
            if row.state not in (S.ACTIVE, S.PAUSED, S.COMPLETING):
                raise _cannot(row, "completed")
            move = TransformationMove(
                transformation_id=row.transformation_id,
                old=row.state,
                new=row.state,
                reason=reason,
                at=self._clock.wall(),
                closing=True,
            )
            if await self._store.write(transformation_records.move_transformation, move):
                return
            row = await self._again(row)
        raise _busy(row)

    async def _extend(self, row: TransformationRow, action: TransformationAction) -> None:
        """Add tasks to a transformation without inputs; otherwise look for inputs again."""
        if not document(row).inputs:
            if not action.tasks:
                why = "tasks: it has no inputs to look for again: give the number of tasks to add"
                raise Refused(Code.INVALID, why, field="tasks")
            if action.tasks != row.tasks_wanted:
                done = action.tasks > action.was and await self._store.write(
                    transformation_records.extend_transformation,
                    row.transformation_id,
                    old=action.was,
                    new=action.tasks,
                    at=self._clock.wall(),
                )
                if not done:
                    raise Refused(
                        Code.ILLEGAL_STATE,
                        f"tasks: {row.tasks_wanted} are wanted now, not {action.was}, and "
                        f"{action.tasks} must be more: read it again, then repeat",
                        field="tasks",
                    )
        elif action.tasks:
            why = "tasks: it makes tasks from its inputs: extend it without a number"
            raise Refused(Code.INVALID, why, field="tasks")
        await self._more(row, action.reason, seed_anew=bool(document(row).inputs))

    async def _more(self, row: TransformationRow, reason: str, *, seed_anew: bool) -> None:
        for _ in range(TRIES):
            move = TransformationMove(
                transformation_id=row.transformation_id,
                old=row.state,
                new=_next(row, E.MORE),
                reason=reason,
                at=self._clock.wall(),
                closing=False if seed_anew else None,
                seed_anew=seed_anew,
            )
            if await self._store.write(transformation_records.move_transformation, move):
                return
            row = await self._again(row)
        raise _busy(row)

    async def _kill_jobs(self, caller: User, row: TransformationRow) -> None:
        """Kill its unfinished jobs. It is Cleaning, so no new tasks are made."""
        after = 0
        while True:
            tasks = await self._store.read(
                transformation_records.tasks,
                row.transformation_id,
                states=[TaskState.CREATED],
                after=after,
                limit=PAGE,
            )
            if not tasks:
                return
            jobs = [one.job_id for one in tasks]
            reason = f"transformation {row.transformation_id} is cleaned"
            await self._kill(
                caller, JobAction(action=ActionName.KILL, ids=tuple(jobs), reason=reason)
            )
            after = tasks[-1].number

    async def _again(self, row: TransformationRow) -> TransformationRow:
        found = await self._store.read(transformation_records.transformation, row.transformation_id)
        assert found is not None
        return found

    def _check_inputs(self, row: TransformationRow, what: str) -> None:
        if not document(row).inputs:
            why = f"transformation {row.transformation_id} has no inputs: there is nothing to "
            raise Refused(Code.ILLEGAL_STATE, why + what, field="action")

    # -- files ----------------------------------------------------------------------------------

    async def _files(self, row: TransformationRow, action: TransformationAction) -> int:
        """Move inputs for a user; then the transformation has work again."""
        self._check_inputs(row, action.action.value)
        if row.state in (*FINAL, S.CLEANING, S.ARCHIVED):
            raise _cannot(row, "given files again")
        event = _OF_FILES[action.action]
        states = left_by(event)
        if action.all == bool(action.files):
            raise Refused(Code.INVALID, "files: name files, or give `all`", field="files")
        wanted = None if action.all else await self._ids(row.community, action.files)
        moves = await self._moves(row, event, states, wanted)
        done = 0
        for start in range(0, len(moves), CHUNK_MAX):
            some = moves[start : start + CHUNK_MAX]
            done += sum(
                await self._store.write(
                    transformation_records.move_inputs, some, self._clock.wall()
                )
            )
        if action.action is not A.REFUSE and done:
            await self._more(await self._again(row), action.reason, seed_anew=False)
        return done

    async def _moves(
        self,
        row: TransformationRow,
        event: InputEvent,
        states: Sequence[InputState],
        wanted: frozenset[int] | None,
    ) -> list[InputMove]:
        """Return the moves for the named inputs; raise Refused if one cannot move."""
        moves: list[InputMove] = []
        seen: set[int] = set()
        async for one in self._inputs(row, wanted, states):
            seen.add(one.file_id)
            if one.state not in states:
                raise Refused(
                    Code.ILLEGAL_STATE,
                    f"files: a file is {one.state.value}, but must be "
                    f"{' or '.join(state.value for state in states)}: nothing was done",
                    field="files",
                )
            moves.append(
                InputMove(
                    transformation_id=row.transformation_id,
                    file_id=one.file_id,
                    input_no=one.input_no,
                    old=one.state,
                    new=next_input(one.state, event),
                    no_errors=event in (InputEvent.RESET, InputEvent.REPLAY),
                    replay=event is InputEvent.REPLAY,
                )
            )
        if wanted is not None and wanted - seen:
            count = len(wanted - seen)
            why = f"files: {count} of them are not inputs of transformation {row.transformation_id}"
            raise Refused(Code.INVALID, f"{why}: nothing was done", field="files")
        return moves

    async def _inputs(
        self, row: TransformationRow, wanted: frozenset[int] | None, states: Sequence[InputState]
    ) -> AsyncIterator[InputRow]:
        one = row.transformation_id
        for start in sorted(wanted) if wanted is not None else ():
            for found in await self._store.read(
                transformation_records.inputs, one, states=(), after=(start, -1), limit=8
            ):
                if found.file_id == start:
                    yield found
        after = (0, 0)
        while wanted is None:
            rows = await self._store.read(
                transformation_records.inputs, one, states=states, after=after, limit=PAGE
            )
            for found in rows:
                yield found
            if len(rows) < PAGE:
                return
            after = (rows[-1].file_id, rows[-1].input_no)

    async def _ids(self, community: str, names: Sequence[str]) -> frozenset[int]:
        try:
            dids = [Did.parse(one, f"files[{i}]") for i, one in enumerate(names)]
        except BadCatalogueField as why:
            raise Refused(Code.INVALID, str(why), field=why.field) from None
        found = await self._catalogue.read(catalogue_read.files_by_did, community, dids)
        for i, (did, row) in enumerate(zip(dids, found, strict=True)):
            if row is None:
                text = f"files[{i}]: there is no file {short(str(did))!r}"
                raise Refused(Code.INVALID, text, field=f"files[{i}]")
        return frozenset(row.file_id for row in found if row is not None)


def _next(row: TransformationRow, event: TransformationEvent) -> TransformationState:
    try:
        return next_transformation(row.state, event)
    except IllegalTransition as why:
        raise Refused(Code.ILLEGAL_STATE, f"{why}", field="action") from None


def _cannot(row: TransformationRow, what: str) -> Refused:
    text = f"a transformation that is {row.state.value} cannot be {what}"
    return Refused(Code.ILLEGAL_STATE, text, field="action")


def _busy(row: TransformationRow) -> Refused:
    text = f"transformation {row.transformation_id} keeps changing: try again"
    return Refused(Code.ILLEGAL_STATE, text, field="action")
