"""Specs and offers for these tests, with defaults that fit each other, and at random."""

from typing import Any, Final

import msgspec
from hypothesis import strategies as st

from pilotage.matcher.types import ClassSpec, LiveOffer, NodeFacts
from pilotage.proto.documents.job import Need

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


COMPATIBLE: Final[dict[str, tuple[str, ...]]] = {"el9": ("el8",), "rocky9": ("el",)}


def _seldom(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    """Return mostly what nobody refuses: else hardly any job fits anywhere."""
    return st.sampled_from([usual] * (3 * len(others)) + list(others))


# Needs in which every clause takes part.
NEEDS: Final[st.SearchStrategy[Need]] = st.builds(
    Need,
    sites=_seldom((), ("PIC",), ("PIC", "CSCS")),
    banned_sites=_seldom((), ("PIC",)),
    element=_seldom("", "ce1", "ce2"),
    os=_seldom("", "el8", "el9", "el"),
    architecture=_seldom("", "x86_64", "aarch64"),
    architecture_level_min=_seldom(0, 2, 4),
    architecture_level_max=_seldom(0, 2),
    glibc_min=_seldom("", "2.9", "2.34"),
    user_namespaces=_seldom(False, True),
    isolation=_seldom("", "namespaces"),
    cores_min=st.sampled_from([1, 1, 2, 4]),
    cores_max=st.sampled_from([0, 0, 3, 8]),
    whole_node=_seldom(False, True),
    memory_mb=st.sampled_from([0, 1000, 4000]),
    memory_per_core_mb=st.sampled_from([0, 500, 1000]),
    wall_s=st.sampled_from([60, 3600]),
    scratch_mb=st.sampled_from([0, 100]),
    cpu_work_hs23_s=_seldom(0, 1000, 2000),
    gpus_min=_seldom(0, 1, 2),
    gpus_max=_seldom(0, 2),
    gpu_memory_mb=_seldom(0, 16_000),
    gpu_vendor=_seldom("", "nvidia", "amd"),
    gpu_compute_capability_min=_seldom("", "7.5", "10"),
    gpu_compute_capability_max=_seldom("", "8"),
    gpu_driver_min=_seldom("", "535.104"),
    tags=_seldom("", "gpu", "~gpu", "gpu | cvmfs"),
    amounts=_seldom(
        {}, {"net": 2}, {"net": 5, "shm": 1}, {"shm": 0}, {"lic.a": 1}, {"lic.a": 3}, {"lic.b": 1}
    ),
)

_OLD: Final = NodeFacts(glibc=(2, 17))
_NEW: Final = NodeFacts(
    architecture_level=4,
    glibc=(2, 34),
    user_namespaces=True,
    namespaces=True,
    gpu_vendor="nvidia",
    gpu_memory_mb=40_000,
    gpu_compute_capability=(8, 0),
    gpu_driver=(550, 54),
)
# Few offers and many alike, so that what is remembered of one is used for the next.
OFFERS: Final = (
    offer(),
    offer(),
    offer(cores_free=4, memory_free_mb=8000, scratch_free_mb=150, node=_OLD),
    offer(cores=1, cores_free=1, memory_free_mb=3500),
    offer(cores_free=2, memory_free_mb=999, wall_left_s=60.0, element="ce2"),
    offer(node=_NEW, gpus=4, gpus_free=4, core_work_left_hs23_s=1000.0),
    offer(node=_NEW, gpus=4, gpus_free=1, cores=64, cores_free=64, memory_free_mb=32_000),
    offer(architecture="aarch64", gpus=1, gpus_free=1, core_work_left_hs23_s=499.0),
    offer(site="CSCS", os="el8", tags=frozenset(["gpu"])),
    offer(site="CSCS", required_tags=frozenset(["gpu"]), scratch_free_mb=0),
    offer(site="ANY", element="ANY", os="ANY", architecture="ANY", tags=frozenset(["ANY"])),
    offer(os="rocky9", types=frozenset(["Test"])),
    offer(os="", types=frozenset(["User", "Merge"])),
    offer(site="DESY", groups=frozenset(["sim"]), wall_left_s=59.9),
    offer(owners=frozenset(["bob"])),
    offer(community="lhcb"),
    offer(cores_free=0),
    offer(amounts_free={"net": 10}),
    offer(amounts_free={"shm": 1, "net": 4}, cores_free=4),
)
