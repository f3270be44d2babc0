"""A machine of its own, Slurm, HTCondor and ARC, started here, and named in files as sites.

    site  element   pledge  pilots  what happens to it
    HOME  local          2       3  one of its pilots is killed
    CSCS  slurm          4       6  one of its nodes is a black hole; for a while it refuses pilots
    PIC   htcondor       4       4  it dies
    DESY  arc            2       3  nothing

Each pilot has four cores. Its site is one of its tags, so that its command line tells where it is.
"""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilotage.pilot.guard import processes
from tests.services import arc, htcondor, slurm
from tests.services.arc import Arc
from tests.services.folders import open_folder
from tests.services.htcondor import Htcondor
from tests.services.slurm import Slurm

CORES, MEMORY_MB = 4, 4_000  # of each pilot
PLEDGES = {"HOME": 2, "CSCS": 4, "PIC": 4, "DESY": 2}
PILOTS_MAX = {"HOME": 3, "CSCS": 6, "PIC": 4, "DESY": 3}
KINDS = {"HOME": "local", "CSCS": "slurm", "PIC": "htcondor", "DESY": "arc"}
TAGS = {"HOME": ["ssd"], "CSCS": ["ssd"], "PIC": [], "DESY": []}
OS = {"HOME": "el9", "CSCS": "el9", "PIC": "el9", "DESY": "el8"}
IN_ALL = 12  # pilots: fewer than all sites would take, so that their pledges say how many
BLACK_HOLE = "n2"
IDLE_S = 12.0
SETTINGS = {
    "factory.every_s": "2",
    "factory.pilots_max": str(IN_ALL),
    "lease.lease_s": "15",
    "lease.silent_pilot_s": "30",
}
_SETUP = "# what payloads read before they begin\n"


def missing() -> list[str]:
    """Return what must be installed before the sites can start, and the right it takes."""
    told = {"Slurm": slurm.missing(), "HTCondor": htcondor.missing(), "ARC": arc.missing()}
    return [f"{name}: {what}" for name, what in told.items() if what]


@dataclass
class RealSites:
    """Four sites that run. `files` is the folder of their files."""

    files: Path
    software: Path  # what payloads need of a node
    tally: Path  # to which each payload writes a line when it is done
    slurm: Slurm
    pool: Htcondor
    arc: Arc
    happened: dict[str, str] = field(default_factory=dict[str, str])

    # -- what is there --------------------------------------------------------------------------

    def pilots(self) -> dict[str, list[int]]:
        """Return the processes that are pilots, by site: what is there, whoever knows of it.

        All of them lived at one moment, between two looks: in the first look alone, one that ends
        might count beside the one that takes its place. A child that a pilot has just forked still
        has its command line: a folder of state counts once.
        """
        first = {pid: words for pid in processes.every() if _is_pilot(words := _command_line(pid))}
        folders = {
            words[words.index("--state-dir") + 1]: (pid, words)
            for pid, words in sorted(first.items(), reverse=True)
            if _command_line(pid) == words
        }
        found: dict[str, list[int]] = {name: [] for name in PLEDGES}
        for pid, words in folders.values():
            for site in PLEDGES:
                if any(word.startswith("--tags=") and f"at-{site}" in word for word in words):
                    found[site].append(pid)
        return found

    def lines(self) -> Counter[int]:
        """Return how often the payload of each job came to its end, by its own word."""
        return Counter(int(line.split()[0]) for line in self.tally.read_text().splitlines())

    # -- what may happen ------------------------------------------------------------------------

    def make_black_hole(self) -> None:
        """Let the software be missing on one node: what starts there fails at once."""
        self.slurm.empty(BLACK_HOLE, self.software)

    def refuse(self, is_refusing: bool) -> None:
        """Let Slurm take no more pilots, or take them again."""
        self.slurm.refuse(is_refusing)

    def kill_pool(self) -> None:
        """kill -9 of all that belongs to HTCondor: daemons, pilots and payloads."""
        pid = int((self.pool.folder / "run" / "master.pid").read_text())
        for one in processes.family(processes.every(), [pid]):
            processes.send(one.pid, signal.SIGKILL)

    def kill_pilot(self, site: str) -> bool:
        """kill -9 of a pilot of a site; say whether there was one."""
        pilots = self.pilots()[site]
        if pilots:
            os.kill(pilots[0], signal.SIGKILL)
        return bool(pilots)


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has ended meanwhile
        return []


def _is_pilot(words: list[str]) -> bool:
    return "--state-dir" in words and Path(words[0]).name.startswith("python")


@contextmanager
def real_sites(folder: Path, tell: Callable[[str], None] = print) -> Generator[RealSites]:
    """Start all four; everything is gone afterwards."""
    with ExitStack() as stack:
        public = stack.enter_context(open_folder("sites"))
        shared = stack.enter_context(open_folder("shared", inside="/srv"))
        software = shared / "software"
        software.mkdir()
        (software / "setup.sh").write_text(_SETUP)
        tally = shared / "tally"
        tally.touch()
        tally.chmod(0o666)
        cluster = Slurm(public / "slurm", nodes=6, cpus=CORES, own_hosts=True)
        pool = Htcondor(stack.enter_context(open_folder("condor")), cpus=4 * CORES)
        grid = Arc(stack.enter_context(open_folder("arc")))
        sites = RealSites(folder / "sites", software, tally, cluster, pool, grid)
        services = (cluster, pool, grid)
        for service in services:
            stack.callback(service.stop)
        began = time.monotonic()
        with ThreadPoolExecutor(len(services)) as threads:
            for started in [threads.submit(service.start) for service in services]:
                started.result()
        tell(f"Slurm, HTCondor and ARC run after {time.monotonic() - began:.0f} s.")
        _write_files(sites)
        yield sites


def _write_files(sites: RealSites) -> None:
    sites.files.mkdir(parents=True, exist_ok=True)
    options = {
        "HOME": {},
        "CSCS": sites.slurm.options,
        "PIC": sites.pool.options,
        "DESY": sites.arc.options,
    }
    tokens = {"PIC": sites.pool.token, "DESY": sites.arc.token}
    for site, kind in KINDS.items():
        element: dict[str, Any] = {
            "kind": kind,
            "options": options[site],
            "pilots_max": PILOTS_MAX[site],
            "shapes": [{"cores": CORES, "memory_mb": MEMORY_MB}],
            "pilot": {
                "idle_s": IDLE_S,
                "overcommit": True,  # four sites share this machine
                "os": OS[site],
                "tags": [f"at-{site}", *TAGS[site]],
            },
        }
        if site in tokens:
            token = sites.files / f"{site}.token"
            token.touch(mode=0o600)
            token.write_text(tokens[site]())
            element["credential"] = {"source": "file", "options": {"path": str(token)}}
        entry = {"pledge": PLEDGES[site], "elements": {kind: element}}
        (sites.files / f"{site}.yaml").write_text(json.dumps(entry))  # JSON is YAML
