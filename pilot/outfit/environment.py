"""What a payload finds in its environment (docs/payload-environment.md)."""

from collections.abc import Mapping
from pathlib import Path

from pilotage.proto.messages import Assignment

from ..ports import Outfit

DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def payload_environment(
    assignment: Assignment, folder: Path, given: Mapping[str, str], *, default_path: str
) -> dict[str, str]:
    """Return everything that a payload finds in its environment, but for the marks.

    What the pilot gives comes first, then what the job says, then what its software has `given`,
    then what nobody may say otherwise. Images have a PATH of their own: none by default.
    """
    grant = assignment.grant
    path = {"PATH": default_path} if default_path else {}
    return {
        **path,
        "HOME": str(folder / "work"),
        "LANG": "C.UTF-8",
        "TMPDIR": str(folder / "tmp"),
        **assignment.body.environment,
        **given,
        "PILOTAGE_JOB": str(assignment.job),
        "PILOTAGE_EPOCH": str(assignment.epoch),
        "PILOTAGE_CORES": str(grant.cores),
        "PILOTAGE_GPUS": str(grant.gpus),
        "PILOTAGE_MEMORY_MB": str(grant.memory_mb),
        "PILOTAGE_WALL_S": str(int(grant.wall_s)),
    }


def environment_of(assignment: Assignment, folder: Path, outfit: Outfit) -> dict[str, str]:
    """Return what a payload with this outfit is started with."""
    if outfit.entry is not None:  # an image has a PATH of its own, and puts ours before it
        return payload_environment(assignment, folder, outfit.environment, default_path="")
    whole = payload_environment(assignment, folder, outfit.environment, default_path=DEFAULT_PATH)
    if outfit.on_path:
        whole["PATH"] = ":".join((*outfit.on_path, whole["PATH"]))
    return whole
