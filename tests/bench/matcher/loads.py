"""Loads of the matcher: classes with their jobs, and offers of which no two are alike."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from pilotage.matcher import Matcher
from pilotage.matcher.platforms import ANY
from pilotage.matcher.rules import Rules
from pilotage.matcher.types import ClassSpec, LiveOffer, NodeFacts
from pilotage.proto.documents.job import Need

from ..waiting import WaitingClass, lhcb

SEED = 1
BULK_JOBS = 500  # of a submission: their ids are neighbours
OFFERS = 5_000
COMMUNITY = "lhcb"

Bulk = tuple[int, int, range]  # class, priority, jobs


@dataclass(frozen=True)
class Load:
    """What waits, and who asks."""

    name: str
    specs: list[ClassSpec]
    bulks: list[Bulk]
    rules: Rules
    offers: list[LiveOffer]

    @property
    def jobs(self) -> int:
        return sum(len(jobs) for _, _, jobs in self.bulks)

    def matcher(self) -> Matcher:
        """Return a matcher in which all of it waits."""
        matcher = Matcher(self.rules)
        for spec in self.specs:
            matcher.add_class(spec)
        for class_id, priority, jobs in self.bulks:
            matcher.add(class_id, priority, jobs)
        return matcher

    def next_job(self) -> Iterator[int]:
        """Yield ids that are not taken."""
        return count(self.bulks[-1][2].stop)


def bulks(sizes: dict[int, int], priorities: dict[int, int], chance: random.Random) -> list[Bulk]:
    """Cut the jobs of each class into submissions that came in a random order."""
    parts = [
        (class_id, min(BULK_JOBS, size - start))
        for class_id, size in sizes.items()
        for start in range(0, size, BULK_JOBS)
    ]
    chance.shuffle(parts)
    found: list[Bulk] = []
    first = 1
    for class_id, size in parts:
        found.append((class_id, priorities.get(class_id, 5), range(first, first + size)))
        first += size
    return found


# What jobs of LHCb say of their platform → operating system, architecture, its level.
PLATFORMS = {
    "": ("", "", 0),
    "x86_64_v2-centos7": ("centos7", "x86_64", 2),
    "x86_64-slc6": ("slc6", "x86_64", 0),
    "x86_64_v2-el9": ("el9", "x86_64", 2),
    "x86_64_v3-el9": ("el9", "x86_64", 3),
    "armv8.1_a-el9": ("el9", "aarch64", 0),
}
# No software is newer than the node that runs it; a pilot with containers has any.
RULES = Rules(compatible={"el9": ("centos7",), "centos7": ("slc6",)})


def production(jobs: int = 0) -> Load:
    """Return the waiting jobs of LHCb, or as many with the same distribution."""
    chance = random.Random(SEED)
    table = lhcb()
    whole = sum(one.jobs for one in table.classes)
    scale = jobs / whole if jobs else 1.0
    sizes = {at: max(1, round(one.jobs * scale)) for at, one in enumerate(table.classes, start=1)}
    specs = [_spec(at, one, table.sites) for at, one in enumerate(table.classes, start=1)]
    offers = [_offer(n, table.sites, chance) for n in range(OFFERS)]
    return Load("production", specs, bulks(sizes, {}, chance), RULES, offers)


def _spec(class_id: int, one: WaitingClass, sites: tuple[str, ...]) -> ClassSpec:
    system, architecture, level = PLATFORMS[one.platform]
    need = Need(
        sites=tuple(sites[at] for at in one.sites),
        banned_sites=one.banned_sites,
        os=system,
        architecture=architecture,
        architecture_level_min=level,
        wall_s=one.cpu_s,
    )
    return ClassSpec(
        class_id=class_id,
        community=COMMUNITY,
        group=one.group,
        owner=one.owner,
        type=one.type,
        needs=(need,),
    )


def _offer(n: int, sites: tuple[str, ...], chance: random.Random) -> LiveOffer:
    """Return an offer; small sites have fewer pilots than large ones."""
    arm = chance.random() < 0.1
    cores = chance.choice((8, 16, 32, 64, 128))
    return LiveOffer(
        pilot=f"pilot{n}",
        community=COMMUNITY,
        site=sites[int(len(sites) * chance.random() ** 2)],
        element=f"element{n % 3}",
        os="el9" if arm else chance.choice((ANY, ANY, "el9", "centos7")),
        architecture="aarch64" if arm else "x86_64",
        cores=cores,
        cores_free=chance.randint(1, cores),
        memory_free_mb=chance.randint(2_000, 4_000 * cores),
        wall_left_s=chance.uniform(3_600.0, 1_200_000.0),
        scratch_free_mb=chance.randint(20_000, 1_000_000),
        node=NodeFacts(architecture_level=1 if arm else chance.choice((2, 3, 3, 4))),
    )
