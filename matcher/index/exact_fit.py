"""The exact rule: whether any clause refuses, and the grant of a job that fits."""

from pilotage.proto.documents.job import Need

from ..clauses.clause import Clauses
from ..limits.attempts import PilotAttempts, charged_cores
from ..types import NO_AMOUNTS, ClassSpec, Grant, LiveOffer


def accepts(need: Need, spec: ClassSpec, offer: LiveOffer, clauses: Clauses) -> bool:
    """Return whether none of some clauses refuses."""
    return not any(clause.refuses(need, spec, offer) for clause in clauses)


def grant(need: Need, offer: LiveOffer, held: PilotAttempts | None = None) -> Grant:
    """Return the grant of a fitting job: as many cores and GPUs as it can use.

    The memory per core bounds the cores. A job that asks for a whole node gets all cores, memory
    and GPUs. Of the disk, whose free space changes by itself, and of named amounts it gets what it
    asked for.

    `held`: resources of the pilot that other jobs hold, for the charge; None: nothing.
    """
    if need.whole_node:
        cores, memory_mb, gpus = offer.cores_free, offer.memory_free_mb, offer.gpus_free
    else:
        cores = need.cores_min
        if need.cores_max > cores:
            cores = min(need.cores_max, offer.cores_free)
            if need.memory_per_core_mb:
                room_mb = offer.memory_free_mb - need.memory_mb
                cores = min(cores, room_mb // need.memory_per_core_mb)
        assert cores >= need.cores_min, "only a fitting job is granted anything"
        memory_mb = need.memory_mb + need.memory_per_core_mb * cores
        gpus = max(need.gpus_min, min(need.gpus_max, offer.gpus_free))
    charged = charged_cores(offer, held, cores, memory_mb, need, gpus)
    return Grant(
        cores, memory_mb, need.scratch_mb, need.wall_s, gpus, charged, need.amounts or NO_AMOUNTS
    )
