"""The resource curve of an attempt: lines of numbers, as its pilot writes them. Pure.

The file is described in `docs/resource-curve.md`.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple


class UsageSample(NamedTuple):
    """What all processes of a payload together used, at one moment."""

    at_s: float  # since the payload's start
    cpu_s: float  # so far
    memory_mb: float
    scratch_mb: float
    processes: int


def sample_of(line: str) -> UsageSample | None:
    """Return what a line says, None where it is none: cut off, or a word about lost bytes."""
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
    """Return all samples of a text; where it is not `whole`, its last line may be cut off."""
    lines: Iterable[str] = text.split("\n") if whole else text.split("\n")[:-1]
    return [one for one in map(sample_of, lines) if one is not None]
