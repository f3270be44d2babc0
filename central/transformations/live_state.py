"""The engine's memory of a transformation. All of it can be read again."""

import math
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import msgspec

from pilotage.proto.catalogue import Did, parse_query
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.documents.transformation import SPREAD_OF, Transformation
from pilotage.proto.transformation_states import (
    MAKES_TASKS,
    InputState,
    TaskState,
    TransformationState,
)

from ..jobs.definition.normal_form import normal_needs
from .grouping import GroupingRule, GroupingSpec, WaitingInput
from .groupings.pending_groups import GroupingCache
from .groupings.rule_names import BUILT_IN, rule_of
from .input_files import TrimmedMetadata
from .inputs import WantedInput
from .missing_outputs import MISSING_KEY, MissingOutputs
from .record import TransformationRow
from .scouts import Figures, resized
from .task_jobs import Template

_decode = msgspec.json.Decoder(Transformation).decode
_figures = msgspec.json.Decoder(Figures).decode
NEVER: Final = math.inf
OVER: Final = frozenset(  # states of a parent that will make no more outputs
    {
        TransformationState.COMPLETED,
        TransformationState.ARCHIVED,
        TransformationState.CLEANING,
        TransformationState.CLEANED,
    }
)
SITELESS: Final = frozenset(BUILT_IN) - {"site"}  # rules that do not use the places of files


def document(row: TransformationRow) -> Transformation:
    """Return the document as the author submitted it."""
    return _decode(row.doc)


def parents_of(doc: Transformation) -> set[int]:
    """Return the transformations whose outputs one takes."""
    return {int(one.from_) for one in doc.inputs if one.from_}


def growing(doc: Transformation, over: Collection[int], *, seeded: bool) -> frozenset[int]:
    """Return the side inputs that tasks need completely, but that are not complete yet.

    `over` are the transformations that will make no more files; `seeded`: all earlier files have
    been checked.
    """
    return frozenset(
        i
        for i, one in enumerate(doc.inputs)
        if one.use == "shared"
        and not one.count
        and not (seeded and (not one.from_ or int(one.from_) in over))
    )


