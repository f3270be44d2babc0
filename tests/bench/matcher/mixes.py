"""Made-up loads: every clause in use, every need another one, and few large classes."""

import random
from itertools import accumulate
from typing import Any

import msgspec

from pilotage.matcher.rules import Rules, RunningLimit, StartLimit
from pilotage.matcher.types import ClassSpec, LiveOffer, NodeFacts
from pilotage.proto.documents.job import Need, Preference

from .loads import OFFERS, SEED, Load, bulks

COMMUNITIES = ("ctao", "lhcb", "lofar")
SYSTEMS = ("el8", "el9", "debian12", "debian13")
WALL_S = (600, 3_600, 14_400, 43_200, 86_400, 172_800, 259_200)
ELEMENTS = ("element0", "element1", "element2")
GROUPS, OWNERS = 12, 100
NODES = tuple(
    NodeFacts(architecture_level=level, glibc=glibc, user_namespaces=allowed, namespaces=allowed)
    for level in (2, 3, 4)
    for glibc in ((2, 28), (2, 34), (2, 41))
    for allowed in (False, True)
)
GPU_NODES = tuple(
    msgspec.structs.replace(
        node,
        gpu_vendor="nvidia",
        gpu_memory_mb=memory_mb,
        gpu_compute_capability=capability,
        gpu_driver=(550, 54),
    )
    for node in NODES
    for memory_mb, capability in ((16_000, (7, 5)), (80_000, (9, 0)))
)
RULES = Rules(
    compatible={"el9": ("el8",), "debian13": ("debian12",)},
    shares={"ctao": 3.0, "lhcb": 2.0, "ctao/group0": 2.0, "lhcb/group1": 5.0},
    running=(
        *(RunningLimit(where=f"SITE{n}", by="type", value="User", most=40) for n in range(20)),
        *(RunningLimit(where=f"SITE{n}", by="tag", value="tag1", most=20) for n in range(20, 40)),
        RunningLimit(where="SITE50/element1", by="group", value="group3", most=10),
    ),
    starts=tuple(
        StartLimit(where=f"SITE{n}", by="owner", value="owner1", per_s=1.0, burst=10)
        for n in range(20)
    ),
    banned=frozenset({"SITE98", "SITE99/element0"}),
)


