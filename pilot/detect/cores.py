"""The number of usable cores, by affinity, control groups and the batch system."""

from collections.abc import Iterable, Iterator, Sequence

from . import cgroups
from .batch_systems.batch_job import BatchJob
from .finding import SourcedValue, least
from .small_files import count, number, text
from .surroundings import Surroundings

CORES_MAX = 65_536  # maximum of an offer
_STATUS = "/proc/self/status"
_CPUSETS = ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus")


def cores(around: Surroundings, jobs: Sequence[BatchJob] = ()) -> SourcedValue[int]:
    """Return the smallest limit of the kernel, the control groups and the batch system."""
    said = [affinity(around), *_quotas(around), *_sets(around), *(job.cores for job in jobs)]
    found = least((one for one in said if one.value >= 1), 1)
    return SourcedValue(min(found.value, CORES_MAX), found.source, found.notes).noting(
        cgroups.blind(around)
    )


def affinity(around: Surroundings) -> SourcedValue[int]:
    """Return the number of processors that this process may run on."""
    for line in text(around.file(_STATUS)).splitlines():
        if line.startswith("Cpus_allowed_list:"):
            processors = count(line.partition(":")[2])
            if processors:
                return SourcedValue(processors, f"affinity ({_STATUS})")
            return SourcedValue(0, "", (f"{_STATUS}: Cpus_allowed_list is not a list",))
    return SourcedValue(0)


def _quotas(around: Surroundings) -> Iterator[SourcedValue[int]]:
    """Yield quotas in whole cores; at least one, however small the quota."""
    for folder in cgroups.folders(around, "cpu"):
        quota, _, period = text(folder / "cpu.max").strip().partition(" ")
        name = "cpu.max"
        if not quota:
            name = "cpu.cfs_quota_us"
            quota = text(folder / name).strip()
            period = text(folder / "cpu.cfs_period_us").strip()
        if number(quota) > 0 and number(period) > 0:
            share = number(quota) / number(period)
            found = SourcedValue(max(1, int(share)), around.shown(folder / name))
            yield found if share == int(share) else found.noting(f"a quota of {share:g} cores")


def _sets(around: Surroundings) -> Iterable[SourcedValue[int]]:
    for folder in cgroups.folders(around, "cpuset"):
        for name in _CPUSETS:
            processors = count(text(folder / name))
            if processors:
                yield SourcedValue(processors, around.shown(folder / name))
                break
