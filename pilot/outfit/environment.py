"""What a payload finds in its environment (docs/payload-environment.md)."""

from collections.abc import Mapping
from pathlib import Path

from pilotage.proto.messages import Assignment

from ..ports import Outfit

INPUTS_BYTES_MAX = 100_000  # of a variable: the system takes no more than 131,071 with its name
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
        **_inputs(assignment, folder),
    }


def _inputs(assignment: Assignment, folder: Path) -> dict[str, str]:
    """Return where its data lie, one a line, as far as the system takes that as a variable."""
    if assignment.data is None or not assignment.data.inputs:
        return {}
    paths = "\n".join(str(folder / "work" / one.path) for one in assignment.data.inputs)
    return {"PILOTAGE_INPUTS": paths} if len(paths.encode()) <= INPUTS_BYTES_MAX else {}


def environment_of(assignment: Assignment, folder: Path, outfit: Outfit) -> dict[str, str]:
    """Return what a payload with this outfit is started with."""
    if outfit.entry is not None:  # an image has a PATH of its own, and puts ours before it
        return payload_environment(assignment, folder, outfit.environment, default_path="")
    whole = payload_environment(assignment, folder, outfit.environment, default_path=DEFAULT_PATH)
    if outfit.on_path:
        whole["PATH"] = ":".join((*outfit.on_path, whole["PATH"]))
    return whole
