"""Environment modules, loaded by the node's own tool as the payload would load them.

Modulefiles are programs, and a job may name their place. So they run where the payload will run, on
its rung of isolation, and the resulting environment is passed to the payload.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from ..ports import OutfitMissing
from .trial import TrialResult
from .wrapping import can_export

LOAD_PATIENCE_S = 120.0
# Usual places of Environment Modules and Lmod.
INIT_FILES = (
    "/etc/profile.d/lmod.sh",
    "/etc/profile.d/z00_lmod.sh",
    "/etc/profile.d/modules.sh",
    "/usr/share/lmod/lmod/init/sh",
    "/usr/share/modules/init/sh",
    "/usr/share/Modules/init/sh",
)
_NO_TOOL, _NO_MODULE = 3, 4
_LOAD = (
    f'. "$1" >/dev/null; shift; command -v module >/dev/null || exit {_NO_TOOL}; '
    f'module load "$@" >&2 || exit {_NO_MODULE}; exec env -0'
)

# Runs a command with an environment where the payload will run.
Try = Callable[[Mapping[str, str], Sequence[str], float], TrialResult]


def init_file(environ: Mapping[str, str], told: str = "") -> str:
    """Return the file that defines `module` for a shell; empty if there is none."""
    return next((path for path in _places(environ, told) if os.path.isfile(path)), "")


def _places(environ: Mapping[str, str], told: str) -> Iterator[str]:
    if told:  # and no other
        yield told
        return
    if environ.get("LMOD_PKG"):
        yield os.path.join(environ["LMOD_PKG"], "init", "sh")
    if environ.get("MODULESHOME"):
        yield os.path.join(environ["MODULESHOME"], "init", "sh")
    yield from INIT_FILES


def load(
    modules: Sequence[str], environment: Mapping[str, str], init: str, attempt: Try
) -> dict[str, str]:
    """Return the changes that the modules make to the environment. Raises OutfitMissing."""
    names = " ".join(modules)
    if not init:
        raise OutfitMissing(f"this node has no module tool, but the job asks for modules: {names}")
    words = ("/bin/sh", "-c", _LOAD, "modules", init, *modules)
    tried = attempt(environment, words, LOAD_PATIENCE_S)
    if tried.code == _NO_TOOL:
        raise OutfitMissing(f"{init} does not define `module`")
    after = _variables(tried.printed)
    absent = absent_of(modules, after.get("LOADEDMODULES", ""))
    if tried.code != 0 or absent:
        faults = (line for line in tried.errors if "error" in line.lower())
        why = next(faults, tried.said) or f"exit code {tried.code}"
        raise OutfitMissing(f"modules cannot be loaded on this node: {', '.join(absent)}: {why}")
    return {
        name: value
        for name, value in after.items()
        if environment.get(name) != value and can_export(name) and not name.startswith("PILOTAGE_")
    }


def absent_of(modules: Sequence[str], loaded: str) -> list[str]:
    """Return the modules that are not among the loaded ones; old tools fail without a message."""
    known = {part for one in loaded.split(":") for part in (one, one.rpartition("/")[0])}
    return [one for one in modules if one.rstrip("/") not in known]


def _variables(printed: bytes) -> dict[str, str]:
    pairs = (os.fsdecode(one).partition("=") for one in printed.split(b"\0") if one)
    return {name: value for name, _, value in pairs}
