"""The tools of this node that run payloads in images, and the settings for outfits.

The pilot imports this module when it starts, so it stays small. The search for images, software and
modules is imported with the first payload that asks for any (`outfit.py`).
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from pilotage.proto.images import DOCKER, FOLDER, SIF, TAR, fetching_tags, tag_of
from pilotage.proto.messages import Assignment

from ..detect.facts import DetectedNode
from ..ports import Outfit, Outfitter
from .isolation import BUBBLEWRAP

APPTAINER, SINGULARITY, PODMAN = "apptainer", "singularity", "podman"
IMAGE_TOOLS = (APPTAINER, SINGULARITY, BUBBLEWRAP, PODMAN)
RUNGS: Mapping[str, tuple[str, ...]] = {  # of images by their kind, best first
    SIF: (APPTAINER, SINGULARITY),
    FOLDER: (APPTAINER, SINGULARITY, BUBBLEWRAP),
    TAR: (PODMAN,),
    DOCKER: (APPTAINER, SINGULARITY, PODMAN),
}
CVMFS = "/cvmfs"
CONTAINERS = "containers"  # in the state directory: the store of podman


FETCH_PATIENCE_S = 1_200.0  # some gigabytes, through a network that all slots of the node share


def default_cache() -> str:
    """Return the folder of fetched images: on a disk, and not in a folder of the batch system."""
    return f"/var/tmp/pilotage-images-{os.geteuid()}"


@dataclass(frozen=True)
class NodeTools:
    """The means of this node to run payloads, as detected and as set."""

    rung: str  # of payloads without an image
    architecture: str
    level: int = 1  # x86-64-v1 to v4
    image_tools: Mapping[str, str] = field(default_factory=dict[str, str])  # rung: program
    hidden: Iterable[Path] = ()  # read again for each payload
    cvmfs_root: str = CVMFS
    module_init: str = ""
    gpu_vendor: str = ""
    registries: tuple[str, ...] = ()  # of images that may be fetched; none: of none; empty: of all
    image_cache: str = field(default_factory=default_cache)
    image_cache_bytes: int = 20_000_000_000
    fetch_patience_s: float = FETCH_PATIENCE_S


def image_tools(facts: DetectedNode, rung: str, allowed: Sequence[str] = ()) -> dict[str, str]:
    """Return the tools that can run images here, with their paths. `allowed`: empty for all."""
    found = dict(zip(facts.containers.value, facts.containers.notes))
    tools = {name: found[name] for name in IMAGE_TOOLS if name in found}
    if rung != BUBBLEWRAP and BUBBLEWRAP not in allowed:  # its trial has probably failed
        tools.pop(BUBBLEWRAP, None)
    if os.geteuid() != 0 and not facts.user_namespaces.value:
        tools.pop(PODMAN, None)
    return {name: path for name, path in tools.items() if not allowed or name in allowed}


def image_tags(tools: Mapping[str, str], registries: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the tags of the kinds of images that these tools can run, from these registries."""
    kinds = [kind for kind, rungs in RUNGS.items() if any(one in tools for one in rungs)]
    fetching = fetching_tags(registries) if DOCKER in kinds else ()
    return (*(tag_of(kind) for kind in kinds if kind != DOCKER), *fetching)


class LateOutfitter:
    """An outfitter that is created at its first use."""

    def __init__(self, tools: NodeTools, state: Path, environ: Mapping[str, str]) -> None:
        self._tools, self._state, self._environ = tools, state, environ
        self._real: Optional[Outfitter] = None

    async def outfit(self, assignment: Assignment, folder: Path) -> Outfit:
        if self._real is None:
            from .outfit import NodeOutfitter

            self._real = NodeOutfitter(self._tools, self._state, self._environ)
        return await self._real.outfit(assignment, folder)
