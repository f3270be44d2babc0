"""The first offer of a pilot: all of its node, and whose jobs it accepts."""

from collections.abc import Mapping
from types import MappingProxyType

from pilotage.proto.messages import Node, Offer

from ..ports import NodeProbe
from .declarations import Accepts

NOTHING: Mapping[str, int] = MappingProxyType({})


def capacity(
    probe: NodeProbe, node: Node, accepts: Accepts, amounts: Mapping[str, int] = NOTHING
) -> Offer:
    """Return the whole capacity of the node, with the named amounts, all of it free."""
    gpus = probe.gpus()
    return Offer(
        cores=probe.cores(),
        cores_free=probe.cores(),
        memory_mb=probe.memory_mb(),
        memory_free_mb=probe.memory_mb(),
        wall_left_s=probe.wall_left_s(),
        scratch_free_mb=probe.scratch_free_mb(),
        tags=probe.tags(),
        required_tags=accepts.required_tags,
        types=accepts.types,
        groups=accepts.groups,
        owners=accepts.owners,
        gpus=gpus.count,
        gpus_free=gpus.count,
        gpu_model=gpus.model,
        gpu_vendor=gpus.vendor,
        gpu_memory_mb=gpus.memory_mb,
        gpu_compute_capability=gpus.compute_capability,
        gpu_driver=gpus.driver,
        node=node,
        amounts=dict(amounts),
        amounts_free=dict(amounts),
    )
