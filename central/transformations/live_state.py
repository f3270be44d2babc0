"""What the engine keeps in memory of a transformation. All of it can be read again."""

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
OVER: Final = frozenset(  # of one whose outputs are taken: no more of them will come
    {
        TransformationState.COMPLETED,
        TransformationState.ARCHIVED,
        TransformationState.CLEANING,
        TransformationState.CLEANED,
    }
)
SITELESS: Final = frozenset(BUILT_IN) - {"site"}  # rules that do not look at where files are


def document(row: TransformationRow) -> Transformation:
    """Return what its author has handed in."""
    return _decode(row.doc)


def parents_of(doc: Transformation) -> set[int]:
    """Return whose outputs a transformation takes."""
    return {int(one.from_) for one in doc.inputs if one.from_}


def growing(doc: Transformation, over: Collection[int], *, seeded: bool) -> frozenset[int]:
    """Return the side inputs of which tasks get all, while more of them may come, by number.

    `over` are the transformations of which no more files will come; `seeded`: those that were
    there have all been looked at.
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
    """A transformation that the engine has an eye on."""

    row: TransformationRow
    doc: Transformation
    template: Template
    rule: GroupingRule
    open: int = 0  # tasks that have not ended
    ends: deque[TaskState] = field(default_factory=lambda: deque[TaskState](maxlen=SPREAD_OF))
    pool: dict[int, WaitingInput] | None = None  # inputs that wait; None: to be read
    shared: dict[int, WaitingInput] = field(
        default_factory=dict[int, WaitingInput]
    )  # side inputs, with the pool
    cut: TrimmedMetadata = field(
        default_factory=lambda: TrimmedMetadata(None)
    )  # what of files is looked at
    kept: GroupingCache = field(default_factory=GroupingCache)  # groups of many inputs
    is_whole: bool = True  # the pool has all that waits
    dirty: bool = True  # tasks may have to be made
    look: bool = True  # it may be done
    due: float = NEVER  # when a group that is not full has waited long enough (wall clock)
    retries_at: float = NEVER  # when inputs that failed are tried again (wall clock)
    stale: bool = False  # its row is to be read again
    aside: bool = False  # the store has refused something of it: nothing is done until it is read
    complete: frozenset[int] = frozenset()  # parents of which no more files will come
    missing: MissingOutputs = MissingOutputs()  # what is missing of their outputs
    _needs: tuple[tuple[Need, ...], bytes] | None = None

    @property
    def id(self) -> int:
        return self.row.transformation_id

    @property
    def plan(self) -> GroupingSpec:
        return GroupingSpec(self.doc.grouping, self.doc.inputs)

    @property
    def makes_tasks(self) -> bool:
        return self.row.state in MAKES_TASKS

    @property
    def by_site(self) -> bool:
        return self.doc.grouping.rule not in SITELESS

    def seeded(self, place: str, *, is_end: bool) -> None:
        """So far the files that were there were looked through."""
        self.row = msgspec.structs.replace(self.row, seed_place=place, seeded=is_end)
        self.look = self.look or is_end
        self.dirty = self.dirty or is_end  # tasks that get all of an input may go

    def parents(self) -> set[int]:
        """Return whose outputs it takes: documents are stored with ids."""
        return parents_of(self.doc)

    @property
    def growing(self) -> frozenset[int]:
        """The side inputs of which tasks get all, while more of them may come."""
        return growing(self.doc, self.complete, seeded=self.row.seeded)

    @property
    def lacks_side_inputs(self) -> bool:
        """Whether no group at all can have what goes to it of some side input."""
        have = Counter(one.input_no for one in self.shared.values())
        growing = self.growing
        return any(
            i in growing or have[i] < max(1, one.count)
            for i, one in enumerate(self.doc.inputs)
            if one.use == "shared"
        )

    @property
    def closes_groups(self) -> bool:
        """Whether groups that are not full go too."""
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
        """Return how many tasks it may still make now."""
        bounds = [
            (self.row.scouts_until, self.row.tasks_made),
            (self.row.tasks_wanted, self.row.tasks_made),
            (self.doc.tasks_open_max, self.open),
        ]
        return min((most - have for most, have in bounds if most), default=1 << 30)

    def came(self, file: WaitingInput) -> None:
        """An input has come, or come back."""
        self.look = self.dirty = True
        if self.pool is None:
            return
        if self.doc.inputs[file.input_no].use == "shared":
            self.shared[file.key] = file
        elif self.is_whole:
            self.pool[file.key] = file

    def forget(self) -> None:
        """What waits is to be read again: somebody else has changed it."""
        self.pool, self.look, self.dirty = None, True, True
        self.shared.clear()


def live(row: TransformationRow) -> LiveTransformation:
    """Return a transformation as the engine takes it up. Raises Refused where it cannot be."""
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
    """Return the keys of files that our rules and the template look at; None: all, for others'."""
    if doc.grouping.rule not in BUILT_IN:
        return None
    return template.names.union([MISSING_KEY], doc.grouping.keys, *(one.on for one in doc.inputs))


def _job(row: TransformationRow, doc: Transformation) -> Job:
    job = resized(doc.job, _figures(row.scouted)) if row.scouted else doc.job
    if row.priority is None:
        return job
    return msgspec.structs.replace(job, priority=row.priority)


def wanted(row: TransformationRow, doc: Transformation) -> tuple[WantedInput, ...]:
    """Return which files are its inputs."""
    return tuple(
        WantedInput(
            transformation_id=row.transformation_id,
            input_no=i,
            community=row.community,
            query=parse_query(spec.query, f"inputs[{i}].query"),
            state=InputState.SHARED if spec.use == "shared" else InputState.UNUSED,
            from_id=int(spec.from_ or 0),
        )
        for i, spec in enumerate(doc.inputs)
    )


def outputs_dataset(group: str, transformation_id: int, doc: Transformation) -> Did:
    """Return where the outputs of a transformation lie. Raises NotRight."""
    if doc.outputs_dataset:
        return Did.parse(doc.outputs_dataset, "outputs_dataset")
    return Did(group, f"transformation-{transformation_id}")
