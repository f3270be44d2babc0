"""Make the joint table of classes from marginals: draw, then exchange classes until all fit."""

import csv
import random
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import msgspec

from . import FILE, Waiting, WaitingClass

SEED = 20_260_328
HERE = Path(__file__).parent
ROUNDS_MAX = 400  # of exchanges for one value: each brings its sum nearer
MC, DATA, PROC, USER = "lhcb_mc", "lhcb_data", "lhcb_mcproc", "lhcb_user"

# What the types of one group add up to is the group, so that a type belongs to one group.
TYPES = {
    MC: ("MCSimulation", "MCFastSimulation"),
    DATA: ("Merge", "APMerge", "APPostProc", "Sprucing", "WGProduction"),
    PROC: ("MCMerge", "MCReconstruction"),
    USER: ("LbAPI", "User"),
}


class Queue:
    """A class while it is put together."""

    def __init__(self, jobs: int, cpu_s: int, group: str) -> None:
        self.jobs = jobs
        self.cpu_s = cpu_s
        self.group = group
        self.owner = self.type = self.platform = ""
        self.sites: set[str] = set()
        self.banned: tuple[str, ...] = ()


Counts = dict[str, tuple[int, int]]  # value → classes, jobs


def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of one file of marginals."""
    with (HERE / "marginals" / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def counts(name: str, column: str) -> Counts:
    """Return how many classes and jobs have each value."""
    return {row[column]: (int(row["n_tqs"]), int(row["total_jobs"])) for row in rows(name)}


def waiting() -> Waiting:
    """Return the table."""
    chance = random.Random(SEED)
    queues = _queues()
    _give_types(queues, chance)
    platforms = counts("platform_distribution", "platform")
    sets = platform_sets(platforms)
    _give_platforms(queues, platforms, chance)
    sites = counts("site_distribution", "site")
    _give_sites(queues, sites, chance)
    places = {site: at for at, site in enumerate(sites)}
    numbers = {platform: at for at, platform in enumerate(platforms)}
    return Waiting(
        sites=tuple(sites),
        platforms=tuple(platforms),
        platform_sets={
            name: tuple(numbers[platform] for platform in names) for name, names in sets.items()
        },
        classes=tuple(
            WaitingClass(
                jobs=queue.jobs,
                cpu_s=queue.cpu_s,
                owner=queue.owner,
                group=queue.group,
                type=queue.type,
                platform=queue.platform,
                sites=tuple(sorted(places[site] for site in queue.sites)),
                banned_sites=queue.banned,
            )
            for queue in queues
        ),
    )


def encode(table: Waiting) -> bytes:
    """Return the table as JSON with a line for each class."""
    head = msgspec.json.encode(msgspec.structs.replace(table, classes=()))
    lines = b",\n".join(msgspec.json.encode(one) for one in table.classes)
    return head.removesuffix(b"]}") + b"\n" + lines + b"\n]}\n"


def _queues() -> list[Queue]:
    """Return the listed queues, and those that are counted but not listed, as the smallest ones."""
    queues = [
        Queue(int(row["n_jobs"]), int(row["CPUTime"]), row["OwnerGroup"])
        for row in rows("jobs_per_tq")
    ]
    scale = rows("scale_overview")[0]
    lacking = int(scale["active_tqs"]) - len(queues)
    jobs = int(scale["waiting_jobs"]) - sum(queue.jobs for queue in queues)
    return queues + [Queue(jobs // lacking, 1_080_000, DATA) for _ in range(lacking)]


def _give_types(queues: list[Queue], chance: random.Random) -> None:
    types = counts("jobtype_distribution", "job_type")
    owners = rows("owner_distribution")
    for group, names in TYPES.items():
        left = [queue for queue in queues if queue.group == group]
        for name in names:
            count, jobs = types[name]
            chosen = choose(left, count, jobs, chance) if name != names[-1] else left
            for queue in chosen:
                queue.type = name
            left = [queue for queue in left if not queue.type]
    for queue in queues:
        mine = [row["Owner"] for row in owners if row["OwnerGroup"] == queue.group]
        queue.owner = mine[-1] if queue.type == "LbAPI" else mine[0]


def platform_sets(platforms: Counts) -> dict[str, tuple[str, ...]]:
    """Return which platforms will do for a job of each platform.

    Platforms with equal counts always occur together; the sums tell which of these groups are
    nested: any = centos7 + slc6 + old el9, and new any = any + (el9 - old el9).
    """
    new_any = _alike(platforms, "x86_64_v4-any")
    old_any = _alike(platforms, "x86_64_v2-any")
    new_el9 = _alike(platforms, "x86_64_v4-el9")
    return {
        "x86_64_v2-centos7": _alike(platforms, "x86_64_v2-centos7") + old_any + new_any,
        "x86_64-slc6": _alike(platforms, "x86_64-slc6") + old_any + new_any,
        "x86_64_v2-el9": _alike(platforms, "x86_64_v2-el9") + new_el9 + old_any + new_any,
        "x86_64_v3-el9": new_el9 + new_any,
        "armv8.1_a-el9": _alike(platforms, "armv8.1_a-el9"),
    }


def _alike(platforms: Counts, name: str) -> tuple[str, ...]:
    return tuple(other for other, count in platforms.items() if count == platforms[name])


def _give_platforms(queues: list[Queue], platforms: Counts, chance: random.Random) -> None:
    """Each group has the platforms whose counts fit into it; what is left runs on el9."""
    for group, name in ((DATA, "armv8.1_a-el9"), (MC, "x86_64-slc6"), (MC, "x86_64_v2-centos7")):
        left = [queue for queue in queues if queue.group == group and not queue.platform]
        left = [queue for queue in left if queue.jobs != queues[-1].jobs or group != DATA]
        for queue in choose(left, *platforms[name], chance):
            queue.platform = name
    old = [queue for queue in queues if queue.group == PROC]
    for queue in choose(old, *platforms["x86_64_v2-el9"], chance):
        queue.platform = "x86_64_v2-el9"
    unlisted = queues[len(rows("jobs_per_tq")) :]
    for queue in queues:
        if not queue.platform and queue.group != PROC and queue not in unlisted:
            queue.platform = "x86_64_v3-el9"


def _give_sites(queues: list[Queue], sites: Counts, chance: random.Random) -> None:
    """Simulation runs at all sites but few exceptions; all other classes share the rest."""
    everywhere = [queue for queue in queues if queue.group == MC]
    others = [queue for queue in queues if queue.group != MC]
    _ban(others)
    others = [queue for queue in others if queue.type != "LbAPI"]  # it runs anywhere
    whole = (len(everywhere), sum(queue.jobs for queue in everywhere))
    for site, (count, jobs) in sites.items():
        missing = max(0, whole[0] - count)
        without = choose(everywhere, missing, whole[1] - jobs, chance) if missing else []
        more = max(0, count - whole[0])
        allowed = [queue for queue in others if site not in queue.banned]
        extra = choose(allowed, more, jobs - whole[1], chance) if more else []
        for queue in [queue for queue in everywhere if queue not in without] + extra:
            queue.sites.add(site)
    for queue in others:
        if not queue.sites:
            _find_site(queue, others)


def _find_site(queue: Queue, others: list[Queue]) -> None:
    """Give a class the site of the one nearest in size that has another one."""
    rich = [other for other in others if len(other.sites) > 1 and not other.banned]
    giver = min(rich, key=lambda other: abs(other.jobs - queue.jobs))
    site = min(giver.sites - set(queue.banned))
    giver.sites.remove(site)
    queue.sites.add(site)


def _ban(others: list[Queue]) -> None:
    """Ban sites for the class of as many jobs, once for each set of sites banned alike."""
    banned = counts("banned_sites", "banned_site")
    for count in sorted(set(banned.values())):
        sites = tuple(site for site, its in banned.items() if its == count)
        users = [queue for queue in others if queue.group == USER and not queue.banned]
        min(users, key=lambda queue: abs(queue.jobs - count[1])).banned = sites


def choose(queues: Sequence[Queue], count: int, jobs: int, chance: random.Random) -> list[Queue]:
    """Draw `count` classes that have about so many jobs together."""
    order = sorted(queues, key=lambda _: chance.random())
    inside, outside = order[:count], sorted(order[count:], key=lambda queue: queue.jobs)
    for _ in range(ROUNDS_MAX):
        lack = jobs - sum(queue.jobs for queue in inside)
        found = _best_exchange(inside, outside, lack)
        if found is None:
            break
        leaves, comes = found
        inside[leaves], outside[comes] = outside[comes], inside[leaves]
        outside.sort(key=lambda queue: queue.jobs)
    return inside


def _best_exchange(inside: list[Queue], outside: list[Queue], lack: int) -> tuple[int, int] | None:
    """Return which two to exchange so that the lack is smallest; None when no two help."""
    sizes = [queue.jobs for queue in outside]
    best, found = abs(lack), None
    for leaves, queue in enumerate(inside):
        at = bisect_left(sizes, queue.jobs + lack)
        for comes in (at - 1, at):
            if 0 <= comes < len(sizes):
                rest = abs(lack - (sizes[comes] - queue.jobs))
                if rest < best:
                    best, found = rest, (leaves, comes)
    return found


if __name__ == "__main__":
    (HERE / FILE).write_bytes(encode(waiting()))
