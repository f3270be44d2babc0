"""LSF: its environment, and `bjobs` for the time left."""

import math
import re
from typing import Optional

from ..finding import SourcedValue
from ..small_files import number, plain
from ..surroundings import Surroundings
from .batch_job import UNKNOWN_TIME, UNKNOWN_WHOLE, BatchJob

_ASK = ("bjobs", "-noheader", "-o", "time_left")
# Hours and minutes, and their kind: L by the job's limit, E by an estimate, X already exceeded.
_LEFT = re.compile(r"\s*([0-9]{1,7}):([0-9]{1,2})\s+([LEX])\s*$")


def job(around: Surroundings) -> Optional[BatchJob]:
    """Return the pilot's job if LSF started it."""
    environ = around.environ
    name = plain(environ.get("LSB_JOBID", ""))
    if not name:
        return None
    index = number(environ.get("LSB_JOBINDEX", ""))
    whole = f"{name}[{index}]" if index else name
    folder = environ.get("TMPDIR", "")
    return BatchJob(
        system="lsf",
        id=whole,
        source="LSB_JOBID",
        cores=_cores(around),
        scratch_folder=SourcedValue(folder, "TMPDIR")
        if folder.startswith("/")
        else SourcedValue(""),
        wall_left_s=_wall_left_s(around, whole),
    )


def _cores(around: Surroundings) -> SourcedValue[int]:
    """Return the job's slots on this host: a job may have others on other hosts."""
    words = around.environ.get("LSB_MCPU_HOSTS", "").split()
    slots = dict(zip(words[::2], words[1::2]))
    ours = _short(around.host)
    for host, count in slots.items():
        if _short(host) == ours or len(slots) == 1:
            return SourcedValue(number(count), "LSB_MCPU_HOSTS") if number(count) else UNKNOWN_WHOLE
    whole = number(around.environ.get("LSB_DJOB_NUMPROC", ""))
    if slots:
        note = f"LSB_MCPU_HOSTS has no {ours}"
        return UNKNOWN_WHOLE.noting(note)
    return SourcedValue(whole, "LSB_DJOB_NUMPROC") if whole else UNKNOWN_WHOLE


def _short(host: str) -> str:
    return host.partition(".")[0].lower()


def _wall_left_s(around: Surroundings, name: str) -> SourcedValue[float]:
    said = around.run((*_ASK, name))
    found = _LEFT.match(said)
    if found is None:
        if said.strip() == "-":
            return SourcedValue(math.inf, "bjobs time_left", ("the job has no run limit",))
        note = f"bjobs: {plain(said, 80)!r}" if said.strip() else "bjobs has not answered"
        return UNKNOWN_TIME.noting(note)
    hours, minutes, kind = found.groups()
    left_s = 0.0 if kind == "X" else (int(hours) * 60 + int(minutes)) * 60.0
    if kind == "E":
        return UNKNOWN_TIME.noting("bjobs only estimates the time left: no limit ends the job")
    return SourcedValue(left_s, "bjobs time_left")
