"""The view of a pilot for people: its row, its node and its free resources. Pure."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import msgspec

from pilotage.proto.api.pilots import PilotView
from pilotage.proto.messages import Benchmark, Node, Offer
from pilotage.proto.pilot_states import LIVING

from ..jobs.leases import Lease, LeasePhase
from ..observe.times import shown
from ..offers import left, total
from .presence import Presence
from .record_types import PilotRow

NO_BENCHMARK = Benchmark("", 0.0)
NO_OFFER = Offer(cores=0, cores_free=0, memory_mb=0, memory_free_mb=0, wall_left_s=0.0)
# The view computes these fields. It shows all others as they are.
_COMPUTED = {
    *("host", "cores_free", "memory_free_mb", "scratch_mb", "scratch_free_mb"),
    *("gpus", "gpus_free", "amounts_free", "wall_left_s", "made_at", "registered_at", "ended_at"),
}
_SHOWN = set(PilotView.__struct_fields__) - _COMPUTED


def pilot_view(
    row: PilotRow, presence: Presence | None, leases: Iterable[Lease], *, parked: bool, now: float
) -> PilotView:
    """Return the view of a pilot. `leases`: those of the pilot; `now`: monotonic."""
    living = presence if presence is not None and row.state in LIVING else None
    said = living.offer if living is not None else None
    offer = said or NO_OFFER
    unsaid = Node(host=row.host, architecture="", isolation="")
    node = msgspec.json.decode(row.node, type=Node) if row.node else unsaid
    live = [lease for lease in leases if lease.phase is LeasePhase.LIVE]
    taken, gpus = total(lease.grant for lease in live), max(offer.gpus, offer.gpus_free)
    benchmark = node.benchmark or NO_BENCHMARK
    return PilotView(
        id=row.pilot,
        host=row.host,
        silent_s=round(now - living.heard, 1) if living is not None else None,
        parked=parked,
        cores_free=max(0, offer.cores - taken.cores),
        memory_free_mb=max(0, offer.memory_mb - taken.memory_mb),
        scratch_mb=max(offer.scratch_mb, offer.scratch_free_mb),
        scratch_free_mb=offer.scratch_free_mb,
        wall_left_s=said.wall_left_s if said is not None else None,
        gpus=gpus,
        gpus_free=max(0, gpus - taken.gpus),
        amounts_free=left(offer.amounts, taken),
        **{f"benchmark_{name}": figure for name, figure in asdict(benchmark).items()},
        attempts=len(live),
        registered_at=shown(row.registered_at),
        made_at=shown(row.made_at),
        ended_at=shown(row.ended_at),
        **_copied_fields(row, PilotRow),
        **_copied_fields(offer, Offer),
        **_copied_fields(node, Node),
    )


def _copied_fields(it: object, kind: type[PilotRow | Offer | Node]) -> dict[str, Any]:
    """Return the fields that the view copies from `it`, which has the fields of `kind`."""
    return {name: getattr(it, name) for name in _SHOWN & kind.__annotations__.keys()}
