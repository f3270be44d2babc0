"""Answers users: add, show and steer productions. The engine and the watch do the rest."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from typing import Final

import msgspec

from pilotage.proto.api.jobs import PAGE_MAX
from pilotage.proto.api.productions import (
    CwlOutputs,
    NewProduction,
    ProductionAction,
    ProductionActionName,
    ProductionDetail,
    ProductionPage,
    ProductionPreview,
    ProductionReport,
    StepReport,
)
from pilotage.proto.decoding.complaints import short
from pilotage.proto.documents.cwl import CwlDocument
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.documents.workflow import StepName, Workflow
from pilotage.proto.ids import ID_MAX
from pilotage.proto.problems import Code
from pilotage.proto.production_states import NAMED, ProductionState
from pilotage.proto.transformation_states import TaskState, TransformationState

from ..catalogue import record_read as catalogue_read
from ..catalogue.storages import Storages
from ..errors import Refused
from ..identity.callers import User
from ..identity.policy import Permission
from ..identity.scope import Owners, scope
from ..jobs.definition.checks import check_tokens, community_of, group_of
from ..observe.events import Log
from ..ports import Clock
from ..rucio.outgoing import RucioEntries
from ..store.engine import Store
from ..store.errors import StoreError
from ..transformations import record as transformation_records
from ..transformations.document_resolution import check_name
from ..transformations.missing_outputs import STUCK
from ..transformations.record import NewTransformationRow, TransformationRow
from ..transformations.reuse import record as reuse_records
from ..transformations.steering import check_free
from . import record as production_records, record as stored
from .correction import STATES, check_may_correct, correction_of, differing, said_of
from .cwl_steps import CwlShape, steps_of
from .definition import (
    Definition,
    Details,
    StoredStep,
    check_definition,
    check_outputs,
    details_of,
    documents,
    laid,
    numbered,
    packed,
    shown_definition,
    unpacked,
)
from .definition_cache import ProductionCache
from .output_names import check_names
from .preview import preview
from .record import NameTaken, ProductionRow
from .restricted_view import sealed
from .resubmission import check_same
from .reuse_reasons import reasons_of
from .steering import ProductionControl
from .step_failures import LastLine, failures_of
from .views import SUCCESS, Views
from .worker_threads import on_thread

NAMED_MAX: Final = 128
CheckRules = Callable[[Workflow, str], str]
ShapeOf = Callable[[User, CwlDocument], Awaitable[CwlShape]]
Waits = Callable[[TransformationRow], Awaitable[str]]

_encode = msgspec.json.encode


class ProductionService:
    """Answers requests about productions."""

    def __init__(
        self,
        *,
        store: Store,
        catalogue: Store,
        owners: Owners,
        cache: ProductionCache,
        views: Views,
        steering: ProductionControl,
        check_rules: CheckRules,
        shape_of: ShapeOf,
        storages: Storages,
        rucio: RucioEntries,
        last_line: LastLine,
        waits: Waits,
        touch: Callable[[int], None],
        nudge: Callable[[int], None],
        version: str,
        clock: Clock,
        log: Log,
    ) -> None:
        """Make a service; `touch` tells the engine of a transformation, `nudge` the watch of a
        production.

        `check_rules` returns the failover rules for a workflow and the rules of the request, and
        raises Refused. `last_line` reads the last line of an attempt's standard error. `waits` says
        why the waiting files of a step make no group. `rucio` returns the servers
        that get outputs. `shape_of` checks and reads a CWL document.
        """
        self._store, self._catalogue, self._owners = store, catalogue, owners
        self._cache, self._views, self._steering = cache, views, steering
        self._storages, self._rucio, self._last_line = storages, rucio, last_line
        self._check_rules, self._waits = check_rules, waits
        self._shape_of = shape_of
        self._touch, self._nudge = touch, nudge
        self._version, self._clock, self._log = version, clock, log
        self._reading = asyncio.Lock()

    # -- add ------------------------------------------------------------------------------------

    async def add(self, caller: User, body: NewProduction) -> ProductionDetail | ProductionPreview:
        """Store a production with its transformations, or with `dry_run` preview it.

        Raises Refused with the faults; then nothing was stored.
        """
        community = community_of(caller)
        before = await self._rerun(caller, body)
        definition = await self._definition(caller, body, before)
        name = _name(body, definition)
        rules, docs = await self._read(definition, name, body.rules, before)
        group = _group(caller, docs)
        keys = {
            one.key: one.type for one in await self._catalogue.read(catalogue_read.keys, community)
        }
        lay = partial(
            laid,
            definition,
            docs,
            group=group,
            keys=keys,
            community=community,
            rucio=self._rucio(),
        )
        workflow = definition.workflow
        await on_thread(workflow, partial(lay, ids=numbered(docs, 1)))  # before ids are reserved
        blob, sha256 = await on_thread(workflow, partial(packed, definition))
        owner = await self._owners.get(community, caller)
        at = self._clock.wall()
        new = stored.NewProductionRow(
            community=community,
            group=group,
            owner_id=owner.owner_id,
            name=name,
            title=body.title or (before.row.title if before else definition.workflow.title),
            state=ProductionState.ACTIVE if body.start else ProductionState.NEW,
            definition=blob,
            sha256=sha256,
            details=_encode(
                Details(
                    written=before.details.written if before else body.written,
                    version=self._version,
                    priority=body.priority,
                )
            ),
            rules=rules,
            priority=body.priority if body.priority is not None or not before else (
                before.row.priority
            ),
            rerun_of=before.row.production_id if before else None,
            is_cwl=definition.cwl is not None,
            at=at,
        )  # fmt: skip
        says = frozenset(one for one in ("title", "rules") if getattr(body, one))
        if body.priority is not None:
            says |= {"priority"}
        known = await self._store.read(production_records.production_named, community, name)
        if body.correct:
            return await self._correct(caller, known, new, definition, docs, lay, body.dry_run)
        if known is not None:
            await self._check_same(caller, known, new, says)
        else:
            check_outputs(workflow, self._storages.book)
            await check_names(self._catalogue, community, group, workflow, docs)
        if body.dry_run:
            await self._check_free_names(caller, community, known, docs)
            return await preview(
                self._catalogue, community, definition, docs, name=name, sha256=sha256
            )
        first = await self._store.write(production_records.reserve_transformations, len(docs))
        wanted: Mapping[str, int] = before.wanted if before else {}
        steps = await on_thread(workflow, partial(lay, ids=numbered(docs, first)))
        row = await self._store_all(caller, new, steps, wanted)
        await self._check_same(caller, row, new, says)
        if not await self._begin(row, first):
            did = ["it exists already: nothing was added"]
            return msgspec.structs.replace(await self._detail(row), did=did, was_there=True)
        self._log_action(caller, row, "rerun" if before else "add", "")
        return msgspec.structs.replace(await self._detail(row), did=_extended(docs, wanted))

    async def _correct(
        self,
        caller: User,
        row: ProductionRow | None,
        new: stored.NewProductionRow,
        definition: Definition,
        docs: Mapping[str, Transformation],
        lay: Callable[..., list[StoredStep]],
        dry_run: bool,
    ) -> ProductionDetail | ProductionPreview:
        """Replace the definition of a production; steps that differ run again. Raises Refused."""
        if row is None:
            why = f"correct: there is no production {new.name!r}: submit it without `correct`"
            raise Refused(Code.NOT_FOUND, why, field="correct")
        texts = await self._store.read(production_records.production_texts, row.production_id)
        assert texts is not None
        controls = self._covers(caller, row, Permission.PRODUCTION_CONTROL)
        check_may_correct(row, new, texts.rules, controls)
        if new.sha256 == row.sha256 and not dry_run and not await self._has_failed(row):
            did = ["it has this definition already: nothing was changed"]
            return msgspec.structs.replace(await self._detail(row), did=did, was_there=True)
        old, workflow = unpacked(texts.definition), definition.workflow
        standing = await self._steering.steps(row)
        known = {one.step: one.row for one in standing}
        again = differing(old, definition, row.name, docs)
        fresh = {step: doc for step, doc in docs.items() if step in again}
        check_outputs(workflow, self._storages.book)
        await check_names(
            self._catalogue, row.community, row.group, workflow, fresh, again=not new.is_cwl
        )
        if dry_run:
            return await preview(
                self._catalogue, row.community, definition, docs, name=row.name, sha256=new.sha256
            )
        first = await self._store.write(production_records.reserve_transformations, len(fresh) or 1)
        ids = {step: one.transformation_id for step, one in known.items() if step in docs}
        ids |= numbered(fresh, first)
        steps = await on_thread(workflow, partial(lay, ids=ids))
        wanted = _still_wanted(old, row.name, docs, known)
        rows = self._rows(new, steps, wanted)
        change = correction_of(row, new, standing, [
            one if one.step in fresh else msgspec.structs.replace(one, transformation=None)
            for one in rows
        ])  # fmt: skip
        try:
            done = await self._store.write(production_records.correct_production, change)
        except NameTaken as why:
            raise await self._taken(caller, why) from None
        if done is None:
            text = (
                "correct: jobs of the production still run, or it was changed at the same time: "
                f"run `pilotage prod wait {row.name}`, then submit the file again"
            )
            raise Refused(Code.ILLEGAL_STATE, text, field="correct")
        self._cache.drop(row.production_id)
        for one in {*ids.values(), *(its.transformation_id for its in known.values())}:
            self._touch(one)
        for one in (row.production_id, done):
            self._nudge(one)
        self._log_action(caller, row, "correct", "")
        now = await self._store.read(production_records.production, row.production_id)
        assert now is not None
        return msgspec.structs.replace(await self._detail(now), did=said_of(change, done))

    async def _has_failed(self, row: ProductionRow) -> bool:
        """Return whether its run of a CWL document has failed: the same document may run again."""
        end = await self._store.read(production_records.cwl_end, row.production_id)
        return end is not None and end.status not in ("", SUCCESS)

    async def _definition(
        self, caller: User, body: NewProduction, before: "_Before | None"
    ) -> Definition:
        """Return the definition of a request. Raises Refused for a wrong CWL document."""
        if before is not None:
            if body.reuse:
                return before.definition
            return msgspec.structs.replace(before.definition, reuse=False)
        if body.cwl is not None:
            shape = await self._shape_of(caller, body.cwl)
            workflow = steps_of(body.cwl, shape.name, shape.title, shape.parents)
            return Definition(workflow=workflow, cwl=body.cwl, files=body.files, reuse=body.reuse)
        assert body.workflow is not None
        return Definition(
            workflow=body.workflow,
            files=body.files,
            images=body.images,
            reuse=body.reuse,
        )

    async def _read(
        self, definition: Definition, name: str, rules: str, before: "_Before | None"
    ) -> tuple[str, Mapping[str, Transformation]]:
        """Return the rules and the documents of the steps. Raises Refused.

        A large workflow takes seconds: it is read on a thread, one at a time.
        """

        def read() -> tuple[str, Mapping[str, Transformation]]:
            check_definition(definition)
            text = before.rules if before else ""
            if rules or not before:
                text = self._check_rules(definition.workflow, rules)
            return text, documents(definition, name)

        async with self._reading:
            return await on_thread(definition.workflow, read, rules=rules)

    async def _store_all(
        self,
        caller: User,
        new: stored.NewProductionRow,
        steps: Sequence[StoredStep],
        wanted: Mapping[str, int],
    ) -> ProductionRow:
        """Store all of it or nothing; `wanted` are the tasks of extended steps.

        Raises Refused if another transformation has the name of a step.
        """
        rows = self._rows(new, steps, wanted)
        try:
            return await self._store.write(production_records.add_production, new, rows)
        except NameTaken as why:
            raise await self._taken(caller, why) from None

    async def _taken(self, caller: User, why: NameTaken) -> Refused:
        other = await self._store.read(transformation_records.transformation, why.transformation_id)
        return self._clash(caller, why.step, other, why.name)

    def _rows(
        self,
        new: stored.NewProductionRow,
        steps: Sequence[StoredStep],
        wanted: Mapping[str, int],
    ) -> list[stored.NewStep]:
        """Return new steps, with their transformations."""
        return [
            stored.NewStep(
                step=one.step,
                parents=one.parents,
                transformation_id=one.transformation_id,
                transformation=NewTransformationRow(
                    community=new.community,
                    group=new.group,
                    owner_id=new.owner_id,
                    name=one.doc.name,
                    state=STATES.get(new.state, TransformationState.ACTIVE),
                    doc=_encode(one.doc),
                    tasks_wanted=wanted.get(one.step, one.doc.tasks),
                    scouts_until=one.doc.scouts,
                    priority=new.priority,
                    at=new.at,
                ),
            )
            for one in steps
        ]

    async def _begin(self, row: ProductionRow, first: int) -> bool:
        """Tell the engine and the watch of a stored production.

        Return whether it was stored now: its transformations have the ids from `first` on.
        """
        ids = [one.row.transformation_id for one in await self._steering.steps(row)]
        for one in ids:
            self._touch(one)
        self._nudge(row.production_id)
        return first in ids

    async def _check_same(
        self, caller: User, row: ProductionRow, new: stored.NewProductionRow, says: frozenset[str]
    ) -> None:
        """Raise Refused if the production of this name is another one."""
        texts = await self._store.read(production_records.production_texts, row.production_id)
        assert texts is not None
        reads = self._covers(caller, row, Permission.PRODUCTION_READ)
        check_same(row, texts, new, says=says, reads=reads)

    async def _check_free_names(
        self,
        caller: User,
        community: str,
        known: ProductionRow | None,
        docs: Mapping[str, Transformation],
    ) -> None:
        """Raise Refused if another transformation has the name of a step."""
        if known is not None:
            return
        for step, doc in docs.items():
            other = await self._store.read(
                transformation_records.transformation_named, community, doc.name
            )
            if other is not None:
                raise self._clash(caller, step, other)

    async def _rerun(self, caller: User, body: NewProduction) -> "_Before | None":
        """Return the production to rerun, or None. Raises Refused for a wrong request."""
        if not body.rerun_of:
            if body.workflow is None and body.cwl is None:
                why = "workflow: give one, or name a production in `rerun_of`"
                raise Refused(Code.INVALID, why, field="workflow")
            return None
        if body.workflow is not None or body.cwl is not None or body.files or body.images:
            why = "rerun_of: a rerun uses the workflow and files of the production: give none"
            raise Refused(Code.INVALID, why, field="rerun_of")
        if not body.name:
            why = "name: a rerun needs a new name"
            raise Refused(Code.INVALID, why, field="name")
        row = await self._row(caller, body.rerun_of, Permission.PRODUCTION_READ)
        texts = await self._store.read(production_records.production_texts, row.production_id)
        assert texts is not None
        definition = unpacked(texts.definition)
        if definition.is_replaced:
            why = f"rerun_of: production {row.name} only shows steps that were replaced"
            raise Refused(Code.ILLEGAL_STATE, why, field="rerun_of")
        return _Before(
            row,
            definition,
            details_of(texts.details),
            texts.rules,
            {one.step: one.row.tasks_wanted for one in await self._steering.steps(row)},
        )

    # -- look -----------------------------------------------------------------------------------

    async def list(
        self, caller: User, *, states: tuple[ProductionState, ...], after: int, limit: int
    ) -> ProductionPage:
        """Return one page of productions, in order of id."""
        bounds = scope(caller, Permission.PRODUCTION_READ, self._owners)
        rows = await self._store.read(
            production_records.productions,
            bounds.community or None,
            states=states,
            after=after,
            limit=limit,
        )
        mine = [row for row in rows if self._covers(caller, row, Permission.PRODUCTION_READ)]
        last = rows[-1].production_id if len(rows) == limit else None
        return ProductionPage(productions=await self._views.of(mine), after=last)

    async def show(self, caller: User, named: str) -> ProductionDetail:
        """Return all about a production; its files and secrets only with JOB_OUTPUT."""
        row = await self._row(caller, named, Permission.PRODUCTION_READ)
        detail = await self._detail(row)
        return detail if self._covers(caller, row, Permission.JOB_OUTPUT) else sealed(detail)

    async def report(self, caller: User, named: str) -> ProductionReport:
        """Return the report of a production: failures and stuck files by step.

        Standard error of jobs is quoted only with JOB_OUTPUT.
        """
        row = await self._row(caller, named, Permission.PRODUCTION_READ)
        view = await self._views.one(row)
        rows = await self._store.read(
            production_records.production_steps, [row.production_id], documents=True
        )
        steps = rows[row.production_id]
        ids = [one.row.transformation_id for one in steps]
        means = await self._cache.means(ids)
        reads = self._last_line if self._covers(caller, row, Permission.JOB_OUTPUT) else None
        failures = await failures_of(self._store, [one.row for one in steps], reads)
        reused = await self._reused(ids)
        run = await self._store.read(reuse_records.tasks_not_reused, ids)
        definition = (await self._cache.of(row.production_id, ids)).definition
        reports: list[StepReport] = []
        for one, its, failed in zip(steps, view.steps, failures, strict=True):
            mean = means.get(one.row.transformation_id)
            reports.append(
                StepReport(
                    step=one.step,
                    failures=failed,
                    waits=await self._why_waits(one.row, its.tasks),
                    stuck={state: its.inputs[state] for state in STUCK if its.inputs.get(state)},
                    task_s=mean.wall_s if mean is not None else None,
                    memory_mb=mean.memory_mb if mean is not None else None,
                    reused=reused.get(one.row.transformation_id, {}),
                    not_reused=reasons_of(definition, one.step, run, one.row.transformation_id),
                )
            )
        files, size = await self._store.read(production_records.files_made, ids)
        return ProductionReport(view=view, steps=reports, files=files, bytes=size)

    async def _reused(self, ids: Sequence[int]) -> dict[int, dict[str, int]]:
        """Return how many results transformations reuse, by the transformation that made them."""
        found: dict[int, dict[str, int]] = {}
        for one in await self._store.read(reuse_records.reused_tasks, ids):
            name = "removed jobs"
            if one.from_id:
                row = await self._store.read(transformation_records.transformation, one.from_id)
                name = f"transformation {one.from_id}"
                name += f" ({row.name})" if row is not None else ""
            found.setdefault(one.transformation_id, {})[name] = one.tasks
        return found

    async def outputs(self, caller: User, named: str) -> CwlOutputs:
        """Return the outputs of the run of a CWL document. Raises Refused for other productions."""
        row = await self._row(caller, named, Permission.PRODUCTION_READ)
        found = await self._store.read(production_records.cwl_end, row.production_id)
        if found is None:
            why = f"production {row.name} was not made from a CWL document"
            raise Refused(Code.NOT_FOUND, f"{why}: its files are in the catalogue", field="name")
        may = self._covers(caller, row, Permission.JOB_OUTPUT)
        return CwlOutputs(
            status=found.status, why=found.why if may else "", outputs=found.outputs if may else {}
        )

    async def _why_waits(self, row: TransformationRow, tasks: Mapping[TaskState, int]) -> str:
        if row.state is not TransformationState.ACTIVE or not row.seeded or row.tasks_wanted:
            return ""
        return "" if tasks.get(TaskState.CREATED) else await self._waits(row)

    # -- steer ----------------------------------------------------------------------------------

    async def act(self, caller: User, named: str, action: ProductionAction) -> ProductionDetail:
        """Carry out an action; repeating it changes nothing. Raises Refused if it is impossible."""
        row = await self._row(caller, named, Permission.PRODUCTION_CONTROL)
        if action.action is ProductionActionName.CLEAN and row.state is ProductionState.ARCHIVED:
            await self._check_free(caller, row)
        try:
            did = await self._steering.act(caller, row, action)
        except StoreError:
            if action.action is ProductionActionName.CLEAN:
                # another production may have taken its name since
                await self._check_free(caller, row)
            raise
        self._nudge(row.production_id)
        self._log_action(caller, row, action.action.value, action.reason)
        now = await self._store.read(production_records.production, row.production_id)
        assert now is not None
        return msgspec.structs.replace(await self._detail(now), did=did)

    async def _check_free(self, caller: User, row: ProductionRow) -> None:
        """Raise Refused if another production has the name of an archived one."""
        other = await self._store.read(production_records.production_named, row.community, row.name)
        if other is not None and other.production_id != row.production_id:
            why = f"name: {row.name!r} is taken by another user of the community by now"
            if self._covers(caller, other, Permission.PRODUCTION_READ):
                why = (
                    f"name: {row.name!r} is the name of production {other.production_id} by now: "
                    "archive or clean that one first"
                )
            raise Refused(Code.ILLEGAL_STATE, why, field="name")
        for one in await self._steering.steps(row):
            await check_free(self._store, one.row, partial(self._reads, caller))

    def _clash(
        self, caller: User, step: str, other: TransformationRow | None, name: str = ""
    ) -> Refused:
        """Return the refusal of a step's name. The id is shown only to callers who may read it."""
        name = name or (other.name if other is not None else "")
        by, do = "another user of the community", ""
        if other is not None and self._reads(caller, other):
            by, do = f"transformation {other.transformation_id}", ", or archive or clean that one"
        text = (
            f"name: step {step} would be {name!r}, and {by} has that name: choose another name for "
        )
        return Refused(Code.KEY_REUSED, f"{text}the production{do}", field="name")

    def _reads(self, caller: User, row: TransformationRow) -> bool:
        return self._covers(caller, row, Permission.TRANSFORMATION_READ)

    def _log_action(self, caller: User, row: ProductionRow, what: str, why: str) -> None:
        self._log(
            "production_said",
            production=row.production_id,
            name=row.name,
            what=what,
            who=self._owners.word(caller.issuer, caller.subject),
            why=why,
        )

    # -- one row --------------------------------------------------------------------------------

    async def _row(self, caller: User, named: str, action: Permission) -> ProductionRow:
        """Return the production with this id or name. Raises Refused, NOT_FOUND."""
        row = None
        if named.isascii() and named.isdecimal() and len(named) <= 16 and int(named) <= ID_MAX:
            row = await self._store.read(production_records.production, int(named))
        elif caller.community and 0 < len(named) <= NAMED_MAX:
            row = await self._store.read(
                production_records.production_named, caller.community, named
            )
        if row is None or not self._covers(caller, row, action):
            text = f"there is no production {short(named)!r}"
            raise Refused(Code.NOT_FOUND, text + await self._suggestion(caller, named, action))
        return row

    async def _suggestion(self, caller: User, named: str, action: Permission) -> str:
        """Return a question with the nearest name; empty if none is near."""
        bounds = scope(caller, action, self._owners)
        rows = await self._store.read(
            production_records.productions,
            bounds.community or None,
            states=NAMED,
            after=0,
            limit=PAGE_MAX,
        )
        names = {row.name for row in rows if self._covers(caller, row, action)}
        close = get_close_matches(named[:NAMED_MAX], sorted(names), n=1)
        return f": did you mean {close[0]!r}?" if close else ""

    def _covers(
        self, caller: User, row: ProductionRow | TransformationRow, action: Permission
    ) -> bool:
        return scope(caller, action, self._owners).covers_row(row)

    async def _detail(self, row: ProductionRow) -> ProductionDetail:
        view = await self._views.one(row)
        texts = await self._store.read(production_records.production_texts, row.production_id)
        assert texts is not None
        ids = [one.transformation for one in view.steps]
        definition = (await self._cache.of(row.production_id, ids)).definition
        details = details_of(texts.details)
        workflow, files = shown_definition(definition)
        return ProductionDetail(
            view=view,
            workflow=workflow,
            files=files,
            written=msgspec.to_builtins(details.written),
            rules=texts.rules,
            software=definition.workflow.software,
            images=definition.images,
            version=details.version,
        )


