"""When a production will be complete, from how far it was at some times. Pure.

Its speed is that of late: of the last part of the time since it began to move. How much that
varied from piece to piece of the time gives the interval. At the end fewer and fewer tasks run, and
the longest is the last: that takes about a task longer than at full speed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Final

SAMPLES_MAX: Final = 240  # that are kept of one production
LATE: Final = 0.5  # this part of the time since it moved says how fast it is
PIECES: Final = 8
PIECES_MIN: Final = 3  # fewer say nothing
SAMPLES_MIN: Final = 4
Z: Final = 1.28  # 8 of 10 times between the two
DOUBT: Final = 0.1  # part of the time left, however steady it was: the end is not like the middle
FAR: Final = 10.0  # the interval ends at so many times what is likely
TAIL: Final = 0.75  # of the time of a task: so much later than at full speed is the end …
TAIL_MAX: Final = 2.0  # … and hardly ever later than that
GAPS: Final = 3.0  # longer than so many of the longest pause before: it stands


@dataclass(frozen=True)
class ProgressPoint:
    """How far a production was at a time (wall clock)."""

    at: float
    progress: float  # from 0 to 1


@dataclass(frozen=True)
class Estimate:
    """When it will be complete (wall clock): likely, and 8 of 10 times between the two."""

    at: float
    low: float
    high: float


def estimate(
    samples: Sequence[ProgressPoint], now: float, *, task_s: float = 0.0
) -> Estimate | None:
    """Return when a production that runs will be complete; None: nothing can be said yet.

    `samples` come in the order of their time; `task_s` is how long a task runs.
    """
    known = _on_one_scale([one for one in samples if one.at <= now])
    if not known or known[-1].progress >= 1.0:
        return None
    moved = [i for i in range(1, len(known)) if known[i].progress > known[i - 1].progress]
    if len(moved) < SAMPLES_MIN:
        return None
    begin, end = known[moved[0] - 1].at, known[-1].at
    since = begin + (end - begin) * (1.0 - LATE)
    rates = _rates(known, since, end)
    mean = fmean(rates)
    if mean <= 0.0 or _stands(known, moved, now):
        return None
    left, late = 1.0 - known[-1].progress, now - end
    piece = (end - since) / len(rates)
    # What is left takes several pieces of time, over which their differences even out.
    ahead = max(1.0, left / mean / piece)
    spread = pstdev(rates) * math.sqrt(1.0 / len(rates) + 1.0 / ahead)
    fast, slow = mean + Z * spread, max(mean - Z * spread, mean / FAR)
    likely = max(0.0, left / mean + TAIL * task_s - late)
    low = max(0.0, min(left / fast - late, likely * (1.0 - DOUBT)))
    high = max(left / slow + TAIL_MAX * task_s - late, likely * (1.0 + DOUBT))
    return Estimate(at=now + likely, low=now + low, high=now + high)


def kept(samples: Sequence[ProgressPoint], new: ProgressPoint) -> list[ProgressPoint]:
    """Return the samples with a new one, at most SAMPLES_MAX; of old ones every second goes."""
    found = [*samples, new]
    if len(found) > SAMPLES_MAX:
        half = len(found) // 2
        found = found[:half:2] + found[half:]
    return found


def _on_one_scale(samples: Sequence[ProgressPoint]) -> list[ProgressPoint]:
    """Return samples as if all work of today had been known from the start.

    Where progress fell, more work had come: what was done before is a smaller part of it.
    """
    found: list[ProgressPoint] = []
    scale = 1.0
    for i in range(len(samples) - 1, -1, -1):
        if i + 1 < len(samples) and samples[i + 1].progress < samples[i].progress:
            scale *= samples[i + 1].progress / samples[i].progress
        found.append(ProgressPoint(samples[i].at, samples[i].progress * scale))
    return found[::-1]


def _rates(samples: Sequence[ProgressPoint], since: float, until: float) -> list[float]:
    """Return the speed in each piece of a time, as many as there are samples for."""
    inside = sum(1 for one in samples if one.at >= since)
    count = max(PIECES_MIN, min(PIECES, inside // 2))
    ends = [since + (until - since) * i / count for i in range(count + 1)]
    places = [_at(samples, end) for end in ends]
    piece = (until - since) / count
    return [(after - before) / piece for before, after in zip(places, places[1:], strict=False)]


def _at(samples: Sequence[ProgressPoint], at: float) -> float:
    """Return how far it was at a time, on the straight line between two samples."""
    if at <= samples[0].at:
        return samples[0].progress
    for before, after in zip(samples, samples[1:], strict=False):
        if at <= after.at:
            part = (at - before.at) / (after.at - before.at) if after.at > before.at else 1.0
            return before.progress + part * (after.progress - before.progress)
    return samples[-1].progress


def _stands(samples: Sequence[ProgressPoint], moved: Sequence[int], now: float) -> bool:
    """Whether it has not moved for much longer than it ever paused before."""
    times = [samples[i].at for i in moved]
    longest = max(after - before for before, after in zip(times, times[1:], strict=False))
    return now - times[-1] > GAPS * longest
