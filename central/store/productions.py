"""Productions and their steps, as a store keeps them.

Each step is a transformation, which is stored with the production or not at all. What changes a
production together with its steps is one compare-and-set over all of them.
"""

from typing import Final

import msgspec

from pilotage.proto.production_states import ProductionState

from .errors import StoreError
from .transformations import NewTransformation, TransformationRow

STEPS_MAX: Final = 1_000  # of one production: others wait no longer than for this many rows


class _Record(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Values alone, in no cycle."""


class NewProduction(_Record, frozen=True, kw_only=True):
    community: str
    group: str
    owner_id: int
    name: str
    title: str
    state: ProductionState
    definition: bytes  # JSON of what runs, with all of its files
    sha256: str  # of `definition`
    details: bytes  # JSON: what is only looked at
    rules: str = ""  # of failover; empty: the default ones
    priority: int | None = None  # None: as each job says
    rerun_of: int | None = None
    at: float


class NewStep(_Record, frozen=True, kw_only=True):
    """A step, with a transformation of an id that was reserved for it."""

    step: str
    parents: tuple[int, ...]  # places of the steps that feed it
    transformation_id: int
    transformation: NewTransformation


class ProductionRow(_Record, frozen=True, kw_only=True):
    production_id: int
    community: str
    group: str
    owner_id: int
    name: str
    title: str
    state: ProductionState
    reason: str
    sha256: str
    priority: int | None
    rerun_of: int | None
    made_at: float
    changed_at: float


class ProductionTexts(_Record, frozen=True, kw_only=True):
    """What is long of a production, and never changes."""

    definition: bytes
    details: bytes
    rules: str


class StepRow(_Record, frozen=True, kw_only=True):
    production_id: int
    place: int  # parents have lower ones
    step: str
    parents: tuple[int, ...]
    row: TransformationRow  # its document only where it was asked for


class StepName(_Record, frozen=True, kw_only=True):
    """Whose step a transformation is."""

    production_id: int
    production: str
    step: str


class ProductionMove(_Record, frozen=True, kw_only=True):
    """A compare-and-set of the state."""

    production_id: int
    old: ProductionState
    new: ProductionState
    reason: str
    at: float


class Extension(_Record, frozen=True, kw_only=True):
    """A compare-and-set of how many tasks a transformation is to have."""

    transformation_id: int
    old: int
    new: int


class Sample(_Record, frozen=True, kw_only=True):
    """How far a production was at a time."""

    production_id: int
    at: float
    progress: float  # from 0 to 1
    tasks_done: int


class TaskMean(_Record, frozen=True, kw_only=True):
    """What a task took, on the mean of the last ones that are Done."""

    tasks: int  # so many of them
    wall_s: float
    cpu_s: float
    memory_mb: float


class NameTaken(StoreError):
    """A transformation has the name of a step. Nothing was stored."""

    def __init__(self, name: str, transformation_id: int, step: str) -> None:
        super().__init__(f"{name!r} is the name of transformation {transformation_id}")
        self.name, self.transformation_id, self.step = name, transformation_id, step
