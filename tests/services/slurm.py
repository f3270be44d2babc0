"""Slurm on loopback without systemd: munged, slurmctld and one slurmd a node, as root.

The tests own all of it: ports, sockets, keys and state lie in one folder.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

READY_S = 30.0
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
_CONFIG = """\
ClusterName=tests
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_min_interval=50000
MinJobAge=300
KillWait=5
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
SlurmctldDebug=error
SlurmdDebug=error
{nodes}
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def missing() -> str:
    """Return what must be installed before it can start, or an empty string."""
    if os.geteuid() != 0:
        return "the right of root, as which Slurm's daemons run here"
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    return f"{', '.join(absent)} (apt: munge slurmctld slurmd slurm-client)" if absent else ""


def _path() -> str:
    return f"{os.environ['PATH']}:/usr/sbin"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


class Slurm:
    """One cluster."""

    def __init__(self, folder: Path, *, nodes: int = 1, cpus: int = 8) -> None:
        self.folder, self._nodes, self._cpus = folder, nodes, cpus
        self.config = folder / "slurm.conf"

    @property
    def options(self) -> dict[str, object]:
        """Return what an element of kind `slurm` has to know of it."""
        return {"config": str(self.config), "folder": str(self.folder / "pilots")}

    def start(self) -> None:
        """Start the daemons and wait until all nodes are idle."""
        self.folder.mkdir(mode=0o755, exist_ok=True)
        for name in ("state", "spool"):
            (self.folder / name).mkdir(exist_ok=True)
        names = [f"n{number}" for number in range(1, self._nodes + 1)]
        lines = [
            f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={_free_port()} "
            f"CPUs={self._cpus} RealMemory=64000 State=UNKNOWN"
            for name in names
        ]
        self.config.write_text(
            _CONFIG.format(folder=self.folder, port=_free_port(), nodes="\n".join(lines))
        )
        self._start_munge()
        self._run("slurmctld", "-f", str(self.config))
        for name in names:
            (self.folder / "spool" / name).mkdir(exist_ok=True)
            self._run("slurmd", "-N", name, "-f", str(self.config))
        self._wait()

    def _start_munge(self) -> None:
        private = self.folder / "munge"  # its files must lie where nobody else writes
        private.mkdir(mode=0o700, exist_ok=True)
        key = private / "key"
        if not key.exists():
            key.touch(mode=0o400)
            key.write_bytes(secrets.token_bytes(128))
        self._run(
            *("munged", "--force", "-S", f"{self.folder}/munge.sock", f"--key-file={key}"),
            *(f"--pid-file={private}/munged.pid", f"--log-file={private}/munged.log"),
            f"--seed-file={private}/seed",
        )

    def _run(self, *argv: str) -> str:
        done = subprocess.run(
            argv,
            env={"PATH": _path(), "SLURM_CONF": str(self.config)},
            capture_output=True,
            text=True,
            check=False,
            timeout=READY_S,
        )
        assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
        return done.stdout

    def _wait(self) -> None:
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            states = self._run("sinfo", "--noheader", "--Node", "--format=%t").split()
            if len(states) == self._nodes and set(states) <= {"idle", "mix", "alloc"}:
                return
            time.sleep(0.1)
        raise AssertionError(f"Slurm does not start: {self.logs()}")

    def logs(self) -> str:
        """Return what its daemons have logged."""
        return "\n".join(one.read_text() for one in self.folder.glob("*.log"))

    def stop(self) -> None:
        """End all of it."""
        files = [*self.folder.glob("*.pid"), *self.folder.glob("munge/*.pid")]
        pids = [int(text) for one in files if (text := one.read_text().strip())]
        for pid in pids:
            _kill(pid, 15)
        until = time.monotonic() + 10.0
        while any(Path(f"/proc/{pid}").exists() for pid in pids):
            if time.monotonic() > until:
                for pid in pids:
                    _kill(pid, 9)
                return
            time.sleep(0.05)


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
