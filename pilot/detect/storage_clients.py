"""The programs of the node that speak protocols of storages."""

from collections.abc import Mapping, Sequence

from .finding import SourcedValue
from .surroundings import Surroundings


def storage_clients(
    around: Surroundings, programs: "Mapping[str, Sequence[str]]"
) -> SourcedValue[tuple[str, ...]]:
    """Return the tags whose programs are all found, with their places in the notes."""
    here: dict[str, list[str]] = {}
    for tag, names in programs.items():
        paths = [around.tool(name) for name in names]
        if all(paths):
            here[tag] = paths
    places = tuple(path for paths in here.values() for path in paths)
    return SourcedValue(tuple(here), "PATH", places)
