"""Slurm: its environment, and `squeue` for values that may change."""

import math
from typing import Optional

from ..finding import SourcedValue, least
from ..small_files import decimal, number, plain, seconds
from ..surroundings import Surroundings
from .batch_job import MIB, UNKNOWN_TIME, UNKNOWN_WHOLE, BatchJob, megabytes

# Job id, TIME_LEFT and TIME_LIMIT. For one task of an array, squeue may list the whole array.
_ASK = ("squeue", "--noheader", "--format=%A|%L|%l", "--jobs")


def job(around: Surroundings) -> Optional[BatchJob]:
    """Return the pilot's job if Slurm started it."""
    environ = around.environ
    name = plain(environ.get("SLURM_JOB_ID", "") or environ.get("SLURM_JOBID", ""))
    if not name:
        return None
    cores = _whole(around, "SLURM_CPUS_ON_NODE")
    return BatchJob(
        system="slurm",
        id=name,
        source="SLURM_JOB_ID",
        cores=cores,
        memory_mb=_memory_mb(around, cores),
        scratch_folder=_folder(around),
        gpus=_gpus(around),
        wall_left_s=_wall_left_s(around, name),
    )


def _whole(around: Surroundings, name: str) -> SourcedValue[int]:
    said = around.environ.get(name, "")
    if not said:
        return UNKNOWN_WHOLE
    value = number(said)
    return (
        SourcedValue(value, name)
        if value
        else SourcedValue(0, "", (f"{name}: {plain(said, 40)!r}",))
    )


def _memory_mb(around: Surroundings, cores: SourcedValue[int]) -> SourcedValue[int]:
    whole = _whole(around, "SLURM_MEM_PER_NODE")  # MiB; 0 means the whole node
    if whole.known:
        return SourcedValue(megabytes(whole.value * MIB), whole.source)
    each = _whole(around, "SLURM_MEM_PER_CPU")
    if each.known and cores.known:
        return SourcedValue(
            megabytes(each.value * cores.value * MIB), f"{each.source} x {cores.source}"
        )
    return UNKNOWN_WHOLE


def _folder(around: Surroundings) -> SourcedValue[str]:
    for name in ("SLURM_TMPDIR", "TMPDIR"):
        if around.environ.get(name, "").startswith("/"):
            return SourcedValue(around.environ[name], name)
    return SourcedValue("")


def _gpus(around: Surroundings) -> SourcedValue[Optional[tuple[str, ...]]]:
    for name in ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS"):
        words = [word.strip() for word in around.environ.get(name, "").split(",")]
        if any(words):
            return SourcedValue(tuple(word for word in words if word), name)
    return SourcedValue(None)


def _wall_left_s(around: Surroundings, name: str) -> SourcedValue[float]:
    """Return the time left from `squeue`, or else from the start of the job."""
    said = around.run((*_ASK, name))
    lines = (line.strip().partition("|") for line in said.splitlines())
    ours = next((rest for number_, _, rest in lines if number_ == name), "")
    left, _, limit = ours.partition("|")
    asked = "squeue TIME_LEFT"
    if left in ("UNLIMITED", "INVALID", "NOT_SET") and limit == "UNLIMITED":
        return SourcedValue(math.inf, asked, ("the job has no time limit",))
    if left == "INVALID" or left.startswith("-"):
        return SourcedValue(0.0, asked, ("the time limit has passed",))
    if not math.isnan(seconds(left)):
        return least([SourcedValue(seconds(left), asked), _limit_s(limit)], math.inf)
    end = decimal(around.environ.get("SLURM_JOB_END_TIME", ""))
    if end:
        left_s = max(0.0, end - around.now())
        return SourcedValue(left_s, "SLURM_JOB_END_TIME", ("squeue has not answered",))
    note = f"squeue: {plain(said, 80)!r}" if said.strip() else "squeue has not answered"
    return UNKNOWN_TIME.noting(note)


def _limit_s(limit: str) -> SourcedValue[float]:
    """Return the whole time of the job, which bounds the time left even if clocks are wrong."""
    whole_s = seconds(limit)
    return UNKNOWN_TIME if math.isnan(whole_s) else SourcedValue(whole_s, "squeue TIME_LIMIT")
