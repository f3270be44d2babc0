"""Which container tools the node has."""

from .finding import SourcedValue
from .mounts import mounts
from .surroundings import Surroundings

# By what they are called in an offer: as which command they are looked for.
TOOLS = {
    "apptainer": "apptainer",
    "singularity": "singularity",
    "podman": "podman",
    "bubblewrap": "bwrap",
    "unshare": "unshare",
}
_FROM_CVMFS = {
    "oasis.opensciencegrid.org": ("apptainer", "/mis/apptainer/bin/apptainer"),
}


def containers(around: Surroundings) -> SourcedValue[tuple[str, ...]]:
    """Return the names of the tools that are here, and in the notes where."""
    found = {name: around.tool(command) for name, command in TOOLS.items()}
    for one in mounts(around):  # only what is mounted: a sick mount would hang us
        repository = one.point[len("/cvmfs/") :] if one.point.startswith("/cvmfs/") else ""
        name, path = _FROM_CVMFS.get(repository, ("", ""))
        if name and not found[name] and around.is_tool(one.point + path):
            found[name] = one.point + path
    here = {name: path for name, path in found.items() if path}
    return SourcedValue(tuple(here), "PATH", tuple(here.values()))
