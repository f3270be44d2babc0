"""What transformations cost: idle ones, tasks by the thousand, a look at a large one."""

import time
from pathlib import Path
from typing import Any

import msgspec

from .figures import Figure, figure, percentile
from .load.gauges import Gauge
from .rig import Rig, Sender, rig

FILES = 1_000_000
A_CALL = 1_000
ACTIVE = 1_000
A_GROUP = 10
SMALL = 10_000
REQUESTS = 200
IDLE_S = 20.0
PATIENCE_S = 600.0
NOOP: dict[str, Any] = {"command": ["true"], "needs": [{"wall_s": 60, "sites": ["NOWHERE"]}]}
WORK = (
    f"{FILES:,} files in the catalogue, and {ACTIVE:,} active transformations, idle for "
    f"{IDLE_S:g} s. One transformation takes all files, {A_GROUP} in a task; another makes "
    f"{SMALL:,} tasks without inputs."
)


def run() -> tuple[str, list[Figure]]:
    """Fill a catalogue, make transformations, then look at them."""
    with rig({"bus.broker": "none"}) as bench:
        _storage(bench)
        sender = bench.sender()
        _fill(sender)
        gathered = _gather(sender)
        looks = [_timed(sender, f"/v1/transformations/{_ALL}") for _ in range(REQUESTS)]
        made = _make_all(sender)
        small = _add_and_wait(sender, {"name": "small", "tasks": SMALL, "job": NOOP}, SMALL)
        for number in range(ACTIVE):
            _add(sender, _idle(number))
        pages = [_timed(sender, "/v1/transformations?limit=1000") for _ in range(20)]
        idle = _idle_share(bench)
    name = "transformations"
    return WORK, [
        figure(name, "inputs taken from the catalogue", FILES / gathered, "files/s"),
        figure(name, f"{FILES // A_GROUP:,} tasks of {A_GROUP} files", made, "s"),
        figure(name, f"{SMALL} tasks", small, "s"),
        figure(name, "status of one with 10^6 files, p99", percentile(looks, 0.99), "ms"),
        figure(name, f"list of {ACTIVE}, p99", percentile(pages, 0.99), "ms"),
        figure(name, f"{ACTIVE} active ones, idle", 100 * idle, "% of a core"),
    ]


_ALL = "all"


def _storage(bench: Rig) -> None:
    """Give the central a storage; it reads its file within seconds."""
    folder = Path(bench.central.data) / "storages"
    folder.mkdir(exist_ok=True)
    text = f"type: file\nurl: file://{folder}\ndefault: true\n"
    (folder / "disk.yaml").write_text(text)
    sender = bench.sender()
    until = time.monotonic() + 60
    while b'"disk"' not in sender.get("/v1/storages"):
        assert time.monotonic() < until, "the storage does not come"
        time.sleep(0.2)


def _fill(sender: Sender) -> None:
    for first in range(0, FILES, A_CALL):
        body = {"files": [_file(n) for n in range(first, first + A_CALL)]}
        sender.post("/v1/data/files", msgspec.json.encode(body))


def _file(n: int) -> dict[str, Any]:
    return {
        "did": f"prod6:run{n:07d}.simtel.zst",
        "bytes": 3_000_000 + n,
        "adler32": f"{n:08x}",
        "metadata": {
            "MCCampaign": "PROD6",
            "particle": ("gamma", "electron", "proton")[n % 3],
            "thetaP": (20, 40, 60)[n // 3_000 % 3],
            "tile": n // 100 % 20_000,
            "data_level": 0,
            "runNumber": n,
        },
        "replicas": [{"storage": "disk"}],
    }


def _idle(number: int) -> dict[str, Any]:
    """Return one that finds some files, and waits for more of them."""
    return {
        "name": f"idle-{number}",
        "inputs": [{"query": {"particle": "gamma", "tile": number, "thetaP": {">=": 20}}}],
        "grouping": {"size": 5_000, "partial": "never"},
        "job": NOOP,
    }


def _gather(sender: Sender) -> float:
    """Let one take all files, and make no task yet; return how long that took."""
    document = {
        "name": _ALL,
        "inputs": [{"query": {"MCCampaign": "PROD6"}}],
        "grouping": {"size": A_GROUP},
        "job": {**NOOP, "command": ["true", "{inputs}"]},
    }
    began = time.perf_counter()
    _add(sender, document, start=False)
    for action in ("start", "pause"):
        _act(sender, _ALL, action)
    _until(lambda: "looking for inputs" not in _view(sender, _ALL)["marks"])
    took = time.perf_counter() - began
    found = sum(_view(sender, _ALL)["inputs"]["files"].values())
    assert found == FILES, f"{found} files of {FILES}"
    return took


def _make_all(sender: Sender) -> float:
    began = time.perf_counter()
    _act(sender, _ALL, "resume")
    _until(lambda: _view(sender, _ALL)["tasks_made"] == FILES // A_GROUP)
    return time.perf_counter() - began


def _add_and_wait(sender: Sender, document: dict[str, Any], tasks: int) -> float:
    began = time.perf_counter()
    _add(sender, document)
    _until(lambda: _view(sender, document["name"])["tasks_made"] == tasks)
    return time.perf_counter() - began


def _idle_share(bench: Rig) -> float:
    """Return which part of a core the central takes once nothing happens."""
    sender = bench.sender()
    _until(lambda: b"looking for inputs" not in sender.get("/v1/transformations?limit=1000"))
    time.sleep(5.0)
    gauge = Gauge(bench.central.process.pid)
    time.sleep(IDLE_S)
    return gauge.cpu_s() / IDLE_S


def _add(sender: Sender, document: dict[str, Any], *, start: bool = True) -> None:
    body = {"document": document, "start": start}
    sender.post("/v1/transformations", msgspec.json.encode(body))


def _act(sender: Sender, name: str, action: str) -> None:
    body = msgspec.json.encode({"action": action})
    sender.post(f"/v1/transformations/{name}/actions", body)


def _view(sender: Sender, name: str) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(sender.get(f"/v1/transformations/{name}"))["view"]
    return found


def _until(is_so: Any) -> None:
    until = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.05)


def _timed(sender: Sender, path: str) -> float:
    began = time.perf_counter()
    sender.get(path)
    return (time.perf_counter() - began) * 1_000
