"""Grid Engine (SGE, UGE, Son of Grid Engine): its environment, and `qstat -xml -j`."""

import math
import re
from typing import Optional

from ..finding import SourcedValue, least
from ..small_files import decimal, number, plain, text
from ..surroundings import Surroundings
from .batch_job import UNKNOWN_TIME, UNKNOWN_WHOLE, BatchJob, megabytes

_RESOURCE = re.compile(
    r"<CE_name>([a-z_]{1,32})</CE_name>(?:(?!<CE_name>).){0,400}?<CE_doubleval>([0-9.]{1,24})<",
    re.DOTALL,
)
_STARTED = re.compile(r"<JAT_start_time>([0-9]{1,13})<")
_TASK = re.compile(r"<JAT_task_number>([0-9]{1,9})<")
_CPU_USED = re.compile(r"<UA_name>cpu</UA_name>\s*<UA_value>([0-9.]{1,24})<")
_UNLIMITED = 1e9


def job(around: Surroundings) -> Optional[BatchJob]:
    """Return the pilot's job if Grid Engine started it."""
    environ = around.environ
    name = plain(environ.get("JOB_ID", ""))
    if not name or not (environ.get("SGE_CELL") or environ.get("SGE_ROOT")):
        return None
    task = number(environ.get("SGE_TASK_ID", ""))  # `undefined` if it is not an array
    said = around.run(("qstat", "-xml", "-j", name))
    limits = {key: float(value) for key, value in _RESOURCE.findall(said) if _is_number(value)}
    cores = _slots(around)
    folder = environ.get("TMPDIR", "")
    return BatchJob(
        system="sge",
        id=f"{name}.{task}" if task else name,
        source="JOB_ID and SGE_CELL",
        cores=cores,
        memory_mb=_memory_mb(limits, cores),
        scratch_folder=SourcedValue(folder, "TMPDIR")
        if folder.startswith("/")
        else SourcedValue(""),
        wall_left_s=_wall_left_s(around, said, limits, task or 1),
        cpu_left_s=_cpu_left_s(said, limits),
    )


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False


def _slots(around: Surroundings) -> SourcedValue[int]:
    """Return the job's slots on this host: a parallel job may have others on other hosts."""
    ours = around.host.partition(".")[0]
    path = around.environ.get("PE_HOSTFILE", "")
    for line in text(around.file(path)).splitlines() if path.startswith("/") else ():
        host, _, rest = line.partition(" ")
        if host.partition(".")[0] == ours and number(rest):
            return SourcedValue(number(rest), "PE_HOSTFILE")
    hosts, slots = number(around.environ.get("NHOSTS", "1")), around.environ.get("NSLOTS", "")
    if hosts > 1:
        return UNKNOWN_WHOLE.noting(f"PE_HOSTFILE has no {ours}")
    return SourcedValue(number(slots), "NSLOTS") if number(slots) else UNKNOWN_WHOLE


def _memory_mb(limits: dict[str, float], cores: SourcedValue[int]) -> SourcedValue[int]:
    """Return the memory limit of all slots, because the request counts for each slot."""
    slots = max(1, cores.value)
    said = [
        SourcedValue(megabytes(limits[name] * slots), f"{name} (qstat -j), {slots} slots")
        for name in ("h_vmem", "h_rss", "m_mem_free")
        if 0 < limits.get(name, 0.0) < 1e18
    ]
    return least(said, 0)


def _wall_left_s(
    around: Surroundings, said: str, limits: dict[str, float], task: int
) -> SourcedValue[float]:
    if not said:
        return UNKNOWN_TIME.noting("qstat has not answered")
    limit_s = min(limits.get("h_rt", math.inf), limits.get("s_rt", math.inf))
    if not limit_s < _UNLIMITED:
        return UNKNOWN_TIME.noting("the job asked for no h_rt; its queue may still have one")
    started = _of_task(said, task)
    ran_s = max(0.0, around.now() - started) if started else 0.0
    return SourcedValue(max(0.0, limit_s - ran_s), "h_rt, s_rt (qstat -j)")


def _of_task(said: str, task: int) -> float:
    """Return the start time of the task; in the list, its number follows its start."""
    found = [decimal(one) for one in _STARTED.findall(said)]
    numbers = [number(one) for one in _TASK.findall(said)]
    if task in numbers and len(numbers) == len(found):
        return found[numbers.index(task)]
    return min(found, default=0.0)


def _cpu_left_s(said: str, limits: dict[str, float]) -> SourcedValue[float]:
    limit_s = min(limits.get("h_cpu", math.inf), limits.get("s_cpu", math.inf))
    if not limit_s < _UNLIMITED:
        return UNKNOWN_TIME
    used = _CPU_USED.search(said)
    used_s = float(used.group(1)) if used and _is_number(used.group(1)) else 0.0
    return SourcedValue(max(0.0, limit_s - used_s), "h_cpu, s_cpu (qstat -j)")
