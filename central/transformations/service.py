"""Answers users: add, show and steer transformations. The engine does the rest."""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any, Final

import msgspec

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.transformations import (
    InputPage,
    InputView,
    NewTransformation,
    Preview,
    TaskPage,
    TaskView,
    TransformationAction,
    TransformationActionName,
    TransformationDetail,
    TransformationPage,
    TransformationView,
)
from pilotage.proto.catalogue import KeyType, Query, parse_query
from pilotage.proto.decoding.complaints import short
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.ids import ID_MAX
from pilotage.proto.job_states import JobState
from pilotage.proto.problems import Code
from pilotage.proto.production_states import ProductionState
from pilotage.proto.transformation_states import (
    InputState,
    TaskState,
    TransformationState,
)

from ..catalogue import record_read as catalogue_read
from ..catalogue.input_resolution import outputs_to
from ..catalogue.record_types import FileCursor, FileRow
from ..catalogue.storages import Storages
from ..errors import Refused
from ..identity.callers import User
from ..identity.policy import Permission
from ..identity.scope import Owners, scope
from ..jobs import record as job_records
from ..jobs.definition.checks import check_tokens, community_of, group_of
from ..jobs.restricted_view import sealed_job
from ..observe.events import Log
from ..observe.times import shown
from ..ports import Clock
from ..rucio.outgoing import RucioEntries
from ..store.engine import Store
from ..store.errors import StoreError
from . import record as stored, record as transformation_records
from .document_resolution import (
    ParentTransformation,
    check_document,
    check_name,
    check_template,
    resolved,
)
from .engine import Engine
from .grouping import BadRule, GroupingSpec, WaitingInput, grouped
from .groupings.rule_names import rule_of
from .groupings.side_inputs import SideInputs
from .groupings.waiting_reasons import lacking, why_alone, why_no_group
from .input_files import file_of
from .live_state import OVER, document, growing, outputs_dataset
from .output_names import check_names
from .record import ProductionStep
from .steering import TransformationControl, check_free
from .task_jobs import checked, metadata_of, task_of

PREVIEW_FILES_MAX: Final = 10_000
PREVIEW_GROUPS: Final = 3
LIVE_NAMES: Final = tuple(
    one
    for one in TransformationState
    if one not in (TransformationState.ARCHIVED, TransformationState.CLEANED)
)

# Actions that let a transformation make tasks, and those that do so after it was Completed.
_WORK: Final = (TransformationActionName.START, TransformationActionName.RESUME)
_WORK_AGAIN: Final = (
    TransformationActionName.EXTEND,
    TransformationActionName.REPLAY,
    TransformationActionName.RESET,
)
# The action that lets a whole production continue, by a state in which no step may.
_GOES_ON: Final = {
    ProductionState.NEW: "start",
    ProductionState.PAUSED: "resume",
    ProductionState.STOPPED: "resume",
}
_encode = msgspec.json.encode


