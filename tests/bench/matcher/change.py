"""What it costs that jobs and classes come, and that all is read from the store again."""

import time
from array import array
from collections import defaultdict
from itertools import chain, repeat

from pilotage.matcher import Matcher
from pilotage.proto.documents.job import PRIORITY_DEFAULT

from ..figures import Figure, figure
from .loads import production
from .mixes import all_clauses
from .steady import as_served

JOBS = 1_000_000
CLASSES = 20_000


def adding() -> list[Figure]:
    """Measure how fast jobs come into classes that are there."""
    load = production(JOBS)
    matcher = Matcher(load.rules)
    for spec in load.specs:
        matcher.add_class(spec)
    as_served()
    began = time.thread_time()
    for class_id, priority, jobs in load.bulks:
        matcher.add(class_id, priority, jobs)
    took = time.thread_time() - began
    return [figure("matcher", "add to existing classes", load.jobs / took, "jobs/s")]


def making_classes() -> list[Figure]:
    """Measure how fast classes come, each with one job."""
    load = all_clauses(CLASSES, CLASSES)
    matcher = Matcher(load.rules)
    as_served()
    began = time.thread_time()
    for job, spec in enumerate(load.specs, start=1):
        matcher.add_class(spec)
        matcher.add(spec.class_id, 5, (job,))
    took = time.thread_time() - began
    return [figure("matcher", "make new classes", CLASSES / took, "classes/s")]


def rebuilding() -> list[Figure]:
    """Measure a start with a million waiting jobs."""
    load = production(JOBS)
    pairs = sorted(
        chain.from_iterable(zip(repeat(class_id), jobs) for class_id, _, jobs in load.bulks),
        key=lambda pair: pair[1],
    )
    as_served()
    began = time.thread_time()
    matcher = Matcher(load.rules)
    for spec in load.specs:
        matcher.add_class(spec)
    of_class: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
    for class_id, job in pairs:
        of_class[class_id].append(job)
    for class_id, jobs in of_class.items():
        matcher.add(class_id, PRIORITY_DEFAULT, jobs)
    matcher.begin(0.0)
    took = time.thread_time() - began
    assert len(matcher) == load.jobs
    return [figure("matcher", "rebuild of 10^6 from (class, job) pairs", took, "s")]
