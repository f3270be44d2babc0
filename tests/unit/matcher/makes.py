"""Specs and offers for these tests, with defaults that fit each other."""

from typing import Any

import msgspec

from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.job import Need

_SPEC = ClassSpec(
    class_id=1, community="ctao", group="sim", owner="ada", type="User", needs=(Need(),)
)
_OFFER = LiveOffer(
    pilot="p1",
    community="ctao",
    site="PIC",
    element="ce1",
    os="el9",
    architecture="x86_64",
    cores=8,
    cores_free=8,
    memory_free_mb=16_000,
    wall_left_s=86_400.0,
    scratch_free_mb=10_000,
)


def spec(class_id: int = 1, *needs: Need, **changes: Any) -> ClassSpec:
    """Return a class; without needs it takes what one small job takes."""
    return msgspec.structs.replace(_SPEC, class_id=class_id, needs=needs or _SPEC.needs, **changes)


def offer(pilot: str = "p1", **changes: Any) -> LiveOffer:
    """Return an offer of eight free cores at PIC."""
    return msgspec.structs.replace(_OFFER, pilot=pilot, **changes)
