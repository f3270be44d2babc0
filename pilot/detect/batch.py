"""Which batch systems have started us, as which job, and until when."""

import math
from collections.abc import Callable, Sequence
from typing import Optional

from . import features, gridengine, htcondor, lsf, pbs, slurm
from .found import Found, least
from .job import BatchJob
from .reading import plain
from .surroundings import Surroundings

OWN_ID = "PILOTAGE_BATCH_ID"  # set by who submitted us and knows it better

# The innermost comes first: HTCondor cleans the environment of its jobs, the others do not.
SYSTEMS: tuple[Callable[[Surroundings], Optional[BatchJob]], ...] = (
    htcondor.job,
    slurm.job,
    lsf.job,
    pbs.job,
    gridengine.job,
    features.job,
)


def jobs(around: Surroundings) -> tuple[BatchJob, ...]:
    """Return our job by each batch system that says it has one, the innermost first."""
    found = (system(around) for system in SYSTEMS)
    return tuple(one for one in found if one is not None)


def batch_system(around: Surroundings, ours: Sequence[BatchJob]) -> Found[str]:
    """Return the name of the innermost batch system, empty on a plain machine."""
    named = [one for one in ours if one.system]
    others = tuple(f"inside of {one.system} job {one.id}".rstrip() for one in named[1:])
    if named:
        return Found(named[0].system, named[0].source, others)
    if around.environ.get("KUBERNETES_SERVICE_HOST"):
        return Found("kubernetes", "KUBERNETES_SERVICE_HOST")
    return Found("", "environment: none is known by it")


def batch_id(around: Surroundings, ours: Sequence[BatchJob]) -> Found[str]:
    """Return our job's id in that batch system."""
    own = plain(around.environ.get(OWN_ID, ""))
    if own:
        return Found(own, OWN_ID)
    for one in ours:
        if one.system:
            return Found(one.id, one.source if one.id else "")
    if around.environ.get("KUBERNETES_SERVICE_HOST"):
        return Found(plain(around.host), "host name of the pod")
    return Found("")


def wall_left_s(ours: Sequence[BatchJob], cores: int) -> Found[float]:
    """Return the time until a batch system ends us, infinite where none says when.

    A limit on CPU time is reached soonest when all cores work.
    """
    said = [one.wall_left_s for one in ours]
    for one in ours:
        if one.cpu_left_s.known:
            busy = f"{one.cpu_left_s.source}, {cores} cores busy"
            said.append(Found(one.cpu_left_s.value / max(1, cores), busy))
    return least(said, math.inf)
