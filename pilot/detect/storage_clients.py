"""The programs of the node that speak protocols of storages."""

from pilotage.proto.storages import XROOTD_TAG

from .finding import SourcedValue
from .surroundings import Surroundings

# By tag of pilots that have them all.
PROGRAMS = {XROOTD_TAG: ("xrdcp", "xrdfs")}


def storage_clients(around: Surroundings) -> SourcedValue[tuple[str, ...]]:
    """Return the tags of the found programs, with their places in the notes."""
    here: dict[str, list[str]] = {}
    for tag, names in PROGRAMS.items():
        paths = [around.tool(name) for name in names]
        if all(paths):
            here[tag] = paths
    places = tuple(path for paths in here.values() for path in paths)
    return SourcedValue(tuple(here), "PATH", places)
