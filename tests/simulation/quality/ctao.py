"""A CTAO-like week: 5 500 slots at four sites, campaigns and analyses of all widths.

The sites, groups and kinds of jobs are those of its productions; the numbers are made up, so that
each kind is contended: pilots are asked for a little more core time than they have.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.documents.job import Need

from .load import HOUR_S, WEEK_S, Arrival, Load, LoadClass, Shape, bursts

COMMUNITY: Final = "ctao"
DEMAND: Final = 1.1  # of the core time that there is

#   site          element    pilots cores memory_mb wall_h gpus
SHAPES: Final = """
    PIC           ce-single     600     1      3000     48    0
    PIC           ce-eight      100     8     24000     72    0
    CSCS          nodes          10   128    256000     48    0
    DESY-Zeuthen  ce-single     500     1      3000     48    0
    DESY-Zeuthen  ce-eight       80     8     24000     72    0
    DESY-Zeuthen  gpu            10    32    128000     72    4
    Frascati      nodes          30    32     96000     72    0
    Frascati      memory         25    16    256000     72    0
"""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of job: its need, and how long it really runs."""

    need: Need
    typical_h: float
    spread: float


KINDS: Final = {
    "simulation": Kind(need=Need(wall_s=64_800, memory_mb=2_000), typical_h=6.0, spread=0.5),
    "processing": Kind(need=Need(wall_s=21_600, memory_mb=2_000), typical_h=1.5, spread=0.6),
    "analysis": Kind(
        need=Need(wall_s=28_800, cores_min=4, cores_max=8, memory_per_core_mb=2_000),
        typical_h=2.5,
        spread=0.6,
    ),
    "wide 16": Kind(
        need=Need(wall_s=43_200, cores_min=16, memory_per_core_mb=2_000), typical_h=4.0, spread=0.5
    ),
    "wide 64": Kind(
        need=Need(wall_s=28_800, cores_min=64, memory_per_core_mb=1_500), typical_h=3.0, spread=0.5
    ),
    "gpu": Kind(
        need=Need(wall_s=43_200, cores_min=4, memory_mb=16_000, gpus_min=1),
        typical_h=3.0,
        spread=0.6,
    ),
    "large memory": Kind(
        need=Need(wall_s=43_200, cores_min=2, memory_mb=28_000), typical_h=4.0, spread=0.5
    ),
}

#   group        share  owners  share_of_demand  jobs_a_burst  at_start  kinds
STREAMS: Final = """
    production       4       2             0.56           900       0.3  simulation
    production       4       2             0.08           300       0.1  processing
    analysis         3      12             0.10            60       0.0  analysis
    analysis         3      12             0.04           150       0.0  processing
    analysis         3      12             0.02            40       0.0  large-memory
    analysis         3      12             0.01            20       0.0  gpu
    calibration      2       3             0.04            12       0.0  wide-16
    calibration      2       3             0.02           150       0.0  processing
    reconstruction   1       2             0.03            12       0.0  wide-16
    reconstruction   1       2             0.02             5       0.0  wide-64
    reconstruction   1       2             0.01            20       0.0  gpu
    reconstruction   1       2             0.07           200       0.0  simulation
"""


def load(seed: int = 1, *, length_s: float = WEEK_S, scale: float = 1.0) -> Load:
    """Return the load; with a scale below 1 it has fewer pilots and jobs, of the same shapes."""
    chance = random.Random(seed)
    shapes = tuple(_shape(row.split(), scale) for row in SHAPES.strip().splitlines())
    core_s = DEMAND * length_s * sum(shape.cores for shape in shapes)
    classes: dict[int, LoadClass] = {}
    arrivals: list[Arrival] = []
    shares: dict[str, float] = {}
    for row in STREAMS.strip().splitlines():
        group, share, owners, part, jobs, at_start, kind = row.split()
        shares[f"{COMMUNITY}/{group}"] = float(share)
        for number in range(1, int(owners) + 1):
            new = _class(len(classes) + 1, group, f"{group}-{number}", kind.replace("-", " "))
            classes[new.spec.class_id] = new
            arrivals += bursts(
                [new],
                core_s=core_s * float(part) * _part(number, int(owners)),
                mean_jobs=max(1.0, float(jobs) * scale),
                length_s=length_s,
                chance=chance,
                at_start=float(at_start),
            )
    shares[f"{COMMUNITY}/production/production-1"] = 2.0
    arrivals.sort(key=lambda arrival: arrival.at_s)
    return Load(
        name="CTAO-like",
        seed=seed,
        length_s=length_s,
        shapes=shapes,
        classes=classes,
        arrivals=tuple(arrivals),
        shares=shares,
    )


def _part(number: int, owners: int) -> float:
    """Return an owner's part of the demand: the first wants most, the last least."""
    return 2 * (owners + 1 - number) / (owners * (owners + 1))


def _class(class_id: int, group: str, owner: str, kind: str) -> LoadClass:
    known = KINDS[kind]
    spec = ClassSpec(
        class_id=class_id,
        community=COMMUNITY,
        group=group,
        owner=owner,
        type="User",
        needs=(known.need,),
    )
    return LoadClass(spec=spec, kind=kind, typical_s=known.typical_h * HOUR_S, spread=known.spread)


def _shape(row: Sequence[str], scale: float) -> Shape:
    site, element, pilots, cores, memory_mb, wall_h, gpus = row
    offer = LiveOffer(
        pilot="",
        community=COMMUNITY,
        site=site,
        element=element,
        os="el9",
        architecture="x86_64",
        cores=int(cores),
        cores_free=int(cores),
        memory_free_mb=int(memory_mb),
        wall_left_s=int(wall_h) * HOUR_S,
        scratch_free_mb=20_000 * int(cores),
        gpus=int(gpus),
        gpus_free=int(gpus),
    )
    return Shape(offer=offer, count=max(1, round(int(pilots) * scale)))
