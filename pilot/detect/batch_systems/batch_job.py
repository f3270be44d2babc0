"""What a batch system says of the job that we are."""

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
    """Our job, by one batch system. What is without a source it does not say."""

    system: str
    id: str
    source: str  # what told that we are its job
    cores: SourcedValue[int] = UNKNOWN_WHOLE
    memory_mb: SourcedValue[int] = UNKNOWN_WHOLE
    scratch_folder: SourcedValue[str] = UNKNOWN_TEXT
    scratch_mb: SourcedValue[int] = UNKNOWN_WHOLE
    gpus: SourcedValue[Optional[tuple[str, ...]]] = SourcedValue(
        None
    )  # indices or uuids; none: it gave none
    wall_left_s: SourcedValue[float] = UNKNOWN_TIME
    cpu_left_s: SourcedValue[float] = UNKNOWN_TIME  # of all processes together
    confines_gpus: bool = True  # a job that it gave no GPU has none


MIB = 1_048_576


def megabytes(bytes_: float) -> int:
    """Return 10^6 bytes, and not more than a message can say."""
    return min(MB_MAX, int(bytes_ // 1_000_000))
