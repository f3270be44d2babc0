"""Batch systems in memory, as much of each as its driver needs to submit pilots and to find them.

They keep what they have taken, whatever became of the answer: a test spoils that on its way back.
"""

import asyncio
import io
import json
import re
import shlex
import tarfile
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any, Protocol

import httpx

from pilotage.central.factory.commands import CommandOutcomeUnknown, CompletedCommand

OK = CompletedCommand(0, b"", b"")


class Memory(Protocol):
    """What has been taken: by slot, the stamp."""

    jobs: dict[str, str]


class Slurm:
    """sbatch, squeue, mkdir."""

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}

    def run(self, argv: Sequence[str], stdin: bytes) -> CompletedCommand:
        if argv[0] == "sbatch":
            slot = str(100 + len(self.jobs))
            (name,) = (one for one in argv if one.startswith("--job-name="))
            self.jobs[slot] = name.partition("=")[2]
            return CompletedCommand(0, f"{slot}\n".encode(), b"")
        if argv[0] == "squeue":
            lines = (
                f"{slot:<24}{stamp:<80}{'PENDING':<24}{'0:0':<24}{'Priority':<200}\n"
                for slot, stamp in self.jobs.items()
            )
            return CompletedCommand(0, "".join(lines).encode(), b"")
        return OK


class Htcondor:
    """condor_submit, which is given its files as a tar, condor_q and condor_rm."""

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self._clusters = count(7)

    def run(self, argv: Sequence[str], stdin: bytes) -> CompletedCommand:
        if argv[0] == "sh":
            with tarfile.open(fileobj=io.BytesIO(stdin)) as tar:
                names = [one for one in tar.getnames() if one.endswith("/pilot.sh")]
            cluster = next(self._clusters)
            for number, name in enumerate(names):
                self.jobs[f"{cluster}.{number}"] = name.partition("/")[0]
            return CompletedCommand(0, f"{cluster}.0 - {cluster}.{len(names) - 1}\n".encode(), b"")
        if argv[0] == "condor_q":
            ads = [
                {
                    "ClusterId": int(slot.partition(".")[0]),
                    "ProcId": int(slot.partition(".")[2]),
                    "JobStatus": 1,
                    "PilotageStamp": stamp,
                }
                for slot, stamp in self.jobs.items()
            ]
            return CompletedCommand(0, json.dumps(ads).encode(), b"")
        if argv[0] == "condor_rm":
            (stamps,) = re.findall('"(.*)"', argv[-1])
            for slot, stamp in list(self.jobs.items()):
                if stamp in stamps.split(","):
                    del self.jobs[slot]
        return OK


class Bare:
    """The script of machines without a batch system."""

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}

    def run(self, argv: Sequence[str], stdin: bytes) -> CompletedCommand:
        verb, words = argv[4], argv[6:]
        said = ""
        if verb == "submit":
            self.jobs[words[0]] = words[0]
        elif verb == "find":
            said = "".join(f"{one}\n" for one in words if one in self.jobs)
        return CompletedCommand(0, f"{said}bare: done\n".encode(), b"")


Program = Slurm | Htcondor | Bare
Spoil = Callable[
    [int], CompletedCommand | CommandOutcomeUnknown | None
]  # by the number of the call


class Programs:
    """Commands that reach a batch system in memory, through ssh or not."""

    def __init__(self, memory: Program) -> None:
        self.memory, self.calls = memory, 0
        self.spoil: Spoil = lambda number: None

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> CompletedCommand:
        """Carry a call out; then its answer may be spoilt. Raises NoAnswer."""
        await asyncio.sleep(0)  # others go on meanwhile
        words = shlex.split(argv[-1]) if argv[0] == "ssh" else argv
        done = self.memory.run(words, stdin)
        spoilt = self.spoil(self.calls)
        self.calls += 1
        if isinstance(spoilt, CommandOutcomeUnknown):
            raise spoilt
        return spoilt or done


class Arc:
    """A-REX: jobs that wait for their scripts, and those that have them."""

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self.scripts: set[str] = set()

    def answer(self, request: httpx.Request) -> tuple[int, Any]:
        path, action = request.url.path, request.url.params.get("action")
        if request.method == "PUT":
            self.scripts.add(path.split("/")[-3])
            return 200, None
        if request.method == "GET":
            return 200, {"job": [{"id": slot} for slot in self.jobs]}
        if action == "new":
            made: list[dict[str, str]] = []
            for stamp in re.findall("<Name>([^<]*)</Name></ActivityId", request.content.decode()):
                slot = f"job{len(self.jobs)}"
                self.jobs[slot] = stamp
                made.append({"id": slot, "status-code": "201"})
            return 201, {"job": made}
        asked = [one["id"] for one in json.loads(request.content)["job"]]
        if action == "info":
            names = {slot: self.jobs[slot] for slot in asked}
            return 201, {
                "job": [
                    {"id": slot, "info_document": {"ComputingActivity": {"Name": stamp}}}
                    for slot, stamp in names.items()
                ]
            }
        if action == "clean":
            for slot in asked:
                self.jobs.pop(slot, None)
        return 201, {"job": [{"id": slot, "status-code": "202"} for slot in asked]}


class Kubernetes:
    """Jobs, no Pods, and Secrets that nobody looks at."""

    def __init__(self) -> None:
        self.jobs: dict[str, str] = {}
        self._made: dict[str, dict[str, Any]] = {}

    def answer(self, request: httpx.Request) -> tuple[int, Any]:
        path = request.url.path
        name = path.rpartition("/")[2]
        if path.endswith("/jobs") and request.method == "POST":
            job = json.loads(request.content)
            name = job["metadata"]["name"]
            job["metadata"]["uid"] = "u"
            self.jobs[name], self._made[name] = name, job
            return 201, job
        if path.endswith("/jobs"):
            found = [one for name, one in self._made.items() if name in self.jobs]
            return 200, {"kind": "JobList", "metadata": {}, "items": found}
        if path.endswith("/pods"):
            return 200, {"kind": "PodList", "metadata": {}, "items": []}
        if request.method == "DELETE":
            self.jobs.pop(name, None)
        return 200, self._made.get(name, {})


Web = Arc | Kubernetes
Fault = Callable[[int], tuple[int, bool] | None]  # a status, and whether it was done all the same


class Requests(httpx.AsyncBaseTransport):
    """A way to a batch system in memory that speaks HTTPS. Status 0: the line was cut."""

    def __init__(self, memory: Web) -> None:
        self.memory, self.calls = memory, 0
        self.fault: Fault = lambda number: None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Carry a request out, or not; then its answer may be spoilt."""
        await asyncio.sleep(0)
        await request.aread()
        status, is_done = self.fault(self.calls) or (None, True)
        self.calls += 1
        code, told = self.memory.answer(request) if is_done else (0, None)
        if status is None:
            return httpx.Response(code, json=told) if told is not None else httpx.Response(code)
        if not status:
            raise httpx.ReadTimeout("the line was cut", request=request)
        return httpx.Response(status, text="the test says so")
