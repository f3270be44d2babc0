"""What a batch system says of the job that we are."""

import math
from dataclasses import dataclass
from typing import Optional

from pilotage.proto.limits import MB_MAX

from .found import Found

UNKNOWN_WHOLE: Found[int] = Found(0)
UNKNOWN_TEXT: Found[str] = Found("")
UNKNOWN_TIME: Found[float] = Found(math.inf)


@dataclass(frozen=True)
class BatchJob:
    """Our job, by one batch system. What is without a source it does not say."""

    system: str
    id: str
    source: str  # what told that we are its job
    cores: Found[int] = UNKNOWN_WHOLE
    memory_mb: Found[int] = UNKNOWN_WHOLE
    scratch_folder: Found[str] = UNKNOWN_TEXT
    scratch_mb: Found[int] = UNKNOWN_WHOLE
    gpus: Found[Optional[tuple[str, ...]]] = Found(None)  # indices or uuids; none: it gave none
    wall_left_s: Found[float] = UNKNOWN_TIME
    cpu_left_s: Found[float] = UNKNOWN_TIME  # of all processes together
    confines_gpus: bool = True  # a job that it gave no GPU has none


MIB = 1_048_576


def megabytes(bytes_: float) -> int:
    """Return 10^6 bytes, and not more than a message can say."""
    return min(MB_MAX, int(bytes_ // 1_000_000))
