"""How many cores are really ours: affinity, and the quotas of cgroup v1 and v2."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from . import cgroups
from .reading import number, text

_BATCH_CORES = (
    "SLURM_CPUS_ON_NODE",
    "_CONDOR_REQUEST_CPUS",
    "PBS_NCPUS",
    "LSB_DJOB_NUMPROC",
    "NSLOTS",
)


def cores(root: Path, environ: Mapping[str, str]) -> int:
    """Return the smallest of what the kernel, the control groups and the batch system allow."""
    limits = [affinity(root), *(int(quota) for quota in _quotas(root))]
    limits += [found for name in _BATCH_CORES if (found := number(environ.get(name, "")))]
    return max(1, min((limit for limit in limits if limit >= 1), default=1))


def affinity(root: Path) -> int:
    """Return the number of processors that this process may run on, 0 where it is not known."""
    for line in text(root / "proc/self/status").splitlines():
        if line.startswith("Cpus_allowed_list:"):
            return sum(1 for _ in _numbers(line.partition(":")[2]))
    return 0


def _quotas(root: Path) -> Iterable[float]:
    """Yield quotas in cores: at least one core is ours, however small its share."""
    for folder in cgroups.folders(root, "cpu"):
        quota, _, period = text(folder / "cpu.max").strip().partition(" ")
        if not quota:
            quota = text(folder / "cpu.cfs_quota_us").strip()
            period = text(folder / "cpu.cfs_period_us").strip()
        if number(quota) > 0 and number(period) > 0:
            yield max(1.0, number(quota) / number(period))


def _numbers(ranges: str) -> Iterable[int]:
    for part in ranges.strip().split(","):
        low, _, high = part.partition("-")
        if low.strip().isdigit():
            yield from range(int(low), int(high or low) + 1)
