"""Scarce demands: jobs that few offers can run, so these offers should run them first."""

from pilotage.proto.documents.job import Need

from ..clauses.amounts import least_memory_mb
from ..rules import Rules


def is_scarce(need: Need, rules: Rules) -> bool:
    """Return whether a need asks for something that few offers have."""
    return (
        need.gpus_min > 0
        or need.cores_min > rules.wide_cores
        or least_memory_mb(need) > rules.large_memory_per_core_mb * need.cores_min
        or need.wall_s > rules.long_wall_s
    )
