"""The needs of a job that runs a tool."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from pilotage.proto.documents.job import Need

MIB: Final = 1.048576  # MB
WALL_S: Final = 86_400
STAGING_S: Final = 600  # added to the time limit of a tool


def need_of(needs: Mapping[str, float], limit_s: float | None, sites: Sequence[str]) -> Need:
    """Return what a job needs, given the resources of its tool (`ToolJob.needs`)."""
    limit = limit_s or 0
    return Need(
        sites=tuple(sites),
        cores_min=max(1, math.ceil(needs.get("cores", 1))),
        memory_mb=math.ceil(needs.get("ram", 0) * MIB),
        scratch_mb=math.ceil((needs["tmpdirSize"] + needs["outdirSize"]) * MIB),
        wall_s=math.ceil(limit) + STAGING_S if limit > 0 else WALL_S,
    )
