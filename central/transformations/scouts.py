"""Sizes tasks by the first ones, the scouts, and brakes a failing transformation. Pure."""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from pilotage.proto.documents.job import Job, Need
from pilotage.proto.documents.transformation import JUDGED_FROM
from pilotage.proto.messages import Usage
from pilotage.proto.transformation_states import TaskState

PERCENTILE: Final = 0.9  # of many scouts, usage above it is ignored
MEMORY_MORE: Final = 1.25  # margin over the usage of scouts
SCRATCH_MORE: Final = 1.5
WALL_MORE: Final = 3.0  # hosts differ
MEMORY_STEP_MB: Final = 64
SCRATCH_STEP_MB: Final = 256
WALL_STEP_S: Final = 600


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The findings from scouts; 0: none."""

    scouts: int
    memory_mb: int = 0
    scratch_mb: int = 0
    wall_s: int = 0
    cpu_s: float = 0.0  # of one task, for users
    bytes_out: int = 0


def figures(usages: Sequence[Usage]) -> Figures:
    """Return the sizes for tasks, from the usage of Done scouts."""
    return Figures(
        scouts=len(usages),
        memory_mb=_up(MEMORY_MORE * _high([u.memory_peak_mb for u in usages]), MEMORY_STEP_MB),
        scratch_mb=_up(SCRATCH_MORE * _high([u.scratch_peak_mb for u in usages]), SCRATCH_STEP_MB),
        wall_s=_up(WALL_MORE * _high([u.wall_s for u in usages]), WALL_STEP_S),
        cpu_s=_high([u.cpu_s for u in usages]),
        bytes_out=int(_high([float(u.bytes_out) for u in usages])),
    )


def _high(values: Sequence[float]) -> float:
    """Return the percentile by rank; of few values the highest."""
    ranked = sorted(values)
    return ranked[math.ceil(PERCENTILE * len(ranked)) - 1] if ranked else 0.0


def _up(value: float, step: int) -> int:
    return math.ceil(value / step) * step


def resized(job: Job, found: Figures) -> Job:
    """Return the template resized by the findings of scouts; its own needs are the upper limit."""
    return msgspec.structs.replace(job, needs=tuple(_resized(need, found) for need in job.needs))


def _resized(need: Need, found: Figures) -> Need:
    given: dict[str, int] = {}
    for name, value in (("memory_mb", found.memory_mb), ("scratch_mb", found.scratch_mb)):
        asked = getattr(need, name)
        if value and (not asked or value < asked):
            given[name] = value
    if need.memory_per_core_mb:  # it asks for memory per core
        given.pop("memory_mb", None)
    if found.wall_s and found.wall_s < need.wall_s:
        given["wall_s"] = found.wall_s
    return msgspec.structs.replace(need, **given)


def too_many_failed(ends: Sequence[TaskState], most: float, *, least: int = JUDGED_FROM) -> str:
    """Return why to pause, from the last ends of tasks; empty: no reason."""
    failed = sum(one is TaskState.FAILED for one in ends)
    if len(ends) < least or failed <= most * len(ends):
        return ""
    return f"{failed} of the last {len(ends)} tasks have failed; at most {most:.0%} may fail"
