"""HTCondor: the ads of job and machine, and its environment."""

import math
from collections.abc import Callable, Sequence
from typing import Optional

from ..finding import SourcedValue, least
from ..small_files import plain
from ..surroundings import Surroundings
from .batch_job import MIB, UNKNOWN_WHOLE, BatchJob, megabytes
from .classads import Ad, ad

# Limits of a run, with the seconds of their unit. The first two are HTCondor's own. The others are
# customs of computing elements and sites, whose policies enforce them.
_OF_A_RUN = (
    ("AllowedExecuteDuration", 1.0),
    ("AllowedJobDuration", 1.0),
    ("MaxWallTimeMins", 60.0),
    ("MaxWallTime", 60.0),
    ("MaxRuntime", 1.0),
    ("BatchRuntime", 1.0),
)
_ENDS_OF_THE_MACHINE = ("GLIDEIN_ToDie", "DaemonStopTime")  # seconds since 1970


def job(around: Surroundings) -> Optional[BatchJob]:
    """Return the pilot's job if HTCondor started it."""
    environ = around.environ
    if not environ.get("_CONDOR_JOB_AD") and not environ.get("_CONDOR_SCRATCH_DIR"):
        return None
    ours, machine = ad(around, "_CONDOR_JOB_AD"), ad(around, "_CONDOR_MACHINE_AD")
    folder = environ.get("_CONDOR_SCRATCH_DIR", "")
    return BatchJob(
        system="htcondor",
        id=_id(ours),
        source="_CONDOR_JOB_AD" if environ.get("_CONDOR_JOB_AD") else "_CONDOR_SCRATCH_DIR",
        cores=_first([(machine, "Cpus"), (ours, "CpusProvisioned"), (ours, "RequestCpus")], int),
        memory_mb=_first(
            [(machine, "Memory"), (ours, "MemoryProvisioned"), (ours, "RequestMemory")], _of_mib
        ),
        scratch_folder=SourcedValue(folder, "_CONDOR_SCRATCH_DIR")
        if folder.startswith("/")
        else SourcedValue(""),
        scratch_mb=_first(
            [(machine, "Disk"), (ours, "DiskProvisioned"), (ours, "RequestDisk")], _of_kib
        ),
        gpus=_gpus(around, machine),
        wall_left_s=_wall_left_s(around, ours, machine),
    )


def _id(ours: Ad) -> str:
    cluster, process = ours.number("ClusterId"), ours.number("ProcId")
    if cluster is None or process is None:
        return ""
    return f"{cluster:.0f}.{process:.0f}"


def _of_mib(number: float) -> int:
    return megabytes(number * MIB)


def _of_kib(number: float) -> int:
    return megabytes(number * 1024)


def _first(places: Sequence[tuple[Ad, str]], ours: Callable[[float], int]) -> SourcedValue[int]:
    """Return the first number that an ad has, converted to the pilot's unit."""
    for place, name in places:
        value = place.number(name)
        if value:
            return SourcedValue(ours(value), f"{name} ({place.source})")
    return UNKNOWN_WHOLE


def _gpus(around: Surroundings, machine: Ad) -> SourcedValue[Optional[tuple[str, ...]]]:
    """Return the assigned GPUs; a slot without GPUs has the word 10000."""
    said = around.environ.get("_CONDOR_AssignedGPUs", "")
    source = "_CONDOR_AssignedGPUs"
    if not said:
        said, source = machine.word("AssignedGPUs"), f"AssignedGPUs ({machine.source})"
    words = [word.strip() for word in said.split(",") if word.strip()]
    if not words:
        return SourcedValue(None)
    ours = [word[4:] if word.startswith("CUDA") else word for word in words if word != "10000"]
    return SourcedValue(tuple(plain(word) for word in ours), source)


def _wall_left_s(around: Surroundings, ours: Ad, machine: Ad) -> SourcedValue[float]:
    """Return the smallest limit of the run and of the machine."""
    now = around.now()
    started = ours.number("JobCurrentStartExecutingDate") or ours.number("JobCurrentStartDate")
    ran_s = max(0.0, now - started) if started else 0.0
    said: list[SourcedValue[float]] = []
    for name, unit_s in _OF_A_RUN:
        limit = ours.number(name)
        if limit:
            said.append(SourcedValue(max(0.0, limit * unit_s - ran_s), f"{name} ({ours.source})"))
    for name in _ENDS_OF_THE_MACHINE:
        end = machine.number(name)
        if end:
            said.append(SourcedValue(max(0.0, end - now), f"{name} ({machine.source})"))
    found = least(said, math.inf)
    return found if found.known else found.noting("the ads name no known time limit")
