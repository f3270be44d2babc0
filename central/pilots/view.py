"""A pilot as people see it: its row, what its node is, and what is free of what it offers. Pure."""

from collections.abc import Iterable

import msgspec

from pilotage.proto.api import PilotView
from pilotage.proto.messages import Benchmark, Node, Offer
from pilotage.proto.pilot_states import LIVING

from ..jobs.leases import Lease, Phase
from ..observe.times import shown
from ..offers import left, total
from .presence import Presence
from .records import PilotRow

NO_BENCHMARK = Benchmark("", 0.0)
NO_OFFER = Offer(cores=0, cores_free=0, memory_mb=0, memory_free_mb=0, wall_left_s=0.0)


def pilot_view(
    row: PilotRow, presence: Presence | None, leases: Iterable[Lease], *, parked: bool, now: float
) -> PilotView:
    """Return what is known of a pilot. `leases`: its own; `now`: monotonic."""
    living = presence if presence is not None and row.state in LIVING else None
    said = living.offer if living is not None else None
    offer = said or NO_OFFER
    node = msgspec.json.decode(row.node, type=Node) if row.node else Node(host=row.host)
    live = [lease for lease in leases if lease.phase is Phase.LIVE]
    taken, gpus = total(lease.grant for lease in live), max(offer.gpus, offer.gpus_free)
    benchmark = node.benchmark or NO_BENCHMARK
    return PilotView(
        id=row.pilot,
        community=row.community,
        site=row.site,
        element=row.element,
        host=row.host,
        state=row.state,
        session=row.session,
        silent_s=round(now - living.heard, 1) if living is not None else None,
        parked=parked,
        cores=offer.cores,
        cores_free=max(0, offer.cores - taken.cores),
        memory_mb=offer.memory_mb,
        memory_free_mb=max(0, offer.memory_mb - taken.memory_mb),
        scratch_mb=max(offer.scratch_mb, offer.scratch_free_mb),
        scratch_free_mb=offer.scratch_free_mb,
        wall_left_s=said.wall_left_s if said is not None else None,
        gpus=gpus,
        gpus_free=max(0, gpus - taken.gpus),
        amounts=offer.amounts,
        amounts_free=left(offer.amounts, taken),
        gpu_model=offer.gpu_model,
        gpu_vendor=offer.gpu_vendor,
        gpu_memory_mb=offer.gpu_memory_mb,
        gpu_compute_capability=offer.gpu_compute_capability,
        gpu_driver=offer.gpu_driver,
        tags=offer.tags,
        required_tags=offer.required_tags,
        types=offer.types,
        groups=offer.groups,
        owners=offer.owners,
        os=node.os,
        architecture=node.architecture if row.node else "",
        architecture_level=node.architecture_level,
        glibc=node.glibc,
        user_namespaces=node.user_namespaces,
        namespaces=node.namespaces,
        containers=node.containers,
        cpu_model=node.cpu_model,
        hs23_per_core=node.hs23_per_core,
        python=node.python,
        batch_system=node.batch_system,
        batch_id=node.batch_id,
        cvmfs=node.cvmfs,
        benchmark_method=benchmark.method,
        benchmark_score=benchmark.score,
        benchmark_integer_per_s=benchmark.integer_per_s,
        benchmark_float_per_s=benchmark.float_per_s,
        benchmark_memory_mb_per_s=benchmark.memory_mb_per_s,
        isolation=node.isolation if row.node else "",
        attempts=len(live),
        registered_at=shown(row.registered_at),
        reason=row.reason,
        made_at=shown(row.made_at),
        ended_at=shown(row.ended_at),
    )
