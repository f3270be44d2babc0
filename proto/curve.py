"""The resource curve of an attempt: lines of numbers that its pilot writes. Pure.

`docs/resource-curve.md` describes the file.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple


class UsageSample(NamedTuple):
    """The use of all processes of a payload together at one moment."""

    at_s: float  # since the start of the payload
    cpu_s: float  # so far
    memory_mb: float
    scratch_mb: float
    processes: int


def sample_of(line: str) -> UsageSample | None:
    """Return the sample in a line; None if it is cut off or reports lost bytes."""
    words = line.split()
    if len(words) != len(UsageSample._fields):
        return None
    try:
        at_s, cpu_s, memory_mb, scratch_mb = (float(word) for word in words[:-1])
        processes = int(words[-1])
    except ValueError:
        return None
    sample = UsageSample(at_s, cpu_s, memory_mb, scratch_mb, processes)
    return sample if all(0 <= one < math.inf for one in sample) else None


def samples(text: str, *, whole: bool = True) -> list[UsageSample]:
    """Return all samples in a text. If it is not `whole`, ignore its last line."""
    lines: Iterable[str] = text.split("\n") if whole else text.split("\n")[:-1]
    return [one for one in map(sample_of, lines) if one is not None]
