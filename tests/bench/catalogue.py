"""What the catalogue of files takes and gives with a million files in it."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from .figures import Figure, figure, percentile
from .rig import Rig, Sender, rig

FILES = 1_000_000
A_CALL = 1_000
CONNECTIONS = 2
REQUESTS = 100
PARTICLES = ("gamma", "gamma-diffuse", "electron", "proton")
QUERY: dict[str, Any] = {
    "MCCampaign": "PROD6",
    "site": "Paranal",
    "array_layout": "Hyperarray",
    "particle": "gamma",
    "thetaP": {">=": 20},
    "phiP": 180,
    "sct": False,
    "tel_sim_prog": "sim_telarray",
    "data_level": {"in": [0, 1]},
    "configuration_id": {"<": 18},
    "nsb": {"in": [1, 5]},
    "runNumber": {">=": 100},
}
WORK = (
    f"{FILES:,} files with 13 metadata keys, {A_CALL:,} in a call on {CONNECTIONS} connections; "
    f"then {REQUESTS} requests of each kind for pages of 1,000 files."
)


def run() -> tuple[str, list[Figure]]:
    """Fill a catalogue, then look at it."""
    with rig({"bus.broker": "none"}) as bench:
        rate = _fill(bench)
        sender = bench.sender()
        cold = _query_ms(sender, QUERY)
        paged = _paged_ms(sender)
        runs = range(FILES // 16, FILES // 16 + REQUESTS)
        rare = [_query_ms(sender, {**QUERY, "runNumber": run}) for run in runs]
        middle = range(FILES // 2, FILES // 2 + REQUESTS * 1_000, 1_000)
        changes = [_changes_ms(sender, seq) for seq in middle]
        seen = [_changes_ms(sender, FILES) for _ in range(REQUESTS)]
    name = "catalogue"
    return WORK, [
        figure(name, "registered", rate, "files/s"),
        figure(name, "12-key query, first after a start", cold, "ms"),
        figure(name, "12-key query, pages one after another, p99", percentile(paged, 0.99), "ms"),
        figure(name, "12-key query of one run, p99", percentile(rare, 0.99), "ms"),
        figure(name, "changes since, 1 000 files, p99", percentile(changes, 0.99), "ms"),
        figure(name, "changes since, none, p99", percentile(seen, 0.99), "ms"),
    ]


def _fill(bench: Rig) -> float:
    """Register all files; return how many a second."""
    calls = range(0, FILES, A_CALL)
    spent = 0.0
    with ThreadPoolExecutor(CONNECTIONS) as threads:
        senders = [bench.sender() for _ in range(CONNECTIONS)]
        for start in range(0, len(calls), 50):  # bodies are made before anybody is timed
            bodies = [_files(first) for first in calls[start : start + 50]]
            began = time.perf_counter()
            parts = [bodies[n::CONNECTIONS] for n in range(CONNECTIONS)]
            list(threads.map(_send, senders, parts))
            spent += time.perf_counter() - began
    return FILES / spent


def _send(sender: Sender, bodies: list[bytes]) -> None:
    for body in bodies:
        sender.post("/v1/data/files", body)


def _files(first: int) -> bytes:
    return msgspec.json.encode({"files": [_file(n) for n in range(first, first + A_CALL)]})


def _file(n: int) -> dict[str, Any]:
    run, particle = n // 8, PARTICLES[n % 4]
    name = f"{particle}/run{run:06d}_{n % 8}.simtel.zst"
    return {
        "did": f"prod6:{name}",
        "bytes": 3_000_000 + n,
        "adler32": f"{n:08x}",
        "sha256": f"{n:064x}",
        "metadata": {
            "MCCampaign": "PROD6",
            "site": ("Paranal", "LaPalma")[n // 1_000 % 2],
            "array_layout": "Hyperarray",
            "particle": particle,
            "thetaP": (20, 40, 60)[n // 3_000 % 3],
            "phiP": (0, 180)[n // 500 % 2],
            "sct": False,
            "tel_sim_prog": "sim_telarray",
            "tel_sim_version": "2024-02-28",
            "data_level": n % 3,
            "configuration_id": n // 10_000 % 20,
            "nsb": (1, 5, 19)[n % 3],
            "runNumber": run,
        },
        "replicas": [{"storage": ("PIC", "CSCS")[n % 2]}],
    }


def _query_ms(sender: Sender, query: dict[str, Any], after: str = "") -> float:
    return _timed(sender, query, after)[0]


def _paged_ms(sender: Sender) -> list[float]:
    """Return how long each page took; the search begins anew at its end."""
    times: list[float] = []
    after = ""
    while len(times) < REQUESTS:
        took, after = _timed(sender, QUERY, after)
        times.append(took)
    return times


def _timed(sender: Sender, query: dict[str, Any], after: str) -> tuple[float, str]:
    """Return how long a page took, and after what the next one begins."""
    body = msgspec.json.encode({"query": query, "limit": 1_000, "after": after})
    began = time.perf_counter()
    answer = sender.post("/v1/data/find", body)
    took = (time.perf_counter() - began) * 1_000
    return took, msgspec.json.decode(answer)["after"] or ""


def _changes_ms(sender: Sender, since: int) -> float:
    began = time.perf_counter()
    sender.get(f"/v1/data/changes?since={since}&limit=1000")
    return (time.perf_counter() - began) * 1_000
