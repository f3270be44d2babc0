"""Four sites, named in files: a machine, one behind SSH, Slurm and HTCondor, all of them real.

Nobody starts a pilot here. The central sees what waits, and its factory gives each site pilots.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pilotage import Client, Job, Need
from pilotage.central.operate.local import LocalCentral, local_central
from pilotage.proto.api import JobView
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.pilot_states import PilotState
from tests.services.folders import open_folder
from tests.services.htcondor import Htcondor
from tests.services.slurm import Slurm
from tests.services.sshd import Sshd

WAIT_S = 240.0
SITES = ("HOME", "LOGIN", "CSCS", "PIC")
SETTINGS = {"factory.every_s": "2", "lease.silent_pilot_s": "30"}


def site(kind: str, options: dict[str, object], **entry: Any) -> str:
    """Return the file of a site with one element; JSON is YAML."""
    element = {"kind": kind, "options": options, "pilots_max": 3, "pilot": {"idle_s": 20}, **entry}
    return json.dumps({"elements": {kind: element}})


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder of sites' files, whose elements run."""
    with ExitStack() as stack:
        folder = tmp_path_factory.mktemp("sites")
        sshd = Sshd(tmp_path_factory.mktemp("sshd"))
        slurm = Slurm(tmp_path_factory.mktemp("slurm"), cpus=4)
        pool = Htcondor(stack.enter_context(open_folder("condor")), cpus=4)
        for service in (sshd, slurm, pool):
            stack.callback(service.stop)
            service.start()
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(pool.token())
        files = {
            "HOME": site("local", {}),
            "LOGIN": site("ssh", sshd.options),
            "CSCS": site("slurm", slurm.options),
            "PIC": site(
                "htcondor",
                pool.options,
                credential={"source": "file", "options": {"path": str(token)}},
            ),
        }
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text)
        yield folder


@pytest.fixture
def central(sites: Path, tmp_path: Path) -> Iterator[LocalCentral]:
    with local_central(tmp_path / "data", {**SETTINGS, "factory.sites": str(sites)}) as started:
        yield started


def told(client: Client, central: LocalCentral) -> str:
    """Return what may say why something did not happen."""
    pilots = [f"{one.id} {one.state.value}" for one in client.pilots()]
    elements = [str(one) for one in client.elements().elements]
    return "\n".join([*pilots, *elements, (central.data / "central.log").read_text()[-6_000:]])


def test_pilots_come_to_every_site_when_jobs_need_them_and_go(central: LocalCentral) -> None:
    with Client(data=central.data) as client:
        pinned = [
            Job(command=("sh", "-c", "sleep 1"), needs=(Need(sites=(name,), wall_s=600),))
            for name in SITES
            for _ in range(3)
        ]
        keys = f"{central.data}/admin.token"
        pinned.append(
            Job(command=("test", "!", "-e", keys), needs=(Need(sites=("HOME",), wall_s=600),))
        )
        anywhere = [Job(command=("true",), needs=(Need(wall_s=600),)) for _ in range(8)]
        never = Job(command=("true",), needs=(Need(sites=("NOWHERE",), wall_s=600),))
        client.submit([*pinned, *anywhere, never])
        jobs: list[JobView] = []
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            jobs = list(client.search())
            if sum(one.state in FINAL for one in jobs) >= len(pinned) + len(anywhere):
                break
            time.sleep(0.5)
        states = [one.state for one in jobs]
        pilots = list(client.pilots())
        most = {name: sum(one.site == name for one in pilots) for name in SITES}

        shown = {one.site: (one.kind, one.trouble) for one in client.elements().elements}

        assert shown == {
            "HOME": ("local", ""),
            "LOGIN": ("ssh", ""),
            "CSCS": ("slurm", ""),
            "PIC": ("htcondor", ""),
        }
        assert states.count(JobState.DONE) == len(jobs) - 1, told(client, central)
        assert states.count(JobState.WAITING) == 1, "the one that fits no site"
        assert all(most.values()), told(client, central)

        while time.monotonic() < until:
            pilots = list(client.pilots())
            if all(one.state is PilotState.DONE for one in pilots):
                break
            time.sleep(0.5)

        assert {one.state for one in pilots} == {PilotState.DONE}, told(client, central)
        assert all(count <= 3 for count in _at_once(central, SITES).values()), (
            "more pilots than allowed"
        )


def _at_once(central: LocalCentral, sites: tuple[str, ...]) -> dict[str, int]:
    """Return the most pilots that lived at once at each site, by the central's own log."""
    lives: dict[str, int] = dict.fromkeys(sites, 0)
    most = dict(lives)
    for line in (central.data / "central.log").read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "pilots_submitted":
            lives[event["site"]] += event["pilots"]
            most[event["site"]] = max(most[event["site"]], lives[event["site"]])
        elif event["event"] in ("pilot_ended", "pilot_failed"):
            lives[event["site"]] -= 1
    return most
