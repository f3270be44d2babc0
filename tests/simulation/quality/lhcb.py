"""An LHCb-like week: the waiting jobs of its production, scaled down, and users beside them.

The classes, with owners, types, sites and lengths, are those of the joint table of the benches. It
tells what waited at one moment; what comes in the days after it is made up, and so are the users.
"""

import random
from collections.abc import Iterable
from typing import Final

from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.documents.job import Need
from tests.bench.waiting import WaitingClass, lhcb

from .load import HOUR_S, WEEK_S, Arrival, Load, LoadClass, Shape, bursts

COMMUNITY: Final = "lhcb"
CORES: Final = 3_000
JOBS_PART: Final = 0.13  # of the table, for so many cores
CPU_S_A_WALL_S: Final = 12  # normalised CPU seconds that a core does in a second
RUNS_FOR: Final = 0.45  # of the time asked for, in the median
SPREAD: Final = 0.4
SHARES: Final = {"lhcb_mc": 5.0, "lhcb_data": 3.0, "lhcb_mcproc": 1.0, "lhcb_user": 2.0}
GROWTH: Final = 0.8  # of the jobs of the table come during the week
CHUNK: Final = 50  # jobs of a class that came together
KINDS: Final = ("MCSimulation", "MCFastSimulation", "WGProduction", "Sprucing", "Merge", "User")
USERS: Final = 20
USERS_PART: Final = 0.08  # of the core time
WIDTHS: Final = ((1, 0.6, 72), (8, 0.4, 96))  # cores of a pilot, part of the cores, wall hours


def load(seed: int = 1, *, length_s: float = WEEK_S, scale: float = 1.0) -> Load:
    """Return the load; with a scale below 1 it has fewer pilots and jobs, of the same shapes."""
    chance = random.Random(seed)
    table = lhcb()
    classes: dict[int, LoadClass] = {}
    arrivals: list[Arrival] = []
    there: list[Arrival] = []
    for waiting in table.classes:
        known = _class(len(classes) + 1, waiting)
        classes[known.spec.class_id] = known
        jobs = max(1, round(waiting.jobs * JOBS_PART * scale * length_s / WEEK_S))
        there += _chunks(known.spec.class_id, jobs)
        arrivals += bursts(
            [known],
            core_s=GROWTH * jobs * known.mean_core_s,
            mean_jobs=max(1.0, jobs / 4),
            length_s=length_s,
            chance=chance,
        )
    for number in range(1, USERS + 1):
        known = _user(len(classes) + 1, number)
        classes[known.spec.class_id] = known
        arrivals += bursts(
            [known],
            core_s=USERS_PART * CORES * scale * length_s / USERS,
            mean_jobs=max(1.0, 100 * scale),
            length_s=length_s,
            chance=chance,
        )
    chance.shuffle(there)
    arrivals.sort(key=lambda arrival: arrival.at_s)
    return Load(
        name="LHCb-like",
        seed=seed,
        length_s=length_s,
        shapes=_shapes(scale),
        classes=classes,
        arrivals=(*there, *arrivals),
        shares={f"{COMMUNITY}/{group}": share for group, share in SHARES.items()},
    )


def _chunks(class_id: int, jobs: int) -> Iterable[Arrival]:
    """Yield what waits at the start in pieces: which of it came first is not known."""
    for first in range(0, jobs, CHUNK):
        yield Arrival(0.0, class_id, min(CHUNK, jobs - first))


def _class(class_id: int, waiting: WaitingClass) -> LoadClass:
    names = lhcb().sites
    wall_s = waiting.cpu_s // CPU_S_A_WALL_S
    need = Need(
        sites=tuple(names[number] for number in waiting.sites),
        banned_sites=waiting.banned_sites,
        wall_s=wall_s,
    )
    spec = ClassSpec(
        class_id=class_id,
        community=COMMUNITY,
        group=waiting.group,
        owner=waiting.owner,
        type=waiting.type,
        needs=(need,),
    )
    kind = waiting.type if waiting.type in KINDS else "others"
    return LoadClass(spec=spec, kind=kind, typical_s=wall_s * RUNS_FOR, spread=SPREAD)


def _user(class_id: int, number: int) -> LoadClass:
    spec = ClassSpec(
        class_id=class_id,
        community=COMMUNITY,
        group="lhcb_user",
        owner=f"user{number}",
        type="User",
        needs=(Need(wall_s=36_000),),
    )
    return LoadClass(spec=spec, kind="User", typical_s=2 * HOUR_S, spread=0.6)


def _shapes(scale: float) -> tuple[Shape, ...]:
    """Return pilots where jobs want to run: each class's core time divided over its sites."""
    table = lhcb()
    wanted = [0.0] * len(table.sites)
    for waiting in table.classes:
        for number in waiting.sites:
            wanted[number] += waiting.jobs * waiting.cpu_s / len(waiting.sites)
    shapes: list[Shape] = []
    for site, part_here in zip(table.sites, wanted, strict=True):
        cores_here = CORES * scale * part_here / sum(wanted)
        for cores, part, wall_h in WIDTHS:
            offer = LiveOffer(
                pilot="",
                community=COMMUNITY,
                site=site,
                element=f"ce-{cores}",
                os="el9",
                architecture="x86_64",
                cores=cores,
                cores_free=cores,
                memory_free_mb=4_000 * cores,
                wall_left_s=wall_h * HOUR_S,
                scratch_free_mb=20_000 * cores,
            )
            count = round(cores_here * part / cores)
            if count:
                shapes.append(Shape(offer=offer, count=count))
    return tuple(shapes)
