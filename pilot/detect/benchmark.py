"""A short benchmark of one core, so that nodes can be told apart. It is no HS23.

Three parts, each a loop of the C code below Python that has not changed since Python 3.9:

    integer   long divisions of 3900-bit by 1950-bit numbers
    float     logarithms of the gamma function, a sum of 13 terms each
    memory    copies of 32 MB, larger than most caches

Each runs for a third of the time; its figure is that of its best chunk, in CPU time, so that other
work on the node disturbs it little. The score is the geometric mean of the three, each divided by
that of the reference: 1.0 is a core with exactly these figures. Scores of two methods do not
compare, and those of two Pythons only within 25 %: a build may be faster in `float`.
"""

import math
from typing import Optional

from pilotage.proto.messages import Benchmark

METHOD = "pilotage-1"
REFERENCE = Benchmark(
    METHOD, score=1.0, integer_per_s=200_000.0, float_per_s=20e6, memory_mb_per_s=20_000.0
)
FIGURE_MAX = 1e15


def scored(integer_per_s: float, float_per_s: float, memory_mb_per_s: float) -> Benchmark:
    """Return the figures, rounded, with the score that these give, so that anybody can check it."""
    integer, floating, memory = round(integer_per_s), round(float_per_s), round(memory_mb_per_s)
    parts = (
        integer / REFERENCE.integer_per_s,
        floating / REFERENCE.float_per_s,
        memory / REFERENCE.memory_mb_per_s,
    )
    score = math.prod(part ** (1 / len(parts)) for part in parts)
    return Benchmark(
        METHOD,
        score=round(min(score, 1e6), 3),
        integer_per_s=integer,
        float_per_s=floating,
        memory_mb_per_s=memory,
    )


def parse(printed: str) -> Optional[Benchmark]:
    """Return what the loops have printed, None where it is something else."""
    try:
        figures = [float(word) for word in printed.split()]
    except ValueError:
        return None
    if len(figures) != 3 or not all(0 < figure < FIGURE_MAX for figure in figures):
        return None
    return scored(*figures)
