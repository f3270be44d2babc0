"""A cache of the parts of productions that only a correction changes."""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..ports import Clock
from ..store.engine import Store
from ..transformations.live_state import document, outputs_dataset
from ..workflows.plan import WorkflowPlan, plan
from . import record as production_records
from .definition import Definition, unpacked
from .record import TaskMean

STEPS_MAX: Final = 5_000  # of all cached productions
MEANS_S: Final = 30.0  # seconds for which known means of tasks are cached …
UNKNOWN_S: Final = 2.0  # … and unknown ones
MEANS_MAX: Final = 20_000
CHUNK: Final = 100  # transformations whose means are read at once


@dataclass(frozen=True)
class KnownStep:
    """Facts from the document of a step."""

    title: str
    outputs: str  # the dataset of its outputs
    once: frozenset[int]  # the numbers of its inputs that are used once


@dataclass(frozen=True)
class KnownProduction:
    """A production in the cache."""

    definition: Definition
    plan: WorkflowPlan
    steps: Mapping[int, KnownStep]  # by transformation


class ProductionCache:
    """Reads each production once, and keeps recent ones."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._kept: OrderedDict[int, KnownProduction] = OrderedDict()
        self._size = 0
        # until when they hold, and the values
        self._means: dict[int, tuple[float, TaskMean | None]] = {}

    async def of(self, production_id: int, steps: Collection[int]) -> KnownProduction:
        """Return the constant parts of a stored production.

        `steps` are its transformations: a correction has replaced some if the cache has others.
        """
        known = self._kept.get(production_id)
        if known is not None and set(known.steps) == set(steps):
            self._kept.move_to_end(production_id)
            return known
        self.drop(production_id)
        texts = await self._store.read(production_records.production_texts, production_id)
        rows = await self._store.read(
            production_records.production_steps, [production_id], documents=True
        )
        assert texts is not None
        definition = unpacked(texts.definition)
        found: dict[int, KnownStep] = {}
        for one in rows[production_id]:
            doc = document(one.row)
            found[one.row.transformation_id] = KnownStep(
                title=doc.title,
                outputs=str(outputs_dataset(one.row.group, one.row.transformation_id, doc)),
                once=frozenset(i for i, spec in enumerate(doc.inputs) if spec.use == "once"),
            )
        known = KnownProduction(definition, plan(definition.workflow), found)
        self._keep(production_id, known)
        return known

    def drop(self, production_id: int) -> None:
        """Read a production anew next time."""
        dropped = self._kept.pop(production_id, None)
        if dropped is not None:
            self._size -= len(dropped.steps)

    def _keep(self, production_id: int, known: KnownProduction) -> None:
        if production_id in self._kept:  # another request has read it in between
            return
        self._kept[production_id] = known
        self._size += len(known.steps)
        while self._size > STEPS_MAX and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._size -= len(dropped.steps)

    async def means(self, transformation_ids: Sequence[int]) -> dict[int, TaskMean]:
        """Return the means of tasks, at most 30 s old; transformations without one are omitted."""
        now = self._clock.monotonic()
        old = [
            one for one in transformation_ids if one not in self._means or self._means[one][0] < now
        ]
        if len(self._means) + len(old) > MEANS_MAX:
            self._means.clear()
        for start in range(0, len(old), CHUNK):
            some = old[start : start + CHUNK]
            found = await self._store.read(production_records.task_means, some)
            for one in some:
                until = now + (MEANS_S if one in found else UNKNOWN_S)
                self._means[one] = (until, found.get(one))
        known = ((one, self._means.get(one, (0.0, None))[1]) for one in transformation_ids)
        return {one: mean for one, mean in known if mean is not None}
