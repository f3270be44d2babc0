"""The container tools of the node."""

from .finding import SourcedValue
from .mounts import mounts
from .surroundings import Surroundings

# The command of each tool, by its name in an offer.
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
    """Return the names of the tools, with their places in the notes."""
    found = {name: around.tool(command) for name, command in TOOLS.items()}
    # Only mounted file systems, because a hanging mount could hang the pilot.
    for one in mounts(around):
        repository = one.point[len("/cvmfs/") :] if one.point.startswith("/cvmfs/") else ""
        name, path = _FROM_CVMFS.get(repository, ("", ""))
        if name and not found[name] and around.is_tool(one.point + path):
            found[name] = one.point + path
    here = {name: path for name, path in found.items() if path}
    return SourcedValue(tuple(here), "PATH", tuple(here.values()))
