"""The environment of a payload (docs/payload-environment.md)."""

from collections.abc import Mapping
from pathlib import Path

from pilotage.proto.messages import Assignment

from ..files.token_files import TOKENS
from ..ports import Outfit

INPUTS_BYTES_MAX = 100_000  # of a variable: the system's limit is 131,071, with its name
DEFAULT_TOKEN = "default"  # of several tokens, the one that tools use by themselves
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


def payload_environment(
    assignment: Assignment, folder: Path, given: Mapping[str, str], *, default_path: str
) -> dict[str, str]:
    """Return the environment of a payload, without the marks.

    Values of the pilot come first, then those of the job, then those that its software has `given`,
    then values that nobody may change. Images have their own PATH, so by default none is set.
    """
    grant = assignment.grant
    path = {"PATH": default_path} if default_path else {}
    return {
        **path,
        "HOME": str(folder / "work"),
        "LANG": "C.UTF-8",
        "TMPDIR": str(folder / "tmp"),
        **_bearer_token(assignment, folder),
        **assignment.body.environment,
        **given,
        "PILOTAGE_JOB": str(assignment.job),
        "PILOTAGE_EPOCH": str(assignment.epoch),
        "PILOTAGE_CORES": str(grant.cores),
        "PILOTAGE_GPUS": str(grant.gpus),
        "PILOTAGE_MEMORY_MB": str(grant.memory_mb),
        "PILOTAGE_WALL_S": str(int(grant.wall_s)),
        **_inputs(assignment, folder),
        **({"PILOTAGE_TOKENS": str(folder / TOKENS)} if assignment.body.tokens else {}),
    }


def _bearer_token(assignment: Assignment, folder: Path) -> dict[str, str]:
    """Return the place of the token that tools use by themselves (WLCG Bearer Token Discovery)."""
    names = assignment.body.tokens
    if DEFAULT_TOKEN in names or len(names) == 1:
        name = DEFAULT_TOKEN if DEFAULT_TOKEN in names else names[0]
        return {"BEARER_TOKEN_FILE": str(folder / TOKENS / name)}
    return {}


def _inputs(assignment: Assignment, folder: Path) -> dict[str, str]:
    """Return the places of its data files, one on each line; nothing if they are too long."""
    if assignment.data is None or not assignment.data.inputs:
        return {}
    paths = "\n".join(str(folder / "work" / one.path) for one in assignment.data.inputs)
    return {"PILOTAGE_INPUTS": paths} if len(paths.encode()) <= INPUTS_BYTES_MAX else {}


def environment_of(assignment: Assignment, folder: Path, outfit: Outfit) -> dict[str, str]:
    """Return the environment in which a payload with this outfit starts."""
    if outfit.entry is not None:  # an image has its own PATH, and prepends the given folders
        return payload_environment(assignment, folder, outfit.environment, default_path="")
    whole = payload_environment(assignment, folder, outfit.environment, default_path=DEFAULT_PATH)
    if outfit.on_path:
        whole["PATH"] = ":".join((*outfit.on_path, whole["PATH"]))
    return whole
