"""A short benchmark of one core, to compare nodes. It is not HS23.

It has three parts, each a loop in C code of Python that has not changed since Python 3.9:

    integer   long divisions of 3900-bit by 1950-bit numbers
    float     logarithms of the gamma function, a sum of 13 terms each
    memory    copies of 32 MB, larger than most caches

Each part runs for a third of the time. Its result is that of its best chunk, in CPU time, so that
other work on the node has little influence. The score is the geometric mean of the three results,
each divided by the reference: a core with exactly the reference results has 1.0. Scores of two
methods are not comparable. Scores of two builds of Python agree only within 25 %, because a build
may be faster in `float`.
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
    """Return the results, rounded, with the score that follows from the rounded results."""
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
    """Return the results that the loops have printed; None if the text is something else."""
    try:
        figures = [float(word) for word in printed.split()]
    except ValueError:
        return None
    if len(figures) != 3 or not all(0 < figure < FIGURE_MAX for figure in figures):
        return None
    return scored(*figures)
