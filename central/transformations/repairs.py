"""What the rules of failover say of tasks that failed: the port, and what the engine makes of it.

Only for transformations that ask for it (`failover: true`); the others know nothing of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import msgspec

from pilotage.proto.documents.job import Job, Need
from pilotage.proto.documents.transformation import Transformation
from pilotage.proto.transformation_states import InputEvent

from .input_moves import Bad
from .record import TaskEnd

# Rules of grouping whose groups mean something as a whole: half of one is another thing.
WHOLE: Final = frozenset({"all", "join"})


@dataclass(frozen=True)
class RepairBounds:
    """What a transformation allows, whatever the rules say."""

    can_be_split: bool
    errors_max: int  # failed tasks that an input may have had
    job: Job | None = field(default=None, compare=False)  # the template of its jobs


def bounds_of(doc: Transformation) -> RepairBounds:
    """Return what a document allows."""
    once = [one for one in doc.inputs if one.use == "once"]
    return RepairBounds(
        can_be_split=doc.grouping.rule not in WHOLE and len(once) == 1,
        errors_max=doc.errors_max,
        job=doc.job,
    )


@dataclass(frozen=True)
class RetryGroup:
    """Inputs of one task that failed, which are tried again together."""

    file_ids: tuple[int, ...]
    memory_mb: int = 0  # to ask for; 0: as the template
    wall_s: int = 0
    after: float = 0.0  # not before this (wall clock)
    avoid: tuple[tuple[str, str], ...] = ()  # sites and hosts that its job keeps off …
    avoid_s: float = 0.0  # … for so long


@dataclass(frozen=True)
class Repair:
    """What the rules say of a task that failed."""

    bad: Bad = field(default_factory=dict[int, InputEvent])  # inputs that are not tried again
    is_split: bool = False  # its inputs are tried again in smaller tasks


class Repairs(Protocol):
    """What is to become of inputs whose task failed."""

    async def again(
        self, transformation_id: int, file_ids: Sequence[int], bounds: RepairBounds
    ) -> list[RetryGroup]:
        """Return in which groups inputs that had the same task are tried again; none: as new ones.

        Each of `file_ids` is in one of them.
        """
        ...

    async def verdicts(
        self, ends: Sequence[TaskEnd], bounds: Mapping[int, RepairBounds]
    ) -> dict[int, Repair]:
        """Return what the rules say of the tasks that failed, by task.

        `bounds` are those of the transformations of all `ends`.
        """
        ...


def asking(job: Job, again: RetryGroup) -> Job:
    """Return the job with what its tasks failed for want of; it never asks for less than before."""
    return msgspec.structs.replace(job, needs=tuple(_asking(need, again) for need in job.needs))


def _asking(need: Need, again: RetryGroup) -> Need:
    given: dict[str, int] = {}
    if again.memory_mb:
        in_all = need.memory_mb + need.memory_per_core_mb * need.cores_min
        if again.memory_mb > in_all:
            given["memory_mb"] = need.memory_mb + again.memory_mb - in_all
    if again.wall_s > need.wall_s:
        given["wall_s"] = again.wall_s
    return msgspec.structs.replace(need, **given)
