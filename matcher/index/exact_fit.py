"""The exact rule: whether no clause refuses, and what a job gets then."""

from pilotage.proto.documents.job import Need

from ..clauses.clause import Clauses
from ..limits.attempts import PilotAttempts, charged_cores
from ..types import NO_AMOUNTS, ClassSpec, Grant, LiveOffer


def accepts(need: Need, spec: ClassSpec, offer: LiveOffer, clauses: Clauses) -> bool:
    """Whether none of some clauses refuses."""
    return not any(clause.refuses(need, spec, offer) for clause in clauses)


def grant(need: Need, offer: LiveOffer, held: PilotAttempts | None = None) -> Grant:
    """Return what a fitting job gets: as much as it can use of cores and GPUs.

    Memory per core bounds the cores. Who asks for a whole node gets all cores, memory and GPUs; of
    the disk, whose free space moves by itself, and of named amounts what was asked for.

    `held`: what other jobs have of the pilot, for the charge; None: nothing.
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
