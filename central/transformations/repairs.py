"""The port to the rules of failover about failed tasks, and the effect on their retries.

Only transformations with `failover: true` use it.
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

# Grouping rules whose groups have a meaning as a whole: half a group is something else.
WHOLE: Final = frozenset({"all", "join"})


@dataclass(frozen=True)
class RepairBounds:
    """The bounds of a transformation, which hold for all rules."""

    can_be_split: bool
    errors_max: int  # failed tasks that an input may have
    job: Job | None = field(default=None, compare=False)  # the template of its jobs


def bounds_of(doc: Transformation) -> RepairBounds:
    """Return the bounds of a document."""
    once = [one for one in doc.inputs if one.use == "once"]
    return RepairBounds(
        can_be_split=doc.grouping.rule not in WHOLE and len(once) == 1,
        errors_max=doc.errors_max,
        job=doc.job,
    )


@dataclass(frozen=True)
class RetryGroup:
    """Inputs of one failed task that are retried together."""

    file_ids: tuple[int, ...]
    memory_mb: int = 0  # to ask for; 0: as in the template
    wall_s: int = 0
    after: float = 0.0  # not before this (wall clock)
    avoid: tuple[tuple[str, str], ...] = ()  # sites and hosts that its job avoids …
    avoid_s: float = 0.0  # … for this many seconds


@dataclass(frozen=True)
class Repair:
    """The decisions of the rules about a failed task."""

    bad: Bad = field(default_factory=dict[int, InputEvent])  # inputs that are not retried
    is_split: bool = False  # its inputs are retried in smaller tasks
    is_retried: bool = False  # all of its inputs are retried, so it does not count as failed
    pause: str = ""  # why the transformation pauses; empty: it does not


class Repairs(Protocol):
    """Decides about the inputs of failed tasks."""

    async def again(
        self, transformation_id: int, file_ids: Sequence[int], bounds: RepairBounds
    ) -> list[RetryGroup]:
        """Return the groups for retrying the inputs of a task; none: retry them like new inputs.

        Each of `file_ids` is in one group.
        """
        ...

    async def verdicts(
        self, ends: Sequence[TaskEnd], bounds: Mapping[int, RepairBounds]
    ) -> dict[int, Repair]:
        """Return the decisions about failed tasks, by task.

        `bounds` has the bounds of the transformations of all `ends`.
        """
        ...


def asking(job: Job, again: RetryGroup) -> Job:
    """Return the job with larger needs for the retry; needs never shrink."""
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
