"""Pilots that are kept full with jobs of every shape: no node is ever given more than it has."""

import random
from dataclasses import dataclass
from pathlib import Path

from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import JobState

from .running import RunningPilot, running_central

JOBS, SEED = 50, 7
WHAT = ("cores_min", "memory_mb", "scratch_mb", "gpus_min")
# What runs tells it itself, with the clock of the node: the books of nobody else are asked.
SCRIPT = (
    'echo "$PILOTAGE_JOB $(date +%s%N) 1" >> "$0"; sleep 0.0$1; '
    'echo "$PILOTAGE_JOB $(date +%s%N) -1" >> "$0"'
)


@dataclass(frozen=True)
class Has:
    """What a pilot offers, in the order of WHAT."""

    pilot: RunningPilot
    counts: tuple[int, int, int, int]


def needs() -> list[Need]:
    """Return needs of all shapes; each fits one of the pilots at least when that is empty."""
    chance = random.Random(SEED)
    return [
        Need(
            cores_min=chance.choice([1, 1, 2, 3]),
            memory_mb=chance.randint(100, 3_000),
            scratch_mb=chance.choice([0, 100, 2_500]),
            gpus_min=chance.choice([0, 0, 1, 2]),
            wall_s=600,
        )
        for _ in range(JOBS)
    ]


def test_full_pilots_never_give_out_more_than_they_have(tmp_path: Path) -> None:
    told = tmp_path / "told"
    wanted = needs()
    with running_central(tmp_path / "run") as central:
        nodes = [
            Has(
                central.pilot(
                    "PIC",
                    cores=4,
                    memory_mb=5_000,
                    scratch_mb=4_000,
                    gpus=2,
                    isolation="session",  # what runs tells it in a file of the node
                ),
                (4, 5_000, 4_000, 2),
            ),
            Has(
                central.pilot(
                    "CSCS", cores=3, memory_mb=9_000, scratch_mb=3_000, isolation="session"
                ),
                (3, 9_000, 3_000, 0),
            ),
        ]
        jobs = [
            Job(command=("sh", "-c", SCRIPT, str(told), str(5 + n % 5)), needs=(need,))
            for n, need in enumerate(wanted)
        ]
        ids = list(central.client.submit(jobs).ids())
        for job in ids:
            assert central.client.job(job).wait(120).state is JobState.DONE
        where = {job: central.client.detail(job).view.pilot for job in ids}

    by_job = dict(zip(ids, wanted, strict=True))
    for node in nodes:
        mine = {job for job in ids if where[job] == node.pilot.id}
        most = peaks(told, {job: by_job[job] for job in mine})
        assert len(mine) > JOBS / 10
        assert all(used <= has for used, has in zip(most, node.counts, strict=True)), most
        assert most[0] == node.counts[0], "all cores were busy once: it was put to the test"


def peaks(told: Path, needs_of: dict[int, Need]) -> list[int]:
    """Return the most of everything that these jobs had at one moment."""
    moments = sorted(
        (int(at), int(step), int(job))
        for job, at, step in (line.split() for line in told.read_text().splitlines())
        if int(job) in needs_of
    )
    used, most = [0] * len(WHAT), [0] * len(WHAT)
    for _, step, job in moments:
        for n, what in enumerate(WHAT):
            used[n] += step * getattr(needs_of[job], what)
            most[n] = max(most[n], used[n])
    return most
