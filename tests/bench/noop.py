"""No-op jobs end to end: real `true` processes, real pilots, everything durable."""

import time

from pilotage.proto.job_states import FINAL

from .figures import Figure, figure
from .machine import cpu_s
from .rig import NOOP, Rig, rig

JOBS = 5_000
PILOTS = 2
SLOTS = 8
LOOK_S = 0.2
WORK = (
    f"{PILOTS} pilots of {SLOTS} slots run {JOBS:,} jobs of `true` beside the central. The time "
    "runs from the submit call until the last job is Done."
)


def run() -> tuple[str, list[Figure]]:
    """Measure on the plain rung and with namespaces."""
    figures: list[Figure] = []
    for name, isolation in (("plain rung", "session"), ("with namespaces", "auto")):
        with rig(mosquitto=True) as bench:
            bench.pilots(PILOTS, cores=SLOTS, isolation=isolation)
            rate, cpu = drain(bench, JOBS)
        figures.append(figure("noop", name, rate, "jobs/s"))
        figures.append(figure("noop", f"central's CPU, {name}", cpu * 1e6, "µs/job"))
    return WORK, figures


def drain(bench: Rig, jobs: int) -> tuple[float, float]:
    """Run no-op jobs; return jobs/s and the central's CPU seconds a job."""
    pid = bench.central.process.pid
    before, began = cpu_s(pid), time.perf_counter()
    bench.client.submit(template=NOOP, parameters=({"n": n} for n in range(jobs)))
    while _ended(bench) < jobs:
        time.sleep(LOOK_S)
    took = time.perf_counter() - began
    return jobs / took, (cpu_s(pid) - before) / jobs


def _ended(bench: Rig) -> int:
    rows = bench.client.summary().rows
    return sum(count for row in rows for state, count in row.counts.items() if state in FINAL)
