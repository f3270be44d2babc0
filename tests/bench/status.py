"""What a look costs with half a million jobs in the store."""

import subprocess
import sys
import time
import uuid

import msgspec

from .figures import Figure, figure, percentile
from .rig import Rig, rig

JOBS = 500_000
A_CALL = 100_000
REQUESTS = 200
COMMANDS = 5
WORK = (
    f"{JOBS:,} jobs in the store; {REQUESTS} requests of each kind on one connection, and "
    f"{COMMANDS} runs of each command (median)."
)
REQUEST_PATHS = {
    "summary request, p99": "/v1/jobs/summary?by=state",
    "status request, p99": "/v1/jobs?limit=100",
    "filtered search, p99": "/v1/jobs?state=Waiting&type=Type7&limit=100",
}
WORDS = {
    "pilotage summary, whole command": ("summary",),
    "pilotage status, whole command": ("status", "--limit", "100"),
}


def run() -> tuple[str, list[Figure]]:
    """Fill a store, then look at it."""
    with rig({"bus.broker": "none"}) as bench:
        _fill(bench)
        figures = [
            figure("status", name, percentile(_times_ms(bench, path), 0.99), "ms")
            for name, path in REQUEST_PATHS.items()
        ]
        figures += [
            figure("status", name, percentile(_command_ms(bench, words), 0.5), "ms")
            for name, words in WORDS.items()
        ]
    return WORK, figures


def _fill(bench: Rig) -> None:
    sender = bench.sender()
    for call in range(JOBS // A_CALL * 2):
        body = msgspec.json.encode(
            {
                "key": uuid.uuid4().hex,
                "template": {"command": ["run", "{n}"], "type": f"Type{call}"},
                "parameters": [{"n": n} for n in range(A_CALL // 2)],
            }
        )
        sender.post("/v1/submissions", body)


def _times_ms(bench: Rig, path: str) -> list[float]:
    sender = bench.sender()
    times: list[float] = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        sender.get(path)
        times.append((time.perf_counter() - began) * 1_000)
    return times


def _command_ms(bench: Rig, words: tuple[str, ...]) -> list[float]:
    times: list[float] = []
    for _ in range(COMMANDS):
        began = time.perf_counter()
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pilotage.central.cli",
                *words,
                "--data",
                str(bench.central.data),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        times.append((time.perf_counter() - began) * 1_000)
    return times
