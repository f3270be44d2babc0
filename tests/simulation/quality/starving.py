"""Large jobs beside endless small ones: one amount of the pilots runs out, and it is theirs.

Each case has pilots of one kind, small jobs without end, and now and then a large job that only an
empty pilot has enough for. Its owner uses so little that its turn comes when it is submitted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pilotage.matcher import Matcher
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import ClassSpec, LiveOffer
from pilotage.proto.documents.job import Need

from .load import DAY_S, HOUR_S, Arrival, Load, LoadClass, Shape
from .measures import Outcome
from .play import Play

WALL_S: Final = 4 * 3_600  # of all jobs
BOUND_S: Final = 3.0 * WALL_S
PILOTS: Final = 24
EVERY_S: Final = 4 * HOUR_S  # a large job of each class
SMALL_EVERY_S: Final = 6 * HOUR_S
LARGE: Final = "large"
COMMUNITY: Final = "ctao"

_PILOT: Final = LiveOffer(
    pilot="",
    community=COMMUNITY,
    site="PIC",
    element="ce",
    os="el9",
    architecture="x86_64",
    cores=8,
    cores_free=8,
    memory_free_mb=16_000,
    scratch_free_mb=80_000,
    gpus=2,
    gpus_free=2,
    wall_left_s=100 * DAY_S,  # an empty pilot comes seldom
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What small and large jobs ask for, and the amount of which the use is measured."""

    small: Sequence[Mapping[str, Any]]
    large: Sequence[Mapping[str, Any]]
    amount: str


_CORES: Final = Case(small=({},), large=({"cores_min": 8},), amount="cores")
_MEMORY: Final = Case(
    small=({"memory_mb": 2_000},), large=({"memory_mb": 16_000},), amount="memory_mb"
)
_SCRATCH: Final = Case(
    small=({"scratch_mb": 10_000},), large=({"scratch_mb": 80_000},), amount="scratch_mb"
)
_GPUS: Final = Case(
    small=({"gpus_min": 1, "memory_mb": 1_000}, {}), large=({"gpus_min": 2},), amount="gpus"
)
_PARTS: Final = (_CORES, _MEMORY, _SCRATCH, _GPUS)
CASES: Final = {
    "cores": _CORES,
    "memory": _MEMORY,
    "scratch": _SCRATCH,
    "GPUs": _GPUS,
    "all of these": Case(
        small=[need for case in _PARTS for need in case.small],
        large=[need for case in _PARTS for need in case.large] + [{"whole_node": True}],
        amount="cores",
    ),
}


def load(name: str, length_s: float, seed: int = 1) -> Load:
    """Return the load of a case."""
    case = CASES[name]
    classes: dict[int, LoadClass] = {}
    arrivals: list[Arrival] = []
    for kind, needs in (("small", case.small), (LARGE, case.large)):
        for asked in needs:
            number = len(classes) + 1
            classes[number] = _class(number, kind, Need(wall_s=WALL_S, **asked))
    large = [number for number, known in classes.items() if known.kind == LARGE]
    small = [number for number in classes if number not in large]
    cores = PILOTS * _PILOT.cores  # more jobs of each class than could start until the next ones
    for at in range(int(length_s / SMALL_EVERY_S)):
        arrivals += [Arrival(at * SMALL_EVERY_S, number, 4 * cores) for number in small]
    for place, number in enumerate(large):
        first_s = WALL_S + place * HOUR_S
        count = int((length_s - BOUND_S - first_s) / EVERY_S) + 1
        arrivals += [Arrival(first_s + at * EVERY_S, number, 1) for at in range(count)]
    return Load(
        name=name,
        seed=seed,
        length_s=length_s,
        shapes=(Shape(offer=_PILOT, count=PILOTS),),
        classes=classes,
        arrivals=tuple(arrivals),
        shares={},
    )


def _class(number: int, kind: str, need: Need) -> LoadClass:
    owner = "bob" if kind == LARGE else "ada"
    spec = ClassSpec(
        class_id=number,
        community=COMMUNITY,
        group="sim",
        owner=owner,
        type="User",
        needs=(need,),
    )
    return LoadClass(spec=spec, kind=kind, typical_s=2.5 * HOUR_S, spread=0.4)


def run(name: str, length_s: float, *, reserve_after_s: float = 600.0) -> Outcome:
    """Play a case."""
    its = load(name, length_s)
    return Play(its, Matcher(Rules(reserve_after_s=reserve_after_s)), "pilotage").run()
