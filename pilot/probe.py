"""What this node has, found once at the start, and how much of it is free."""

import os
import platform
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pilotage.proto.messages import Node

from . import processes
from .detect import batch, containers, cores, cpu, cvmfs, memory, namespaces, os_release, scratch
from .ports import Clock

WALL_DEFAULT_S = 30 * 86_400.0  # where nobody says when the pilot must have ended


@dataclass(frozen=True)
class Caps:
    """What a pilot may use of its node at most; 0 leaves it to what is found."""

    cores: int = 0
    memory_mb: int = 0
    scratch_mb: int = 0
    wall_s: float = 0.0  # from the start of the pilot on
    tags: tuple[str, ...] = ()


class LocalNode:
    """Driver of ports.NodeProbe for the machine that this process runs on."""

    def __init__(
        self,
        scratch_folder: Path,
        clock: Clock,
        *,
        isolation: str,
        caps: Caps = Caps(),
        root: Path = Path("/"),
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._scratch, self._clock, self._caps = scratch_folder, clock, caps
        self._started = clock.now()
        self._cores = caps.cores or cores.cores(root, environ)
        found_mb = memory.memory_mb(root)
        self._memory_mb = min(caps.memory_mb, found_mb or caps.memory_mb) or found_mb
        self._node = find_node(root, environ, isolation=isolation)

    def node(self) -> Node:
        return self._node

    def boot_id(self) -> str:
        return processes.boot_id()

    def pid_namespace(self) -> str:
        return processes.pid_namespace()

    def cores(self) -> int:
        return self._cores

    def memory_mb(self) -> int:
        return self._memory_mb

    def scratch_free_mb(self) -> int:
        free = scratch.free_mb(self._scratch)
        return min(free, self._caps.scratch_mb or free)

    def wall_left_s(self) -> float:
        whole = self._caps.wall_s or WALL_DEFAULT_S
        return max(0.0, self._started + whole - self._clock.now())

    def tags(self) -> tuple[str, ...]:
        mounted = tuple(f"cvmfs:{name}" for name in self._node.cvmfs)
        return tuple(dict.fromkeys((*self._caps.tags, *mounted)))


def find_node(root: Path, environ: Mapping[str, str], *, isolation: str) -> Node:
    """Return what stays as it is while the pilot lives."""
    system, batch_id = batch.batch_system(environ)
    return Node(
        host=socket.gethostname(),
        os=os_release.os_name(root),
        architecture=platform.machine(),
        architecture_level=cpu.x86_64_level(root),
        glibc=os_release.glibc(root),
        user_namespaces=namespaces.user_namespaces(root),
        isolation=isolation,
        containers=containers.containers(root, environ),
        cvmfs=cvmfs.repositories(root),
        cpu_model=cpu.model(root),
        python=platform.python_version(),
        batch_system=system,
        batch_id=batch_id,
    )