class TransformationService:
    """Answers requests about transformations."""

    def __init__(
        self,
        *,
        store: Store,
        catalogue: Store,
        owners: Owners,
        engine: Engine,
        steering: TransformationControl,
        storages: Storages,
        rucio: RucioEntries,
        clock: Clock,
        log: Log,
    ) -> None:
        """`rucio` returns the servers that get outputs."""
        self._storages, self._rucio = storages, rucio
        self._store, self._catalogue, self._owners = store, catalogue, owners
        self._engine, self._steering = engine, steering
        self._clock, self._log = clock, log

    # -- add ------------------------------------------------------------------------------------

    async def add(self, caller: User, body: NewTransformation) -> TransformationDetail | Preview:
        """Store a transformation, or with `dry_run` preview it.

        Raises Refused with the wrong field.
        """
        community = community_of(caller)
        check_name(body.document.name, "document.name")
        doc, keys = await self._resolved(caller, community, body.document)
        group = group_of(caller, doc.job, "job")
        check_tokens(caller, doc.job, "job")
        check_document(doc, group, keys, community=community, rucio=self._rucio())
        check_template(doc, keys, doc.outputs_dataset or f"{group}:transformation-ID")
        for i, out in enumerate(doc.job.data.outputs if doc.job.data is not None else ()):
            field = f"document.job.data.outputs[{i}].storages"
            outputs_to(self._storages.book, out.storages, field)
        parent = None
        if body.derived_from:
            parent = await self._row(
                caller, str(body.derived_from), Permission.TRANSFORMATION_CONTROL
            )
            await self._check_parent(parent, doc)
        if (
            await self._store.read(transformation_records.transformation_named, community, doc.name)
            is None
        ):
            await check_names(self._store, self._catalogue, community, group, doc)
        if body.dry_run:
            return await self._preview(caller, community, group, doc)
        owner = await self._owners.get(community, caller)
        state = TransformationState.ACTIVE if body.start and parent is None else (
            TransformationState.NEW
        )  # fmt: skip
        new = stored.NewTransformationRow(
            community=community,
            group=group,
            owner_id=owner.owner_id,
            name=doc.name,
            state=state,
            doc=_encode(doc),
            tasks_wanted=doc.tasks,
            scouts_until=doc.scouts,
            parent_id=parent.transformation_id if parent is not None else None,
            at=self._clock.wall(),
        )
        row = await self._store.write(transformation_records.add_transformation, new)
        if (row.doc, row.group, row.owner_id) != (new.doc, new.group, new.owner_id):
            raise self._taken(caller, row)
        if parent is not None:
            if row.parent_id != parent.transformation_id:
                raise self._taken(caller, row)
            row = await self._steering.derive(row, start=body.start)
        self._engine.touch(row.transformation_id)
        self._log(
            "transformation_said",
            transformation=row.transformation_id,
            name=row.name,
            what="add",
            who=self._owners.word(caller.issuer, caller.subject),
            why="",
        )
        return await self._detail(row)

    async def _resolved(
        self, caller: User, community: str, doc: Transformation
    ) -> tuple[Transformation, Mapping[str, KeyType]]:
        """Return the document with ids for names, and the metadata keys of files."""
        keys: dict[str, KeyType] = {}
        if doc.inputs or metadata_of(doc):
            keys = {
                one.key: one.type
                for one in await self._catalogue.read(catalogue_read.keys, community)
            }
        parents: dict[str, ParentTransformation] = {}
        for i, spec in enumerate(doc.inputs):
            if spec.from_ and spec.from_ not in parents:
                row = await self._parent(caller, spec.from_, f"inputs[{i}].from")
                parents[spec.from_] = ParentTransformation(
                    row.transformation_id, row.group, document(row)
                )
        return resolved(doc, keys, parents), keys

    async def _parent(self, caller: User, named: str, where: str) -> stored.TransformationRow:
        try:
            return await self._row(caller, named, Permission.TRANSFORMATION_READ)
        except Refused as why:
            field = f"document.{where}"
            raise Refused(Code.INVALID, f"{field}: {why.message}", field=field) from None

    async def _check_parent(self, parent: stored.TransformationRow, doc: Transformation) -> None:
        why = ""
        child = await self._store.read(
            transformation_records.derived_from, parent.transformation_id
        )
        before = (
            await self._store.read(transformation_records.transformation, child)
            if child is not None
            else None
        )
        named = await self._store.read(
            transformation_records.transformation_named, parent.community, doc.name
        )
        of_parent = [(spec.name, spec.use) for spec in document(parent).inputs]
        if parent.state is not TransformationState.STOPPED:
            why = f"it is {parent.state.value}: stop it first, so that it makes no more tasks"
        elif before is not None and (named is None or named.transformation_id != child):
            why = f"{before.name!r} was derived from it before, and is {before.state.value}"
        elif [(spec.name, spec.use) for spec in doc.inputs] != of_parent:
            names = ", ".join(f"{name} ({use})" for name, use in of_parent) or "none"
            why = f"a derived transformation needs the same inputs in the same order: {names}"
        if why:
            text = f"transformation {parent.transformation_id}: {why}"
            raise Refused(Code.ILLEGAL_STATE, text, field="derived_from")

    async def _preview(
        self, caller: User, community: str, group: str, doc: Transformation
    ) -> Preview:
        """Return the files that exist, and the first groups."""
        before = await self._store.read(
            transformation_records.transformation_named, community, doc.name
        )
        same = before is not None and before.doc == _encode(doc)
        if before is not None and not (same and self._reads(caller, before)):
            raise self._taken(caller, before)
        counts: dict[str, int] = {}
        files: list[WaitingInput] = []
        more: list[str] = []
        for i, spec in enumerate(doc.inputs):
            rows = await self._some(community, parse_query(spec.query, f"inputs[{i}].query"))
            rows = rows[: spec.files_max or len(rows)]
            if len(rows) > PREVIEW_FILES_MAX:
                more.append(spec.name)
                rows = rows[:PREVIEW_FILES_MAX]
            if spec.use == "once":
                files += [file_of(row, i, self._clock.wall()) for row in rows]
            counts[spec.name] = len(rows)
        rule = rule_of(doc.grouping.rule)
        groups: Sequence[tuple[WaitingInput, ...]] = [()]
        at_once = set(groups)
        plan = GroupingSpec(doc.grouping, doc.inputs)
        if doc.inputs:
            try:
                groups = grouped(rule, files, plan, now=self._clock.wall(), closing=True)
                at_once = set(grouped(rule, files, plan, now=self._clock.wall(), closing=False))
            except BadRule as why:
                raise Refused(Code.INVALID, str(why), field="document.grouping.rule") from None
        job: dict[str, Any] | None = None
        if groups:
            try:
                outputs = doc.outputs_dataset or f"{group}:transformation-ID"
                template = checked(doc, outputs)
                task = task_of(template, transformation_id=0, number=1, group=groups[0], side=())
            except LookupError as why:
                raise Refused(Code.INVALID, f"job: {why}", field="document.job") from None
            job = msgspec.to_builtins(task.job)
        shown_groups = [[one.did for one in group] for group in groups[:PREVIEW_GROUPS]]
        return Preview(
            inputs=counts,
            groups=shown_groups,
            groups_more=len(groups) - len(shown_groups),
            first_job=job,
            why="" if groups else why_no_group(plan, files),
            more=more,
            later=[i for i, one in enumerate(groups[:PREVIEW_GROUPS]) if one not in at_once],
        )

    async def _some(self, community: str, query: Query) -> Sequence[FileRow]:
        """Return the first files of a query; one more than the limit shows that there are more."""
        rows: list[FileRow] = []
        after: FileCursor | None = None
        while len(rows) <= PREVIEW_FILES_MAX:
            limit = min(PAGE_MAX, PREVIEW_FILES_MAX + 1 - len(rows))
            page = await self._catalogue.read(
                catalogue_read.find_files, community, query, after=after, limit=limit
            )
            rows += page.files
            after = page.next
            if after is None:
                break
        return rows

    # -- look -----------------------------------------------------------------------------------

    async def list(
        self, caller: User, *, states: tuple[TransformationState, ...], after: int, limit: int
    ) -> TransformationPage:
        """Return one page of transformations, in order of id."""
        bounds = scope(caller, Permission.TRANSFORMATION_READ, self._owners)
        rows = await self._store.read(
            transformation_records.transformations,
            bounds.community or None,
            states=states,
            after=after,
            limit=limit,
        )
        mine = [row for row in rows if self._covers(caller, row, Permission.TRANSFORMATION_READ)]
        counts = await self._store.read(
            transformation_records.transformation_counts, [row.transformation_id for row in mine]
        )
        steps = await self._store.read(
            transformation_records.steps_of, [row.transformation_id for row in mine]
        )
        views = [
            self._view(row, counts[row.transformation_id], steps.get(row.transformation_id))
            for row in mine
        ]
        last = rows[-1].transformation_id if len(rows) == limit else None
        return TransformationPage(transformations=views, after=last)

    async def show(self, caller: User, named: str) -> TransformationDetail:
        """Return all about a transformation; its files and secrets only with JOB_OUTPUT."""
        row = await self._row(caller, named, Permission.TRANSFORMATION_READ)
        detail = await self._detail(row)
        if not self._covers(caller, row, Permission.JOB_OUTPUT):
            document = {**detail.document, "job": sealed_job(detail.document["job"])}
            detail = msgspec.structs.replace(detail, document=document, sealed=True)
        tasks, active = detail.view.tasks, TransformationState.ACTIVE
        if row.state is not active or not row.seeded or tasks.get(TaskState.CREATED):
            return detail
        return msgspec.structs.replace(detail, waits=await self.why_waits(row))

    async def why_waits(self, row: stored.TransformationRow) -> str:
        """Return why the waiting inputs make no group; empty if none wait."""
        rows = await self._store.read(
            transformation_records.inputs,
            row.transformation_id,
            states=[InputState.UNUSED],
            after=(0, 0),
            limit=PAGE_MAX,
        )
        there = await self._catalogue.read(
            catalogue_read.files_by_id, [one.file_id for one in rows]
        )
        files = [
            file_of(there[one.file_id], one.input_no, one.changed_at)
            for one in rows
            if one.file_id in there
        ]
        doc = document(row)
        plan = GroupingSpec(doc.grouping, doc.inputs)
        if not files or len(rows) == PAGE_MAX:  # a part of them cannot show that none fit
            return lacking(plan, files)
        rule = rule_of(doc.grouping.rule)
        try:
            made = grouped(rule, files, plan, now=self._clock.wall(), closing=False)
        except BadRule as why:
            return str(why)
        if not made:
            return why_no_group(plan, files)
        return why_alone(plan, await self._side_inputs(row, doc), made)

    async def _side_inputs(self, row: stored.TransformationRow, doc: Transformation) -> SideInputs:
        """Return the present side inputs, at most a page of them."""
        rows = await self._store.read(
            transformation_records.inputs,
            row.transformation_id,
            states=[InputState.SHARED],
            after=(0, 0),
            limit=PAGE_MAX,
        )
        there = await self._catalogue.read(
            catalogue_read.files_by_id, [one.file_id for one in rows]
        )
        shared = [
            file_of(there[one.file_id], one.input_no, one.changed_at)
            for one in rows
            if one.file_id in there
        ]
        parents = {int(one.from_) for one in doc.inputs if one.from_}
        states = {
            one: await self._store.read(transformation_records.transformation, one)
            for one in parents
        }
        over = {one for one, its in states.items() if its is not None and its.state in OVER}
        return SideInputs(doc.inputs, shared, growing=growing(doc, over, seeded=row.seeded))

    async def files(
        self, caller: User, named: str, *, states: tuple[InputState, ...], after: str, limit: int
    ) -> InputPage:
        """Return one page of the inputs of a transformation."""
        row = await self._row(caller, named, Permission.TRANSFORMATION_READ)
        found = await self._store.read(
            transformation_records.inputs,
            row.transformation_id,
            states=states,
            after=_cursor(after),
            limit=limit,
        )
        files = await self._catalogue.read(
            catalogue_read.files_by_id, [one.file_id for one in found]
        )
        names = [spec.name for spec in document(row).inputs]
        views = [
            InputView(
                file=str(files[one.file_id].did) if one.file_id in files else f"#{one.file_id}",
                input=names[one.input_no],
                state=one.state,
                task=one.number,
                errors=one.errors,
                replays=one.replays,
                inherited=one.inherited,
                changed_at=shown(one.changed_at),
            )
            for one in found
        ]
        more = len(found) == limit
        return InputPage(
            files=views, after=f"{found[-1].file_id}:{found[-1].input_no}" if more else None
        )

    async def tasks(
        self, caller: User, named: str, *, states: tuple[TaskState, ...], after: int, limit: int
    ) -> TaskPage:
        """Return one page of the tasks of a transformation."""
        row = await self._row(caller, named, Permission.TRANSFORMATION_READ)
        found = await self._store.read(
            transformation_records.tasks,
            row.transformation_id,
            states=states,
            after=after,
            limit=limit,
        )
        standings = await self._store.write(job_records.standing, [one.job_id for one in found])
        jobs: dict[int, JobState] = {one: its.state for one, its in standings.items()}
        views = [
            TaskView(
                number=one.number,
                job=one.job_id,
                state=one.state,
                job_state=jobs.get(one.job_id),
                reason=one.reason,
                made_at=shown(one.made_at),
                ended_at=shown(one.ended_at),
                reused=one.is_reused,
            )
            for one in found
        ]
        return TaskPage(tasks=views, after=found[-1].number if len(found) == limit else None)

    # -- steer ----------------------------------------------------------------------------------

    async def act(
        self, caller: User, named: str, action: TransformationAction
    ) -> TransformationDetail:
        """Carry out an action; repeating it changes nothing. Raises Refused if it is impossible."""
        row = await self._row(caller, named, Permission.TRANSFORMATION_CONTROL)
        who = self._owners.word(caller.issuer, caller.subject)
        is_clean = action.action is TransformationActionName.CLEAN
        if is_clean or action.action is TransformationActionName.ARCHIVE:
            await self._check_alone(row, action.action.value)
        if action.action in _WORK or (
            row.state is TransformationState.COMPLETED and action.action in _WORK_AGAIN
        ):
            await self._check_production(row)
        if is_clean:
            await check_free(self._store, row, partial(self._reads, caller))
        try:
            changed = await self._steering.act(caller, row, action)
        except StoreError:
            if is_clean:
                await check_free(
                    self._store, row, partial(self._reads, caller)
                )  # another one may have taken its name since
            raise
        self._engine.touch(row.transformation_id)
        self._log(
            "transformation_said",
            transformation=row.transformation_id,
            name=row.name,
            what=action.action.value,
            who=who,
            why=action.reason,
        )
        now = await self._store.read(transformation_records.transformation, row.transformation_id)
        assert now is not None
        return msgspec.structs.replace(await self._detail(now), changed=changed)

    async def _check_alone(self, row: stored.TransformationRow, what: str) -> None:
        """Raise Refused for a step: its production would wait for it, or lack its files."""
        step = (
            await self._store.read(transformation_records.steps_of, [row.transformation_id])
        ).get(row.transformation_id)
        if step is not None:
            why = (
                f"action: transformation {row.transformation_id} is the step {step.step} of "
                f"production {step.production}: use `prod {what} {step.production}`"
            )
            raise Refused(Code.ILLEGAL_STATE, why, field="action")

    async def _check_production(self, row: stored.TransformationRow) -> None:
        """Raise Refused for a step whose production does not run: it would make tasks alone."""
        step = (
            await self._store.read(transformation_records.steps_of, [row.transformation_id])
        ).get(row.transformation_id)
        if step is None or step.state not in _GOES_ON:
            return
        why = (
            f"action: transformation {row.transformation_id} is the step {step.step} of "
            f"production {step.production}, which is {step.state.value}: "
            f"`prod {_GOES_ON[step.state]} {step.production}` continues all steps"
        )
        raise Refused(Code.ILLEGAL_STATE, why, field="action")

    # -- one row --------------------------------------------------------------------------------

    async def _row(self, caller: User, named: str, action: Permission) -> stored.TransformationRow:
        """Return the transformation with this id or name. Raises Refused, NOT_FOUND."""
        row = None
        if named.isascii() and named.isdecimal() and len(named) <= 16 and int(named) <= ID_MAX:
            row = await self._store.read(transformation_records.transformation, int(named))
        elif caller.community and 0 < len(named) <= 128:
            row = await self._store.read(
                transformation_records.transformation_named, caller.community, named
            )
        if row is None or not self._covers(caller, row, action):
            text = f"there is no transformation {short(named)!r}"
            raise Refused(Code.NOT_FOUND, text + await self._suggestion(caller, named, action))
        return row

    async def _suggestion(self, caller: User, named: str, action: Permission) -> str:
        """Return a question with the nearest name; empty if none is near."""
        bounds = scope(caller, action, self._owners)
        rows = await self._store.read(
            transformation_records.transformations,
            bounds.community or None,
            states=LIVE_NAMES,
            after=0,
            limit=PAGE_MAX,
        )
        names = {row.name for row in rows if self._covers(caller, row, action)}
        close = get_close_matches(named[:128], sorted(names), n=1)
        return f": did you mean {close[0]!r}?" if close else ""

    def _covers(self, caller: User, row: stored.TransformationRow, action: Permission) -> bool:
        return scope(caller, action, self._owners).covers_row(row)

    def _reads(self, caller: User, row: stored.TransformationRow) -> bool:
        return self._covers(caller, row, Permission.TRANSFORMATION_READ)

    def _taken(self, caller: User, row: stored.TransformationRow) -> Refused:
        """Return the refusal of a name. The id is shown only to callers who may read it."""
        text = f"name: {row.name!r} is taken by another user of the community: choose another name"
        if self._reads(caller, row):
            text = (
                f"name: {row.name!r} is the name of transformation {row.transformation_id}, which "
                "is a different one: choose another name, or archive or clean that one"
            )
        return Refused(Code.KEY_REUSED, text, field="document.name")

    async def _detail(self, row: stored.TransformationRow) -> TransformationDetail:
        one = row.transformation_id
        counts = await self._store.read(transformation_records.transformation_counts, [one])
        steps = await self._store.read(transformation_records.steps_of, [one])
        return TransformationDetail(
            view=self._view(row, counts[one], steps.get(one)),
            document=msgspec.json.decode(row.doc),
            scouts=msgspec.json.decode(row.scouted) if row.scouted else None,
        )

    def _view(
        self, row: stored.TransformationRow, counts: stored.StateCounts, step: ProductionStep | None
    ) -> TransformationView:
        doc = document(row)
        inputs: dict[str, dict[InputState, int]] = {spec.name: {} for spec in doc.inputs}
        for (number, state), files in sorted(counts.inputs.items(), key=_order):
            inputs[doc.inputs[number].name][state] = files
        marks: dict[str, bool] = {
            "scouting": bool(row.scouts_until),
            "flushing": row.flushing,
            "closing": row.closing and row.state is TransformationState.ACTIVE,
            "looking for inputs": bool(doc.inputs) and not row.seeded,
        }
        return TransformationView(
            id=row.transformation_id,
            name=row.name,
            title=doc.title,
            state=row.state,
            reason=row.reason,
            community=row.community,
            group=row.group,
            owner=self._owners.by_id(row.owner_id),
            inputs=inputs,
            tasks=dict(sorted(counts.tasks.items(), key=lambda item: item[0].value)),
            tasks_made=row.tasks_made,
            tasks_wanted=row.tasks_wanted,
            outputs=str(outputs_dataset(row.group, row.transformation_id, doc)),
            marks=tuple(mark for mark, holds in marks.items() if holds),
            derived_from=row.parent_id,
            made_at=shown(row.made_at),
            changed_at=shown(row.changed_at),
            production=step.production if step is not None else "",
            step=step.step if step is not None else "",
        )


def _order(item: tuple[tuple[int, InputState], int]) -> tuple[int, str]:
    return item[0][0], item[0][1].value


def _cursor(text: str) -> tuple[int, int]:
    """Return the place where a page begins. Raises Refused."""
    if not text:
        return 0, 0
    parts = text.split(":")
    if len(parts) == 2 and all(one.isdecimal() and len(one) <= 16 for one in parts):
        return int(parts[0]), int(parts[1])
    right = "the value of `after` from the page before"
    raise Refused(Code.INVALID, f"after: found {short(text)!r}, expected {right}", field="after")