@dataclass
class LiveTransformation:
    """A live transformation of the engine."""

    row: TransformationRow
    doc: Transformation
    template: Template
    rule: GroupingRule
    open: int = 0  # tasks that have not ended
    ends: deque[TaskState] = field(default_factory=lambda: deque[TaskState](maxlen=SPREAD_OF))
    pool: dict[int, WaitingInput] | None = None  # waiting inputs; None: read them first
    shared: dict[int, WaitingInput] = field(
        default_factory=dict[int, WaitingInput]
    )  # side inputs, with the pool
    cut: TrimmedMetadata = field(
        default_factory=lambda: TrimmedMetadata(None)
    )  # the keys of files in use
    kept: GroupingCache = field(default_factory=GroupingCache)  # groups of many inputs
    is_whole: bool = True  # the pool has all waiting inputs
    dirty: bool = True  # there may be tasks to make
    look: bool = True  # it may be done
    due: float = NEVER  # when a partial group has waited long enough (wall clock)
    retries_at: float = NEVER  # when failed inputs are retried (wall clock)
    waits_for_room: bool = False  # a quota, the disk or a ban of its owner stops new tasks
    stale: bool = False  # read its row again
    aside: bool = False  # the store has refused a change: nothing is done until it is read again
    complete: frozenset[int] = frozenset()  # parents that will make no more files
    missing: MissingOutputs = MissingOutputs()  # their missing outputs
    _needs: tuple[tuple[Need, ...], bytes] | None = None

    @property
    def id(self) -> int:
        return self.row.transformation_id

    @property
    def plan(self) -> GroupingSpec:
        return GroupingSpec(self.doc.grouping, self.doc.inputs)

    @property
    def makes_tasks(self) -> bool:
        return self.row.state in MAKES_TASKS and not self.doc.by_run

    @property
    def may_make(self) -> bool:
        return self.dirty and self.makes_tasks

    @property
    def by_site(self) -> bool:
        return self.doc.grouping.rule not in SITELESS

    def seeded(self, place: str, *, is_end: bool) -> None:
        """Note how far the earlier files have been checked."""
        self.row = msgspec.structs.replace(self.row, seed_place=place, seeded=is_end)
        self.look = self.look or is_end
        self.dirty = self.dirty or is_end  # tasks that get all of an input may go

    def parents(self) -> set[int]:
        """Return the transformations whose outputs it takes: stored documents have ids."""
        return parents_of(self.doc)

    @property
    def growing(self) -> frozenset[int]:
        """The side inputs that tasks need completely, while more of their files may come."""
        return growing(self.doc, self.complete, seeded=self.row.seeded)

    @property
    def lacks_side_inputs(self) -> bool:
        """Whether no group can get all of its side inputs yet."""
        have = Counter(one.input_no for one in self.shared.values())
        growing = self.growing
        return any(
            i in growing or have[i] < max(1, one.count)
            for i, one in enumerate(self.doc.inputs)
            if one.use == "shared"
        )

    @property
    def closes_groups(self) -> bool:
        """Whether partial groups become tasks too."""
        if self.row.flushing or self.row.closing:
            return True
        completing = self.row.state is TransformationState.COMPLETING
        return completing and self.doc.grouping.partial != "never"

    def encoded(self, needs: tuple[Need, ...]) -> bytes:
        """Return needs in normal form as JSON; most tasks have those of the template."""
        if self._needs is None or self._needs[0] != needs:
            self._needs = (needs, msgspec.json.encode(normal_needs(needs)))
        return self._needs[1]

    def room(self) -> int:
        """Return the number of tasks that it may still make now."""
        bounds = [
            (self.row.scouts_until, self.row.tasks_made),
            (self.row.tasks_wanted, self.row.tasks_made),
            (self.doc.tasks_open_max, self.open),
        ]
        return min((most - have for most, have in bounds if most), default=1 << 30)

    def came(self, file: WaitingInput) -> None:
        """Note that an input has come, or come back."""
        self.look = self.dirty = True
        if self.pool is None:
            return
        if self.doc.inputs[file.input_no].use == "shared":
            self.shared[file.key] = file
        elif self.is_whole:
            self.pool[file.key] = file

    def forget(self) -> None:
        """Read the waiting inputs again: another part has changed them."""
        self.pool, self.look, self.dirty = None, True, True
        self.shared.clear()


def live(row: TransformationRow) -> LiveTransformation:
    """Return a live transformation. Raises Refused if the engine cannot run it."""
    doc = document(row)
    outputs = str(outputs_dataset(row.group, row.transformation_id, doc))
    template = Template(doc, outputs, _job(row, doc))
    return LiveTransformation(
        row,
        doc,
        template,
        rule_of(doc.grouping.rule),
        cut=TrimmedMetadata(_looked_at(doc, template)),
    )


def _looked_at(doc: Transformation, template: Template) -> Collection[str] | None:
    """Return the keys of files in use; None: all, for rules from other packages."""
    if doc.grouping.rule not in BUILT_IN:
        return None
    keys = (doc.grouping.keys, doc.inherit, *(one.on for one in doc.inputs))
    return template.names.union([MISSING_KEY], *keys)


def _job(row: TransformationRow, doc: Transformation) -> Job:
    job = resized(doc.job, _figures(row.scouted)) if row.scouted else doc.job
    if row.priority is None:
        return job
    return msgspec.structs.replace(job, priority=row.priority)


def wanted(row: TransformationRow, doc: Transformation) -> tuple[WantedInput, ...]:
    """Return the inputs of a transformation in the form for the index."""
    return tuple(
        WantedInput(
            transformation_id=row.transformation_id,
            input_no=i,
            community=row.community,
            query=parse_query(spec.query, f"inputs[{i}].query"),
            state=InputState.SHARED if spec.use == "shared" else InputState.UNUSED,
            from_id=int(spec.from_ or 0),
            files_max=spec.files_max,
        )
        for i, spec in enumerate(doc.inputs)
    )


def outputs_dataset(group: str, transformation_id: int, doc: Transformation) -> Did:
    """Return the dataset of a transformation's outputs. Raises BadCatalogueField."""
    if doc.outputs_dataset:
        return Did.parse(doc.outputs_dataset, "outputs_dataset")
    return Did(group, f"transformation-{transformation_id}")
