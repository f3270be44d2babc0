"""The three loops of the benchmark, for a separate process that must start at once.

It imports little and prints three numbers, which `benchmark` interprets.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import repeat
from operator import mod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DIVISIONS, LOGARITHMS = 500, 10_000  # of one chunk: about 2.5 and 0.5 ms
COPIED_BYTES = 32_000_000


def main(cpu_clock: Callable[[], float], spend_s: float) -> None:
    """Print the results of this core, after about this much CPU time."""
    print(*measure(cpu_clock, spend_s))


def measure(cpu_clock: Callable[[], float], spend_s: float) -> tuple[float, float, float]:
    """Return divisions, logarithms and copied megabytes per second."""
    each_s = spend_s / 3
    return (
        best(cpu_clock, each_s, _divisions()) * DIVISIONS,
        best(cpu_clock, each_s, _logarithms()) * LOGARITHMS,
        best(cpu_clock, each_s, _copies()) * COPIED_BYTES / 1e6,
    )


def best(cpu_clock: Callable[[], float], spend_s: float, chunk: Callable[[], object]) -> float:
    """Return the chunks per second of the fastest chunk."""
    chunk()  # the first run is slower
    shortest, began = math.inf, cpu_clock()
    before = began
    while before - began < spend_s:
        chunk()
        now = cpu_clock()
        if now > before:
            shortest = min(shortest, now - before)
        before = now
    return 1 / shortest


def _divisions() -> Callable[[], object]:
    divisor = 5**840 + 1
    dividend = divisor * 3**1230 + 12345
    return lambda: deque(
        map(mod, repeat(dividend, DIVISIONS), repeat(divisor, DIVISIONS)), maxlen=0
    )


def _logarithms() -> Callable[[], object]:
    points = [1.5 + 0.37 * k for k in range(LOGARITHMS)]
    return lambda: deque(map(math.lgamma, points), maxlen=0)


def _copies() -> Callable[[], object]:
    source, target = bytearray(COPIED_BYTES), memoryview(bytearray(COPIED_BYTES))

    def copy() -> None:
        target[:] = source

    return copy
