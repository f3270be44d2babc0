"""The jobs that the four sites get: of several kinds, of two people, and some that fit nowhere."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pilotage.central.client import Client
from pilotage.proto.documents.job import Job, Need

SHELL = '. "$1/setup.sh" && sleep "$2" && echo "$PILOTAGE_JOB $PILOTAGE_EPOCH" >>"$3"'
RETRIES = 5
WALL_S = 600

# What one or two sites alone could run are a few: pledges say who gets the rest.
#   kind            jobs  what they need
FEW: Mapping[str, tuple[int, Need]] = {
    "two cores": (24, Need(cores_min=2, wall_s=WALL_S)),
    "four cores": (8, Need(cores_min=4, wall_s=WALL_S)),
    "memory": (20, Need(memory_mb=2_500, wall_s=WALL_S)),
    "fast disk": (12, Need(tags="ssd", wall_s=WALL_S)),
    "el9": (16, Need(os="el9", wall_s=WALL_S)),
}
MANY = "one core", Need(wall_s=WALL_S)
NOWHERE: Mapping[str, Need] = {
    "other platform": Need(architecture="aarch64", wall_s=WALL_S),
    "too much memory": Need(memory_mb=1_000_000, wall_s=WALL_S),
}
OTHER_PLATFORM = 5  # jobs; of the other kind that fits nowhere there is one


@dataclass(frozen=True)
class Work:
    """What was submitted: ids by kind."""

    fitting: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    nowhere: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    @property
    def fits(self) -> set[int]:
        return {job for ids in self.fitting.values() for job in ids}

    @property
    def fits_not(self) -> set[int]:
        return {job for ids in self.nowhere.values() for job in ids}


def submit(
    people: tuple[Client, ...], jobs: int, seconds: float, software: Path, tally: Path
) -> Work:
    """Submit so many jobs that fit, and a few that do not, each person an equal part."""

    def job(kind: str, need: Need) -> Job:
        words = ("sh", "-c", SHELL, kind, str(software), str(seconds), str(tally))
        return Job(command=words, name=f"{kind} {{n}}", needs=(need,), retries=RETRIES)

    work = Work()
    for kind, (count, need) in FEW.items():
        work.fitting[kind] = _submit(people, job(kind, need), count)
    kind, need = MANY
    work.fitting[kind] = _submit(people, job(kind, need), jobs - len(work.fits))
    for kind, need in NOWHERE.items():
        count = OTHER_PLATFORM if kind == "other platform" else 1
        work.nowhere[kind] = _submit(people, job(kind, need), count)
    return work


def _submit(people: tuple[Client, ...], template: Job, count: int) -> list[int]:
    ids: list[int] = []
    for number, person in enumerate(people):
        part = range(number, count, len(people))
        if part:
            made = person.submit(template=template, parameters=({"n": n} for n in part))
            ids += made.ids()
    return ids
