"""How fast jobs are taken in, durable, over HTTP; and what a neighbour feels of it."""

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import msgspec

from .figures import Figure, figure, percentile
from .rig import Rig, rig

PARAMETRIC = 100_000
DISTINCT = 20_000
A_CALL = 1_000
WORK = (
    f"{PARAMETRIC:,} parametric jobs in one call (best of 3), then {DISTINCT:,} distinct jobs on 2 "
    "connections. The *neighbour* commits single jobs at the same time."
)


def run() -> tuple[str, list[Figure]]:
    """Measure; return the work and the figures."""
    with rig({"bus.broker": "none"}) as bench:
        _send(bench, _parametric(2_000))  # warm
        bodies = [_parametric(PARAMETRIC) for _ in range(3)]  # before anybody is timed
        neighbour = _Neighbour(bench)
        with neighbour:
            parametric = PARAMETRIC / min(_send(bench, body) for body in bodies)
        distinct = _distinct(bench)
    name = "submit"
    return WORK, [
        figure(name, "parametric, 100 000 in one call", parametric, "jobs/s"),
        figure(name, "distinct, 1 000 a call", distinct, "jobs/s"),
        figure(name, "neighbour's single commit, p50", percentile(neighbour.waits_ms, 0.5), "ms"),
        figure(name, "neighbour's single commit, p99", percentile(neighbour.waits_ms, 0.99), "ms"),
    ]


def _parametric(count: int) -> bytes:
    return msgspec.json.encode(
        {
            "key": uuid.uuid4().hex,
            "template": {"command": ["simulate", "--run={run}"], "needs": [{"cores_min": 2}]},
            "parameters": [{"run": number} for number in range(count)],
        }
    )


def _send(bench: Rig, body: bytes) -> float:
    """Return how many seconds the call took."""
    sender = bench.sender()
    began = time.perf_counter()
    sender.post("/v1/submissions", body)
    return time.perf_counter() - began


def job(number: int) -> dict[str, object]:
    return {
        "command": ["process", f"--input=run{number}.simtel.zst", f"--output=run{number}.dl1.h5"],
        "name": f"process {number}",
        "environment": {"RUN": str(number)},
        "outputs": [{"pattern": "*.h5"}],
        "needs": [{"memory_mb": 2_000 + 100 * (number % 24), "wall_s": 3_600}],
    }


def _distinct(bench: Rig) -> float:
    bodies = [
        msgspec.json.encode(
            {
                "key": uuid.uuid4().hex,
                "jobs": [job(number) for number in range(start, start + A_CALL)],
            }
        )
        for start in range(0, DISTINCT, A_CALL)
    ]
    halves = [bodies[0::2], bodies[1::2]]
    with ThreadPoolExecutor(len(halves)) as senders:
        began = time.perf_counter()
        list(senders.map(partial(_send_all, bench), halves))  # raises what they raise
        return DISTINCT / (time.perf_counter() - began)


def _send_all(bench: Rig, bodies: list[bytes]) -> None:
    sender = bench.sender()
    for body in bodies:
        sender.post("/v1/submissions", body)


@dataclass
class _Neighbour:
    """Commits one job at a time, all the while."""

    bench: Rig
    waits_ms: list[float] = field(default_factory=list[float])
    _over: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        sender = self.bench.sender()
        while not self._over.is_set():
            body = msgspec.json.encode({"key": uuid.uuid4().hex, "jobs": [{"command": ["true"]}]})
            began = time.perf_counter()
            sender.post("/v1/submissions", body)
            self.waits_ms.append((time.perf_counter() - began) * 1_000)
