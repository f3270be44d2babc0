"""The folder for payloads, and its free space."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from .batch_systems.batch_job import UNKNOWN_WHOLE, BatchJob, megabytes
from .finding import SourcedValue, least
from .mounts import mounts, of_folder
from .surroundings import Surroundings

_IN_MEMORY = frozenset({"tmpfs", "ramfs"})
_OF_A_NETWORK = frozenset({"nfs", "nfs4", "lustre", "gpfs", "ceph", "cifs", "beegfs", "afs"})


def folder(around: Surroundings, jobs: Sequence[BatchJob], otherwise: str) -> SourcedValue[str]:
    """Return the batch system's folder for this job, or else `otherwise`.

    A folder that other users can write to is not used, because they could plant files in it.
    """
    notes: list[str] = []
    for job in jobs:
        if job.scratch_folder.known:
            path = job.scratch_folder.value
            if is_ours(around, path):
                return SourcedValue(path, job.scratch_folder.source)
            notes.append(f"{job.scratch_folder.source}={path} is not private to this job")
    return SourcedValue(otherwise, "working directory", tuple(notes))


def free_mb(around: Surroundings, path: str, jobs: Sequence[BatchJob] = ()) -> SourcedValue[int]:
    """Return the free space below `path`, in 10^6 bytes."""
    free = around.free_bytes(around.file(path))
    on_disk = (
        UNKNOWN_WHOLE if free is None else SourcedValue(megabytes(free), f"file system of {path}")
    )
    return least([on_disk, *(job.scratch_mb for job in jobs)], 0).noting(_kind(around, path))


def _kind(around: Surroundings, path: str) -> str:
    kind = of_folder(mounts(around), path)
    if kind in _IN_MEMORY:
        return f"{kind}: files there use memory"
    return f"{kind}: a network file system" if kind in _OF_A_NETWORK else ""


def is_ours(around: Surroundings, path: str) -> bool:
    """Return whether a folder exists that the pilot may write to and other users may not."""
    file: Path = around.file(path)
    try:
        status = file.stat()
    except (OSError, ValueError):
        return False
    shared = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(status.st_mode) and not shared and os.access(file, os.W_OK | os.X_OK)
