"""The usable memory: by control groups, the batch system, or the machine."""

from collections.abc import Iterator, Sequence

from . import cgroups
from .batch_systems.batch_job import UNKNOWN_WHOLE, BatchJob, megabytes
from .finding import SourcedValue, least
from .small_files import number, text
from .surroundings import Surroundings

_UNLIMITED = 10**18  # version 1 writes "no limit" as a number near 2^63
_INFO = "/proc/meminfo"
_FILES = ("memory.max", "memory.high", "memory.limit_in_bytes")


def memory_limit_mb(around: Surroundings, jobs: Sequence[BatchJob] = ()) -> SourcedValue[int]:
    """Return the maximum memory of payloads, in 10^6 bytes."""
    found = least([_of_machine(around, "MemTotal"), *_granted(around, jobs)], 0)
    return found.noting(cgroups.blind(around))


def memory_mb(around: Surroundings, jobs: Sequence[BatchJob] = ()) -> SourcedValue[int]:
    """Return the memory that payloads may use together, in 10^6 bytes; 0: unknown.

    Without a limit for the pilot, it is the memory that the machine has available now.
    """
    limit = memory_limit_mb(around, jobs)
    available = _of_machine(around, "MemAvailable")
    if available.known and not any(one.known for one in _granted(around, jobs)):
        return least([available, limit], 0)
    if available.known and available.value < limit.value:
        return limit.noting(f"{available.source} says that {available.value} MB are free now")
    return limit


def _granted(around: Surroundings, jobs: Sequence[BatchJob]) -> list[SourcedValue[int]]:
    """Return the limits that are below the machine's memory."""
    total = _of_machine(around, "MemTotal")
    said = [*_limits(around), *(job.memory_mb for job in jobs)]
    return [one for one in said if one.known and (not total.known or one.value < total.value)]


def _of_machine(around: Surroundings, name: str) -> SourcedValue[int]:
    for line in text(around.file(_INFO)).splitlines():
        if line.startswith(name + ":"):
            kib = number(line.partition(":")[2])
            if kib:
                return SourcedValue(megabytes(kib * 1024), f"{name} ({_INFO})")
    return UNKNOWN_WHOLE


def _limits(around: Surroundings) -> Iterator[SourcedValue[int]]:
    for folder in cgroups.folders(around, "memory"):
        for name in _FILES:
            limit = number(text(folder / name))
            if 0 < limit < _UNLIMITED:
                yield SourcedValue(megabytes(limit), around.shown(folder / name))
        # In version 1, a container sees the limit of the folders above its own, but not the
        # folders.
        for line in text(folder / "memory.stat").splitlines():
            if line.startswith("hierarchical_memory_limit "):
                limit = number(line.partition(" ")[2])
                if 0 < limit < _UNLIMITED:
                    source = f"hierarchical_memory_limit ({around.shown(folder / 'memory.stat')})"
                    yield SourcedValue(megabytes(limit), source)
