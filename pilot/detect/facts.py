"""All facts about a node, collected at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Optional

from pilotage.proto.messages import Benchmark

from ..gpus import Gpus
from . import (
    containers,
    cores,
    cpu,
    cvmfs,
    glibc,
    gpus,
    memory,
    namespaces,
    os_release,
    scratch,
    storage_clients,
)
from .batch_systems import detection
from .batch_systems.batch_job import BatchJob
from .finding import SourcedValue, least
from .surroundings import Surroundings

NONE_WANTED: Final[Mapping[str, Sequence[str]]] = MappingProxyType({})
NOT_MEASURED: SourcedValue[Optional[Benchmark]] = SourcedValue(None)


@dataclass(frozen=True)
class DetectedNode:
    """The facts about a node. Each field is a capability; an unknown value has no source."""

    os: SourcedValue[str]
    architecture: SourcedValue[str]
    architecture_level: SourcedValue[int]
    glibc: SourcedValue[str]
    cpu_model: SourcedValue[str]
    cores: SourcedValue[int]
    memory_mb: SourcedValue[int]
    memory_limit_mb: SourcedValue[int]  # the most that a setting can raise memory_mb to
    scratch_folder: SourcedValue[str]
    scratch_free_mb: SourcedValue[int]
    scratch_limit_mb: SourcedValue[int]  # from the batch system, whatever the disk has
    gpus: SourcedValue[Gpus]
    user_namespaces: SourcedValue[bool]
    containers: SourcedValue[tuple[str, ...]]
    cvmfs: SourcedValue[tuple[str, ...]]
    storage_clients: SourcedValue[tuple[str, ...]]
    batch_system: SourcedValue[str]
    batch_id: SourcedValue[str]
    wall_left_s: SourcedValue[float]
    benchmark: SourcedValue[Optional[Benchmark]]


def find(
    around: Surroundings,
    *,
    jobs: Optional[Sequence[BatchJob]] = None,
    folder: str = "",
    otherwise: str = ".",
    cvmfs_wanted: Sequence[str] = (),
    programs_wanted: Mapping[str, Sequence[str]] = NONE_WANTED,
    namespaces_proof: str = "",
    benchmark: SourcedValue[Optional[Benchmark]] = NOT_MEASURED,
) -> DetectedNode:
    """Collect everything once. `jobs` are the pilot's jobs in batch systems, if already known.

    `folder` is where payloads will write. If it is empty, the batch system's folder is used, or
    else `otherwise`.
    """
    ours = detection.jobs(around) if jobs is None else jobs
    ours_cores = cores.cores(around, ours)
    place = SourcedValue(folder, "setting") if folder else scratch.folder(around, ours, otherwise)
    return DetectedNode(
        os=os_release.os_name(around),
        architecture=cpu.architecture(around),
        architecture_level=cpu.level(around),
        glibc=glibc.glibc(around),
        cpu_model=cpu.model(around),
        cores=ours_cores,
        memory_mb=memory.memory_mb(around, ours),
        memory_limit_mb=memory.memory_limit_mb(around, ours),
        scratch_folder=place,
        scratch_free_mb=scratch.free_mb(around, place.value, ours),
        scratch_limit_mb=least((job.scratch_mb for job in ours), 0),
        gpus=gpus.gpus(around, ours),
        user_namespaces=namespaces.user_namespaces(around, namespaces_proof),
        containers=containers.containers(around),
        cvmfs=cvmfs.repositories(around, cvmfs_wanted),
        storage_clients=storage_clients.storage_clients(around, programs_wanted),
        batch_system=detection.batch_system(around, ours),
        batch_id=detection.batch_id(around, ours),
        wall_left_s=detection.wall_left_s(ours, ours_cores.value),
        benchmark=benchmark,
    )


def time_left(around: Surroundings, cores_: int) -> SourcedValue[float]:
    """Ask again for the end of the pilot, because limits may change while jobs run."""
    return detection.wall_left_s(detection.jobs(around), cores_)
