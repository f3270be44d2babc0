"""PBS (OpenPBS, PBS Pro, Torque): its environment, and `qstat -f`."""

import math
from collections.abc import Mapping
from typing import Optional

from ..finding import SourcedValue, least
from ..small_files import number, plain, seconds, size_bytes
from ..surroundings import Surroundings
from .batch_job import UNKNOWN_TIME, UNKNOWN_WHOLE, BatchJob, megabytes


def job(around: Surroundings) -> Optional[BatchJob]:
    """Return the pilot's job if PBS started it."""
    environ = around.environ
    name = plain(environ.get("PBS_JOBID", ""))
    if not name:
        return None
    said = _attributes(around.run(("qstat", "-f", name)))
    return BatchJob(
        system="pbs",
        id=name,
        source="PBS_JOBID",
        cores=_cores(around),
        memory_mb=_memory_mb(said),
        scratch_folder=_folder(around),
        wall_left_s=_wall_left_s(said),
        cpu_left_s=_left_s(said, "cput"),
    )


def _cores(around: Surroundings) -> SourcedValue[int]:
    for name in ("NCPUS", "PBS_NCPUS", "PBS_NUM_PPN"):  # on this node
        value = number(around.environ.get(name, ""))
        if value:
            return SourcedValue(value, name)
    return UNKNOWN_WHOLE


def _folder(around: Surroundings) -> SourcedValue[str]:
    for name in ("PBS_JOBDIR", "TMPDIR"):
        if around.environ.get(name, "").startswith("/"):
            return SourcedValue(around.environ[name], name)
    return SourcedValue("")


def _attributes(said: str) -> dict[str, str]:
    """Return the attributes of `qstat -f`. A line that begins with a tab continues the last one."""
    found: dict[str, str] = {}
    for line in said.replace("\n\t", "").splitlines():
        name, equals, value = line.partition(" = ")
        if equals:
            found[name.strip().lower()] = value.strip()
    return found


def _memory_mb(said: Mapping[str, str]) -> SourcedValue[int]:
    value = size_bytes(said.get("resource_list.mem", ""))
    # Otherwise the value is for all nodes together.
    if value and number(said.get("resource_list.nodect", "1")) <= 1:
        return SourcedValue(megabytes(value), "Resource_List.mem (qstat -f)")
    return UNKNOWN_WHOLE


def _wall_left_s(said: Mapping[str, str]) -> SourcedValue[float]:
    if not said:
        return UNKNOWN_TIME.noting("qstat has not answered")
    remaining = said.get("walltime.remaining", "")  # Torque
    reported = SourcedValue(float(number(remaining)), "Walltime.Remaining (qstat -f)")
    found = least([_left_s(said, "walltime"), reported if remaining else UNKNOWN_TIME], math.inf)
    return found if found.known else found.noting("qstat names no walltime")


def _left_s(said: Mapping[str, str], name: str) -> SourcedValue[float]:
    limit_s = seconds(said.get(f"resource_list.{name}", ""))
    if math.isnan(limit_s):
        return UNKNOWN_TIME
    used_s = seconds(said.get(f"resources_used.{name}", "0"))
    left_s = max(0.0, limit_s - (0.0 if math.isnan(used_s) else used_s))
    return SourcedValue(left_s, f"Resource_List.{name} (qstat -f)")
