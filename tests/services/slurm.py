"""Slurm on loopback without systemd: munged, slurmctld and one slurmd a node, as root.

Whoever starts it owns all of it: ports, sockets, keys and state lie in one folder. Benches measure
on it, and the tests use it. It has as many cores as it is told, whatever the machine has.
"""

import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path

from .keeper import Keeper

READY_S = 30.0
# A node with a name and mounts of its own, as far as what runs on it can tell.
_EAGER = "SchedulerParameters=batch_sched_delay=0,sched_min_interval=50000"
_UNSHARE = ("unshare", "--uts", "--mount", "sh", "-c")
_OWN_HOST = (
    'echo "$1" >/proc/sys/kernel/hostname && mount --bind "$2" /etc/hosts && shift 2 && exec "$@"'
)
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
_CONFIG = """\
ClusterName=loopback
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
{scheduler}
MinJobAge=300
KillWait=5
ReturnToService=2
SlurmdParameters=config_overrides
MpiDefault=none
SlurmctldDebug=error
SlurmdDebug=error
{nodes}
PartitionName={partition} Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
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


class SlurmTrouble(Exception):
    """A program of Slurm failed, or a daemon does not start; the message has its words."""


class Slurm:
    """One cluster. With `own_hosts` its nodes have host names and mounts of their own.

    An `eager` one looks for work at every turn, for tests that wait for it; otherwise its scheduler
    is as Slurm comes.
    """

    def __init__(
        self,
        folder: Path,
        *,
        nodes: int = 1,
        cpus: int = 8,
        own_hosts: bool = False,
        partition: str = "all",
        eager: bool = True,
    ) -> None:
        self.folder, self._cpus, self._own_hosts = folder, cpus, own_hosts
        self._scheduler = _EAGER if eager else ""
        self.partition = partition
        self._keeper: Keeper | None = None
        self.config = folder / "slurm.conf"
        self.nodes = [f"n{number}" for number in range(1, nodes + 1)]

    @property
    def options(self) -> dict[str, object]:
        """Return what an element of kind `slurm` has to know of it."""
        return {"config": str(self.config), "folder": str(self.folder / "pilots")}

    def start(self) -> None:
        """Start the daemons and wait until all nodes are idle. Raises SlurmTrouble."""
        self._keeper = Keeper()
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self.folder.mkdir(mode=0o755, exist_ok=True)
        for name in ("state", "spool"):
            (self.folder / name).mkdir(exist_ok=True)
        lines = [
            f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={_free_port()} "
            f"CPUs={self._cpus} RealMemory=64000 State=UNKNOWN"
            for name in self.nodes
        ]
        self.config.write_text(
            _CONFIG.format(
                folder=self.folder,
                port=_free_port(),
                scheduler=self._scheduler,
                nodes="\n".join(lines),
                partition=self.partition,
            )
        )
        self._start_munge()
        self._begin("slurmctld", "-f", str(self.config))
        hosts = self.folder / "hosts"  # in which a slurmd looks for its own name
        hosts.write_text(f"127.0.0.1 localhost {' '.join(self.nodes)}\n")
        for name in self.nodes:
            (self.folder / "spool" / name).mkdir(exist_ok=True)
            words = ["slurmd", "-N", name, "-f", str(self.config)]
            if self._own_hosts:
                words = [*_UNSHARE, _OWN_HOST, "sh", name, str(hosts), *words]
            self._begin(*words)
        self._wait()

    def _start_munge(self) -> None:
        private = self.folder / "munge"  # its files must lie where nobody else writes
        private.mkdir(mode=0o700, exist_ok=True)
        key = private / "key"
        if not key.exists():
            key.touch(mode=0o400)
            key.write_bytes(secrets.token_bytes(128))
        self._begin(
            *("munged", "--force", "-S", f"{self.folder}/munge.sock", f"--key-file={key}"),
            *(f"--pid-file={private}/munged.pid", f"--log-file={private}/munged.log"),
            f"--seed-file={private}/seed",
        )

    @property
    def environment(self) -> dict[str, str]:
        """Return what programs of Slurm need to find this cluster."""
        return {"PATH": _path(), "SLURM_CONF": str(self.config)}

    def _begin(self, *argv: str) -> None:
        """Start a daemon. Raises SlurmTrouble."""
        assert self._keeper is not None
        done = self._keeper.run(argv, self.environment, within_s=READY_S)
        if done.code:
            raise SlurmTrouble(f"{' '.join(argv)}: {done.err}")

    def run(self, *argv: str) -> str:
        """Run a program of Slurm; return what it printed. Raises SlurmTrouble."""
        done = subprocess.run(
            argv,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=READY_S,
        )
        if done.returncode:
            raise SlurmTrouble(f"{' '.join(argv)}: {done.stderr}")
        return done.stdout

    def _wait(self) -> None:
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            states = self.run("sinfo", "--noheader", "--Node", "--format=%t").split()
            if len(states) == len(self.nodes) and set(states) <= {"idle", "mix", "alloc"}:
                return
            time.sleep(0.1)
        raise SlurmTrouble(f"Slurm does not start: {self.logs()}")

    def held(self) -> int:
        """Return how many batch jobs wait and run, by its own word."""
        return len(self.run("squeue", "--noheader", "--states=PD,CF,R", "--format=%i").split())

    # -- what may happen to it ------------------------------------------------------------------

    def refuse(self, is_refusing: bool) -> None:
        """Take no more batch jobs, or take them again."""
        state = "DRAIN" if is_refusing else "UP"
        self.run("scontrol", "update", f"PartitionName={self.partition}", f"State={state}")

    def empty(self, node: str, folder: Path) -> None:
        """Let a folder be empty on one node, as a mount that failed there; needs `own_hosts`."""
        self.run(*self._on(node), "mount", "-t", "tmpfs", "none", str(folder))

    def mend(self, node: str, folder: Path) -> None:
        """End what `empty` did."""
        self.run(*self._on(node), "umount", "--lazy", str(folder))

    def _on(self, node: str) -> tuple[str, ...]:
        pid = (self.folder / f"slurmd-{node}.pid").read_text().strip()
        return ("nsenter", "--target", pid, "--mount")

    # -- the end --------------------------------------------------------------------------------

    def logs(self) -> str:
        """Return the ends of what its daemons have logged."""
        return "\n".join(one.read_text()[-3_000:] for one in self.folder.glob("*.log"))

    def stop(self) -> None:
        """End all of it, the keepers of jobs too: they outlive the daemon that started them."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None
