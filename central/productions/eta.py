"""Estimates when a production will be complete, from samples of its progress. Pure.

The speed is the mean over the last part of the time since the first progress. Its variation from
piece to piece gives the interval. At the end fewer tasks run, and the longest one ends last: this
takes about one task longer than at full speed.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Final

SAMPLES_MAX: Final = 240  # samples kept for one production
LATE: Final = 0.5  # the last part of the time since the first progress; it gives the speed
PIECES: Final = 8
PIECES_MIN: Final = 3  # fewer pieces show nothing
SAMPLES_MIN: Final = 4
Z: Final = 1.28  # 8 of 10 ends are in the interval
# least part of the time left, even at a steady speed: the end is not like the middle
DOUBT: Final = 0.1
FAR: Final = 10.0  # the interval ends at this multiple of the likely time
TAIL: Final = 0.75  # of a task's time: the delay of the end against full speed …
TAIL_MAX: Final = 2.0  # … and its upper limit
GAPS: Final = 3.0  # it stands still after this multiple of the longest pause before

# A century: further away, rounding is taken for progress, and no date can hold the end.
AHEAD_MAX_S: Final = 100 * 365 * 86_400.0


@dataclass(frozen=True)
class ProgressPoint:
    """The progress of a production at a time (wall clock)."""

    at: float
    progress: float  # from 0 to 1


@dataclass(frozen=True)
class Estimate:
    """The expected end of a production (wall clock): the likely time, and an 80 % interval."""

    at: float
    low: float
    high: float


def estimate(
    samples: Sequence[ProgressPoint], now: float, *, task_s: float = 0.0
) -> Estimate | None:
    """Return when a running production will be complete; None: too early to tell.

    `samples` are in order of time; `task_s` is the time of a task.
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
    if mean <= 0.0 or _is_stalled(known, moved, now):
        return None
    left, late = 1.0 - known[-1].progress, now - end
    piece = (end - since) / len(rates)
    # The rest takes several pieces of time, over which their differences even out.
    ahead = max(1.0, left / mean / piece)
    spread = pstdev(rates) * math.sqrt(1.0 / len(rates) + 1.0 / ahead)
    fast, slow = mean + Z * spread, max(mean - Z * spread, mean / FAR)
    likely = max(0.0, left / mean + TAIL * task_s - late)
    low = max(0.0, min(left / fast - late, likely * (1.0 - DOUBT)))
    high = max(left / slow + TAIL_MAX * task_s - late, likely * (1.0 + DOUBT))
    if high > AHEAD_MAX_S:
        return None
    return Estimate(at=now + likely, low=now + low, high=now + high)


def kept(samples: Sequence[ProgressPoint], new: ProgressPoint) -> list[ProgressPoint]:
    """Return the samples with a new one, at most SAMPLES_MAX: older ones are thinned out."""
    found = [*samples, new]
    if len(found) > SAMPLES_MAX:
        half = len(found) // 2
        found = found[:half:2] + found[half:]
    return found


def _on_one_scale(samples: Sequence[ProgressPoint]) -> list[ProgressPoint]:
    """Return samples as if all of today's work had been known from the start.

    If progress fell, work was added, so that earlier work is a smaller part of the whole.
    """
    found: list[ProgressPoint] = []
    scale = 1.0
    for i in range(len(samples) - 1, -1, -1):
        if i + 1 < len(samples) and samples[i + 1].progress < samples[i].progress:
            scale *= samples[i + 1].progress / samples[i].progress
        found.append(ProgressPoint(samples[i].at, samples[i].progress * scale))
    return found[::-1]


def _rates(samples: Sequence[ProgressPoint], since: float, until: float) -> list[float]:
    """Return the speed in each piece of a time; more samples give more pieces."""
    inside = sum(1 for one in samples if one.at >= since)
    count = max(PIECES_MIN, min(PIECES, inside // 2))
    ends = [since + (until - since) * i / count for i in range(count + 1)]
    places = [_at(samples, end) for end in ends]
    piece = (until - since) / count
    return [(after - before) / piece for before, after in zip(places, places[1:], strict=False)]


def _at(samples: Sequence[ProgressPoint], at: float) -> float:
    """Return the progress at a time, on the straight line between two samples."""
    if at <= samples[0].at:
        return samples[0].progress
    for before, after in zip(samples, samples[1:], strict=False):
        if at <= after.at:
            part = (at - before.at) / (after.at - before.at) if after.at > before.at else 1.0
            return before.progress + part * (after.progress - before.progress)
    return samples[-1].progress


def _is_stalled(samples: Sequence[ProgressPoint], moved: Sequence[int], now: float) -> bool:
    """Return whether it has not moved for much longer than in any pause before."""
    times = [samples[i].at for i in moved]
    longest = max(after - before for before, after in zip(times, times[1:], strict=False))
    return now - times[-1] > GAPS * longest
