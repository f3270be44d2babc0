"""From the submit call to the first instruction of the payload, on a parked pilot."""

import time
import uuid
from pathlib import Path

import msgspec

from pilotage.proto.api import Submitted
from pilotage.proto.job_states import JobState

from .figures import Figure, figure, percentile
from .rig import Rig, Sender, rig

SAMPLES = 200
WORK = (
    f"{SAMPLES} jobs one after another, one parked pilot on loopback; each payload notes the clock "
    "in its first instruction (a shell, whose own start is included)"
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
    mark = bench.central.data / f"mark-{uuid.uuid4().hex}"
    body = msgspec.json.encode(
        {
            "key": uuid.uuid4().hex,
            "jobs": [
                {"command": ["bash", "-c", f"echo $EPOCHREALTIME > {mark}"]},
            ],
        }
    )
    began = time.time()
    made = msgspec.json.decode(sender.post("/v1/submissions", body), type=Submitted)
    started = _wait_for(mark)
    mark.unlink()
    while bench.client.detail(made.ids[0].first).view.state is not JobState.DONE:
        time.sleep(0.01)
    time.sleep(0.02)  # until the pilot is parked again
    return (started - began) * 1_000


def _wait_for(mark: Path) -> float:
    """Return what the payload wrote, without a word to the central meanwhile."""
    while True:
        text = mark.read_text() if mark.exists() else ""
        if text.endswith("\n"):
            return float(text.replace(",", "."))
        time.sleep(0.002)