@dataclass(frozen=True)
class _Before:
    """The production of a rerun."""

    row: ProductionRow
    definition: Definition
    details: Details
    rules: str
    wanted: Mapping[str, int]  # the tasks of each step, extensions included


def _name(body: NewProduction, definition: Definition) -> str:
    """Return the name of a production. Raises Refused for an invalid name."""
    name = body.name or definition.workflow.name
    check_name(name, "name")
    try:
        return msgspec.convert(name, StepName)
    except msgspec.ValidationError:
        why = f"name: found {short(name)!r}, expected letters, digits, `_` and `-`, at most 64"
        raise Refused(Code.INVALID, why, field="name") from None


def _group(caller: User, docs: Mapping[str, Transformation]) -> str:
    """Return the group of all steps. Raises Refused if they differ, or ask for tokens in vain."""
    groups = {
        step: group_of(caller, doc.job, f"workflow.steps.{step}.job") for step, doc in docs.items()
    }
    for step, doc in docs.items():
        check_tokens(caller, doc.job, f"workflow.steps.{step}.job")
    first, group = next(iter(groups.items()))
    for step, other in groups.items():
        if other != group:
            why = f"step {step} is of group {other}, step {first} of {group}: all need one group"
            raise Refused(Code.INVALID, why, field=f"workflow.steps.{step}.job.group")
    return group


def _still_wanted(
    old: Definition,
    name: str,
    docs: Mapping[str, Transformation],
    known: Mapping[str, TransformationRow],
) -> dict[str, int]:
    """Return the tasks of steps that were extended, and whose number the new definition keeps."""
    before = documents(old, name)
    return {
        step: known[step].tasks_wanted
        for step, doc in docs.items()
        if step in known and step in before and before[step].tasks == doc.tasks
    }


def _extended(docs: Mapping[str, Transformation], wanted: Mapping[str, int]) -> list[str]:
    """Return messages about the steps of a rerun that make more tasks than the workflow says."""
    return [
        f"step {step} makes {wanted[step]} tasks, the extended number; its workflow says "
        f"{doc.tasks}"
        for step, doc in docs.items()
        if wanted.get(step, doc.tasks) != doc.tasks
    ]