class World:
    """Sites, tags and people from which a load is drawn."""

    def __init__(self, *, sites: int, tags: int) -> None:
        self.chance = random.Random(SEED)
        self.apart = random.Random(SEED)  # for later clauses: the rest of each need stays the same
        self.named = random.Random(SEED)
        self.sites = [f"SITE{n}" for n in range(sites)]
        self.tags = [f"tag{n}" for n in range(tags)]
        # What a pilot is tagged with comes from the settings of its element.
        self._offered = {
            (site, element): frozenset(self.chance.sample(self.tags, tags // 3))
            for site in self.sites
            for element in ELEMENTS
        }

    def some_sites(self, most: int) -> tuple[str, ...]:
        return tuple(sorted({self.chance.choice(self.sites) for _ in range(most)}))

    def often(self, share: float) -> bool:
        return self.chance.random() < share

    def expression(self) -> str:
        """Return a boolean expression of some tags."""
        one, two, three = (self.chance.choice(self.tags) for _ in range(3))
        return self.chance.choice((one, one, f"{one} & ~{two}", f"{one} & ({two} | ~{three})"))

    def need(self) -> Need:
        """Return a need in which each clause is in use with some probability."""
        chance = self.chance
        cores = chance.choice((1, 1, 1, 1, 2, 4, 8, 16))
        return Need(
            sites=self.some_sites(8) if self.often(0.4) else (),
            banned_sites=self.some_sites(3) if self.often(0.2) else (),
            element=chance.choice(ELEMENTS) if self.often(0.05) else "",
            os=chance.choice(SYSTEMS) if self.often(0.5) else "",
            architecture=chance.choice(("x86_64", "aarch64")) if self.often(0.3) else "",
            cores_min=cores,
            cores_max=2 * cores if self.often(0.2) else 0,
            memory_mb=chance.choice((0, 500, 1_000, 4_000)),
            memory_per_core_mb=chance.choice((0, 1_000, 2_000, 3_000)),
            wall_s=chance.choice(WALL_S),
            scratch_mb=chance.choice((0, 0, 5_000, 20_000)),
            tags=self.expression() if self.often(0.3) else "",
            architecture_level_min=chance.randrange(4) if self.often(0.2) else 0,
            architecture_level_max=4 if self.often(0.02) else 0,
            glibc_min=chance.choice(("2.17", "2.28", "2.34")) if self.often(0.2) else "",
            user_namespaces=self.often(0.1),
            isolation="namespaces" if self.apart.random() < 0.05 else "",
            whole_node=self.often(0.02),
            cpu_work_hs23_s=chance.choice((10_000, 500_000)) if self.often(0.2) else 0,
            amounts={"net_mbps": 100} if self.named.random() < 0.02 else {},
            **(self.gpu() if self.often(0.05) else {}),
        )

    def gpu(self) -> dict[str, Any]:
        """Return what a need asks of GPUs."""
        chance = self.chance
        return {
            "gpus_min": chance.choice((1, 1, 2)),
            "gpus_max": 4,
            "gpu_memory_mb": chance.choice((0, 8_000, 40_000)),
            "gpu_vendor": chance.choice(("", "nvidia")),
            "gpu_compute_capability_min": chance.choice(("", "7.0", "8.0")),
            "gpu_compute_capability_max": chance.choice(("", "", "9.0")),
            "gpu_driver_min": chance.choice(("", "535.104")),
        }

    def spec(self, class_id: int, needs: tuple[Need, ...]) -> ClassSpec:
        owner = self.chance.randrange(OWNERS)
        group = (owner + self.often(0.05)) % GROUPS  # most work for one group alone
        return ClassSpec(
            class_id=class_id,
            community=COMMUNITIES[group % len(COMMUNITIES)],
            group=f"group{group}",
            owner=f"owner{owner}",
            type=self.chance.choice(("User", "Simulation", "Reprocessing", "Test")),
            needs=needs,
            preference=Preference(sites=self.some_sites(2)) if self.often(0.1) else None,
        )

    def offer(self, n: int) -> LiveOffer:
        chance = self.chance
        cores = chance.choice((8, 16, 32, 64, 128))
        site, element = chance.choice(self.sites), chance.choice(ELEMENTS)
        tags = self._offered[site, element]
        group, wall_left_s = chance.randrange(GROUPS), chance.uniform(3_600.0, 400_000.0)
        gpus = 4 if self.often(0.1) else 0
        return LiveOffer(
            pilot=f"pilot{n}",
            community=COMMUNITIES[group % len(COMMUNITIES)],
            site=site,
            element=element,
            os=chance.choice(SYSTEMS),
            architecture="x86_64" if self.often(0.9) else "aarch64",
            cores=cores,
            cores_free=chance.randint(1, cores),
            memory_free_mb=chance.randint(2_000, 4_000 * cores),
            wall_left_s=wall_left_s,
            scratch_free_mb=chance.randint(20_000, 1_000_000),
            tags=tags,
            required_tags=frozenset(sorted(tags)[:1]) if self.often(0.02) else frozenset(),
            groups=frozenset((f"group{group}",)) if self.often(0.1) else frozenset(),
            owners=frozenset((f"owner{group}",)) if self.often(0.02) else frozenset(),
            types=frozenset(("User", "Test")) if self.often(0.02) else frozenset(),
            gpus=gpus,
            gpus_free=gpus,
            core_work_left_hs23_s=wall_left_s * chance.uniform(8.0, 20.0),
            node=chance.choice(GPU_NODES if gpus else NODES),
            amounts_free={"net_mbps": 1_000} if n % 4 == 0 else {},
        )


def all_clauses(jobs: int, classes: int) -> Load:
    """Return classes that use every clause; few have most of the jobs."""
    world = World(sites=100, tags=30)
    specs = [
        world.spec(at, tuple(world.need() for _ in range(2 if world.often(0.1) else 1)))
        for at in range(1, classes + 1)
    ]
    return _load("all clauses", world, specs, _skewed(jobs, classes), RULES)


def distinct(jobs: int) -> Load:
    """Return jobs of which each needs something else, over 1 000 sites and 300 tags."""
    world = World(sites=1_000, tags=300)
    specs = [world.spec(at, (_other(world, world.need(), at),)) for at in range(1, jobs + 1)]
    return _load("distinct", world, specs, dict.fromkeys(range(1, jobs + 1), 1), RULES)


def few_classes(jobs: int, classes: int) -> Load:
    """Return large classes that differ in what most jobs say: sites, memory, time."""
    world = World(sites=60, tags=5)
    specs = [
        world.spec(
            at,
            (
                Need(
                    sites=world.some_sites(20),
                    memory_mb=world.chance.choice((500, 1_000, 2_000, 4_000)),
                    wall_s=world.chance.choice(WALL_S),
                ),
            ),
        )
        for at in range(1, classes + 1)
    ]
    sizes = dict.fromkeys(range(1, classes + 1), jobs // classes)
    return _load("few classes", world, specs, sizes, Rules())


def _other(world: World, need: Need, n: int) -> Need:
    """Return the need with a memory and a time that no other has."""
    return msgspec.structs.replace(
        need,
        memory_mb=500 + n % 3_000,
        wall_s=600 + 7 * (n // 3_000) + world.chance.randrange(200_000),
    )


def _skewed(jobs: int, classes: int) -> dict[int, int]:
    """Share jobs out so that class n has about 1/n of what the first has, and each has one."""
    weights = [1 / (at + 10) for at in range(classes)]
    whole = sum(weights)
    ends = [round((jobs - classes) * part / whole) for part in accumulate(weights)]
    starts = [0, *ends]
    return {at + 1: 1 + ends[at] - starts[at] for at in range(classes)}


def _load(
    name: str,
    world: World,
    specs: list[ClassSpec],
    sizes: dict[int, int],
    rules: Rules,
) -> Load:
    priorities = {spec.class_id: world.chance.choice((3, 5, 5, 5, 7)) for spec in specs}
    offers = [world.offer(n) for n in range(OFFERS)]
    return Load(name, specs, bulks(sizes, priorities, world.chance), rules, offers)
