"""How much memory a waiting job takes, as the operating system sees it."""

import gc
import os
from pathlib import Path

from pilotage.matcher import Matcher

from ..figures import Figure, figure
from .mixes import few_classes

JOBS, CLASSES = 1_000_000, 500


def run() -> list[Figure]:
    """Measure how the process grows by a million jobs in some hundred classes."""
    load = few_classes(JOBS, CLASSES)
    matcher = Matcher(load.rules)
    for spec in load.specs:
        matcher.add_class(spec)
    gc.collect()
    before = resident_bytes()
    for class_id, priority, jobs in load.bulks:
        matcher.add(class_id, priority, jobs)
    grown = resident_bytes() - before
    assert len(matcher) == JOBS
    return [figure("matcher", "memory of a waiting job", grown / JOBS, "B")]


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def resident_mb() -> float:
    return resident_bytes() / 1e6
