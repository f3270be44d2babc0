"""Machine/job features: folders in which a site describes a job's resources (HSF-TN-2016-02)."""

import math
from typing import Optional

from ..finding import SourcedValue, least
from ..small_files import number, text
from ..surroundings import Surroundings
from .batch_job import UNKNOWN_WHOLE, BatchJob, megabytes


def job(around: Surroundings) -> Optional[BatchJob]:
    """Return the job that the folders describe; None if there are none.

    They do not name a batch system, which is detected separately.
    """
    ours = around.environ.get("JOBFEATURES", "")
    machine = around.environ.get("MACHINEFEATURES", "")
    if not ours.startswith("/") and not machine.startswith("/"):
        return None
    return BatchJob(
        system="",
        id="",
        source="JOBFEATURES",
        cores=_whole(around, ours, "allocated_cpu"),
        memory_mb=_megabytes(around, ours, "max_rss_bytes"),
        scratch_mb=_megabytes(around, ours, "max_scratch_bytes", "scratch_limit_bytes"),
        wall_left_s=_wall_left_s(around, ours, machine),
        cpu_left_s=SourcedValue(math.inf),
        confines_gpus=False,
    )


def _whole(around: Surroundings, folder: str, *names: str) -> SourcedValue[int]:
    for name in names:
        value = number(text(around.file(f"{folder}/{name}"))) if folder.startswith("/") else 0
        if value:
            return SourcedValue(value, f"{folder}/{name}")
    return UNKNOWN_WHOLE


def _megabytes(around: Surroundings, folder: str, *names: str) -> SourcedValue[int]:
    found = _whole(around, folder, *names)
    return SourcedValue(megabytes(found.value), found.source)


def _wall_left_s(around: Surroundings, ours: str, machine: str) -> SourcedValue[float]:
    now = around.now()
    said: list[SourcedValue[float]] = []
    limit, start = _whole(around, ours, "wall_limit_secs"), _whole(around, ours, "jobstart_secs")
    if limit.known:
        ran_s = max(0.0, now - start.value) if start.known else 0.0
        said.append(SourcedValue(max(0.0, limit.value - ran_s), limit.source))
    for folder, name in ((ours, "shutdowntime_job"), (machine, "shutdowntime")):
        end = _whole(around, folder, name)
        if end.known:
            said.append(SourcedValue(max(0.0, end.value - now), end.source))
    return least(said, math.inf)
