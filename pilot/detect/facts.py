"""All that is found of a node, in one look."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from pilotage.proto.messages import Benchmark

from ..gpus import Gpus
from . import (
    batch,
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
)
from .found import Found, least
from .job import BatchJob
from .surroundings import Surroundings

NOT_MEASURED: Found[Optional[Benchmark]] = Found(None)


@dataclass(frozen=True)
class Facts:
    """What a node has. Each field is a capability; what is not known has no source."""

    os: Found[str]
    architecture: Found[str]
    architecture_level: Found[int]
    glibc: Found[str]
    cpu_model: Found[str]
    cores: Found[int]
    memory_mb: Found[int]
    memory_limit_mb: Found[int]  # what a setting can raise memory_mb to
    scratch_folder: Found[str]
    scratch_free_mb: Found[int]
    scratch_limit_mb: Found[int]  # by the batch system, whatever the disk has
    gpus: Found[Gpus]
    user_namespaces: Found[bool]
    containers: Found[tuple[str, ...]]
    cvmfs: Found[tuple[str, ...]]
    batch_system: Found[str]
    batch_id: Found[str]
    wall_left_s: Found[float]
    benchmark: Found[Optional[Benchmark]]


def find(
    around: Surroundings,
    *,
    jobs: Optional[Sequence[BatchJob]] = None,
    folder: str = "",
    otherwise: str = ".",
    cvmfs_wanted: Sequence[str] = (),
    namespaces_proof: str = "",
    benchmark: Found[Optional[Benchmark]] = NOT_MEASURED,
) -> Facts:
    """Look at everything once. `jobs` are ours by the batch systems, if they were asked already.

    `folder` is where payloads will write; empty leaves it to the batch system, and that failing it
    is `otherwise`.
    """
    ours = batch.jobs(around) if jobs is None else jobs
    ours_cores = cores.cores(around, ours)
    place = Found(folder, "setting") if folder else scratch.folder(around, ours, otherwise)
    return Facts(
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
        batch_system=batch.batch_system(around, ours),
        batch_id=batch.batch_id(around, ours),
        wall_left_s=batch.wall_left_s(ours, ours_cores.value),
        benchmark=benchmark,
    )


def time_left(around: Surroundings, cores_: int) -> Found[float]:
    """Ask again until when we may run: limits are changed while jobs run."""
    return batch.wall_left_s(batch.jobs(around), cores_)
