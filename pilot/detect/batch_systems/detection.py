"""The batch systems that started the pilot, with its job and its time limit in each."""

import math
from collections.abc import Callable, Sequence
from typing import Optional

from ..finding import SourcedValue, least
from ..small_files import plain
from ..surroundings import Surroundings
from . import gridengine, htcondor, lsf, machine_features, pbs, slurm
from .batch_job import BatchJob

OWN_ID = "PILOTAGE_BATCH_ID"  # set by a submitter that knows the id better

# The innermost first: HTCondor cleans the environment of its jobs, the others do not.
SYSTEMS: tuple[Callable[[Surroundings], Optional[BatchJob]], ...] = (
    htcondor.job,
    slurm.job,
    lsf.job,
    pbs.job,
    gridengine.job,
    machine_features.job,
)


def jobs(around: Surroundings) -> tuple[BatchJob, ...]:
    """Return the pilot's job in each batch system that reports one, the innermost first."""
    found = (system(around) for system in SYSTEMS)
    return tuple(one for one in found if one is not None)


def batch_system(around: Surroundings, ours: Sequence[BatchJob]) -> SourcedValue[str]:
    """Return the name of the innermost batch system; empty on a plain machine."""
    named = [one for one in ours if one.system]
    others = tuple(f"inside of {one.system} job {one.id}".rstrip() for one in named[1:])
    if named:
        return SourcedValue(named[0].system, named[0].source, others)
    if around.environ.get("KUBERNETES_SERVICE_HOST"):
        return SourcedValue("kubernetes", "KUBERNETES_SERVICE_HOST")
    return SourcedValue("", "the environment shows no known batch system")


def batch_id(around: Surroundings, ours: Sequence[BatchJob]) -> SourcedValue[str]:
    """Return the job's id in that batch system."""
    own = plain(around.environ.get(OWN_ID, ""))
    if own:
        return SourcedValue(own, OWN_ID)
    for one in ours:
        if one.system:
            return SourcedValue(one.id, one.source if one.id else "")
    if around.environ.get("KUBERNETES_SERVICE_HOST"):
        return SourcedValue(plain(around.host), "host name of the pod")
    return SourcedValue("")


def wall_left_s(ours: Sequence[BatchJob], cores: int) -> SourcedValue[float]:
    """Return the time until a batch system ends the pilot; infinite if none sets a limit.

    A limit of CPU time is reached soonest when all cores are busy.
    """
    said = [one.wall_left_s for one in ours]
    for one in ours:
        if one.cpu_left_s.known:
            busy = f"{one.cpu_left_s.source}, {cores} cores busy"
            said.append(SourcedValue(one.cpu_left_s.value / max(1, cores), busy))
    return least(said, math.inf)
