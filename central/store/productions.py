"""Productions and their steps, as a store keeps them, and the verbs for it.

Each step is a transformation, which is stored with the production or not at all. What changes a
production together with its steps is one compare-and-set over all of them.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from pilotage.proto.production_states import ProductionState

from .errors import StoreError
from .transformations import NewTransformation, TransformationMove, TransformationRow

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


class Productions(Protocol):
    """The verbs. Those that change something are atomic."""

    async def reserve_transformations(self, count: int) -> int:
        """Take ids out of the counter for ever; return the first."""
        ...

    async def add_production(self, new: NewProduction, steps: Sequence[NewStep]) -> ProductionRow:
        """Store a production with its steps and their transformations, or nothing.

        One of this community and name that is neither Archived nor Cleaned is returned in its
        place: the caller compares. Raises NameTaken.
        """
        ...

    async def production(self, production_id: int) -> ProductionRow | None: ...

    async def production_named(self, community: str, name: str) -> ProductionRow | None:
        """Return the one of this name that is neither Archived nor Cleaned."""
        ...

    async def productions(
        self,
        community: str | None,
        *,
        states: Sequence[ProductionState],
        after: int,
        limit: int,
    ) -> list[ProductionRow]:
        """Return them in order of the id; no states: all."""
        ...

    async def production_texts(self, production_id: int) -> ProductionTexts | None: ...

    async def production_steps(
        self, production_ids: Sequence[int], *, documents: bool = False
    ) -> dict[int, list[StepRow]]:
        """Return the steps of each in order of their place; without `documents` each is empty."""
        ...

    async def steps_of(self, transformation_ids: Sequence[int]) -> dict[int, StepName]:
        """Return whose steps transformations are; those of no production are left out."""
        ...

    async def rules_of(self, transformation_id: int) -> str | None:
        """Return the rules of failover of the production whose step this is, if it has any."""
        ...

    async def move_production(
        self,
        move: ProductionMove,
        steps: Sequence[TransformationMove] = (),
        *,
        extensions: Sequence[Extension] = (),
    ) -> bool:
        """Move a production and steps of it: all of them, or where one has changed none."""
        ...

    async def set_production_priority(
        self, production_id: int, priority: int | None, at: float
    ) -> None:
        """Set the priority of the jobs that its steps make from now on."""
        ...

    async def task_means(self, transformation_ids: Sequence[int]) -> dict[int, TaskMean]:
        """Return what tasks took; transformations of which nothing is known are left out."""
        ...

    async def files_made(self, transformation_ids: Sequence[int]) -> tuple[int, int]:
        """Return how many files their jobs have made that are Available, and their bytes.

        Bytes end at BYTES_MAX.
        """
        ...

    async def keep_samples(
        self, samples: Sequence[Sample], drop: Sequence[tuple[int, float]] = ()
    ) -> None:
        """Keep samples, each of its time once, and drop others, by production and time."""
        ...

    async def samples(self, production_id: int) -> list[Sample]:
        """Return the samples of a production in order of their time."""
        ...
