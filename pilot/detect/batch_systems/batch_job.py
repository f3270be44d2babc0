"""The pilot's job, as a batch system describes it."""

import math
from dataclasses import dataclass
from typing import Optional

from pilotage.proto.limits import MB_MAX

from ..finding import SourcedValue

UNKNOWN_WHOLE: SourcedValue[int] = SourcedValue(0)
UNKNOWN_TEXT: SourcedValue[str] = SourcedValue("")
UNKNOWN_TIME: SourcedValue[float] = SourcedValue(math.inf)


@dataclass(frozen=True)
class BatchJob:
    """The pilot's job in one batch system. A value without a source is unknown."""

    system: str
    id: str
    source: str  # the evidence that the pilot is its job
    cores: SourcedValue[int] = UNKNOWN_WHOLE
    memory_mb: SourcedValue[int] = UNKNOWN_WHOLE
    scratch_folder: SourcedValue[str] = UNKNOWN_TEXT
    scratch_mb: SourcedValue[int] = UNKNOWN_WHOLE
    gpus: SourcedValue[Optional[tuple[str, ...]]] = SourcedValue(
        None
    )  # indices or UUIDs; None: it gave none
    wall_left_s: SourcedValue[float] = UNKNOWN_TIME
    cpu_left_s: SourcedValue[float] = UNKNOWN_TIME  # of all processes together
    confines_gpus: bool = True  # a job without assigned GPUs has none


MIB = 1_048_576


def megabytes(bytes_: float) -> int:
    """Return the size in 10^6 bytes, at most the maximum of a message."""
    return min(MB_MAX, int(bytes_ // 1_000_000))
