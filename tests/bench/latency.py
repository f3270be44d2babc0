"""From the submit call to the first instruction of the payload, on a parked pilot."""

import time
import uuid

import msgspec

from pilotage.proto.api.jobs import Submitted
from pilotage.proto.job_states import JobState

from .figures import Figure, figure, percentile
from .rig import Rig, Sender, rig

SAMPLES = 200
QUIET_S = 0.05
WORK = (
    f"{SAMPLES} jobs of `date`, one after another, to one parked pilot. A figure runs from the "
    "submit call to the printed time."
)
RUNGS = (("namespaces", "auto"), ("plain", "session"))


def run() -> tuple[str, list[Figure]]:
    """Measure on both rungs."""
    figures: list[Figure] = []
    for name, isolation in RUNGS:
        with rig() as bench:
            bench.pilots(1, cores=2, isolation=isolation)
            sender = bench.sender()
            times = [_once(bench, sender) for _ in range(SAMPLES + 10)][10:]
        for share, word in ((0.5, "p50"), (0.99, "p99")):
            figures.append(figure("latency", f"{name}, {word}", percentile(times, share), "ms"))
    return WORK, figures


def _once(bench: Rig, sender: Sender) -> float:
    """Return the time of one job, in milliseconds."""
    body = msgspec.json.encode({"key": uuid.uuid4().hex, "jobs": [{"command": ["date", "+%s.%N"]}]})
    began = time.time()
    made = msgspec.json.decode(sender.post("/v1/submissions", body), type=Submitted)
    job = made.ids[0].first
    time.sleep(QUIET_S)  # nobody asks for anything while it counts
    while bench.client.detail(job).view.state is not JobState.DONE:
        time.sleep(0.01)
    started = float(b"".join(bench.client.log(job)))
    time.sleep(0.02)  # until the pilot is parked again
    return (started - began) * 1_000
