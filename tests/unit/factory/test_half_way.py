"""Elements whose submissions fail half way, for a long time: nothing is lost, nothing floods."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from pilotage.central.factory.commands import CompletedCommand
from pilotage.central.factory.credential import Credential
from pilotage.central.factory.drivers import Tools, element
from pilotage.central.factory.element_watch import PAUSE_MAX_S
from pilotage.central.operate.clocks import SystemClock
from pilotage.central.pilots import record_slots as slot_records
from pilotage.proto.documents.job import Need
from pilotage.proto.pilot_states import PilotState
from tests import elements_in_memory as memory

from .test_factory import Stage, an_element

ROUNDS, ROUND_S = 40, 60.0
PILOTS_MAX = 3
TRIES_MAX = 8 * PILOTS_MAX  # of 40 rounds: pauses grow up to a quarter of an hour
LOST = CompletedCommand(
    1, b"", b"sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
)


class Tried:
    """Counts the pilots that were submitted."""

    tried: int = 0


class Slurm(memory.Slurm, Tried):
    """Has taken each job, and its answer is lost."""

    def run(self, argv: Sequence[str], stdin: bytes) -> CompletedCommand:
        done = super().run(argv, stdin)
        if argv[0] != "sbatch":
            return done
        self.tried += 1
        return LOST


class DeafSlurm(memory.Slurm, Tried):
    """Has taken none, and says the same."""

    def run(self, argv: Sequence[str], stdin: bytes) -> CompletedCommand:
        if argv[0] != "sbatch":
            return super().run(argv, stdin)
        self.tried += 1
        return LOST


class Htcondor(memory.Htcondor, Tried):
    """Queues jobs and never takes their files."""

    def run(self, argv: Sequence[str], stdin: bytes) -> CompletedCommand:
        before = len(self.jobs)
        done = super().run(argv, stdin)
        if argv[0] != "sh":
            return done
        self.tried += len(self.jobs) - before
        return CompletedCommand(1, b"", b"ERROR: Failed to spool job files.")


class Arc(memory.Arc, Tried):
    """Its session directory is full."""

    def answer(self, request: httpx.Request) -> tuple[int, Any]:
        if request.method == "PUT":
            return 413, None
        before = len(self.jobs)
        answer = super().answer(request)
        self.tried += max(0, len(self.jobs) - before)
        return answer


class Kubernetes(memory.Kubernetes, Tried):
    """Makes Jobs and no Secrets."""

    def answer(self, request: httpx.Request) -> tuple[int, Any]:
        if request.url.path.endswith("/secrets"):
            return 500, None
        before = len(self.jobs)
        answer = super().answer(request)
        self.tried += max(0, len(self.jobs) - before)
        return answer


class _Token:
    async def current(self) -> Credential:
        return Credential("t")


Broken = Slurm | DeafSlurm | Htcondor | Arc | Kubernetes


def tools_of(broken: Broken, folder: Path) -> Tools:
    if isinstance(broken, memory.Arc | memory.Kubernetes):
        programs = memory.Programs(memory.Bare())
        return Tools(programs, SystemClock(), folder, _Token(), memory.Requests(broken))
    return Tools(memory.Programs(broken), SystemClock(), folder)


@pytest.mark.parametrize(
    ("broken", "kind", "options", "stays"),
    [
        (Slurm(), "slurm", {"folder": "/out"}, PILOTS_MAX),
        (DeafSlurm(), "slurm", {"folder": "/out"}, 0),
        (Htcondor(), "htcondor", {"folder": "/jobs"}, 0),
        (Arc(), "arc", {"url": "https://arc.test/arex"}, 0),
        (
            Kubernetes(),
            "kubernetes",
            {"url": "https://k8s.test", "namespace": "pilots", "image": "pilot:1"},
            None,  # they are found, held, and taken back
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Tried) else "",
)
async def test_what_an_element_has_is_known_and_never_too_much(
    broken: Broken, kind: str, options: dict[str, Any], stays: int | None, tmp_path: Path
) -> None:
    watched, _ = an_element(pilots_max=PILOTS_MAX, cancel_max=0)
    watched.driver = element(kind, options, tools_of(broken, tmp_path))
    stage = Stage(watched)
    stage.work.jobs[Need(os="el9")] = 9

    most = 0
    for _ in range(ROUNDS):
        await stage.factory.cycle()
        stage.clock.now += ROUND_S
        most = max(most, len(broken.jobs))
    stage.work.jobs.clear()  # what was submitted last is looked for
    stage.clock.now += PAUSE_MAX_S
    await stage.factory.cycle()

    rows = await stage.store.read(slot_records.kept_slots, after="", limit=1_000)
    known = {row.slot for row in rows}
    states = list((await stage.states()).values())
    assert set(broken.jobs) <= known
    assert most <= PILOTS_MAX
    assert stays in (None, len(broken.jobs))
    assert PILOTS_MAX <= broken.tried <= TRIES_MAX
    assert states.count(PilotState.WAITING) <= PILOTS_MAX
    assert watched.trouble or broken.jobs
