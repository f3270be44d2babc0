"""Software folders on this node: the level of the processor, and missing folders.

`{level}` in a folder means the best existing level, from x86-64-v4 to x86-64-v1, that the node can
run, or the name of another architecture. A command examines the folders, because a hanging file
system could hang the pilot.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..detect.surroundings import output
from ..ports import OutfitMissing
from .tools import CVMFS

LEVEL = "{level}"
LOOK_PATIENCE_S = 120.0  # CVMFS loads uncached files over the network
_STAT = 'for one; do stat -L -c "%F|%n" -- "$one"; done; true'

# Paths → the type of each existing one, in the words of `stat`.
Look = Callable[[Sequence[str]], Mapping[str, str]]
DIRECTORY = "directory"


@dataclass(frozen=True)
class Processor:
    """The values for `{level}`."""

    architecture: str
    level: int = 1  # x86-64-v1 to v4

    def levels(self) -> tuple[str, ...]:
        """Return the values for `{level}`, best first."""
        if self.architecture != "x86_64":
            return (self.architecture,)
        return tuple(f"x86-64-v{level}" for level in range(self.level, 0, -1))


@dataclass(frozen=True)
class Software:
    """The found folders, in the order of the job, and those to put on PATH."""

    folders: tuple[str, ...] = ()
    on_path: tuple[str, ...] = ()


def find(
    patterns: Sequence[str], processor: Processor, look: Look, *, cvmfs_root: str = CVMFS
) -> Software:
    """Return the places of the software.

    Raises OutfitMissing, which names the first missing folder.
    """
    if not patterns:
        return Software()
    choices = {one: tuple(_choices(place(one, cvmfs_root), processor)) for one in patterns}
    asked = [path for paths in choices.values() for path in paths]
    repositories = [place(name, cvmfs_root) for name in map(repository, patterns) if name]
    seen = look([*dict.fromkeys((*repositories, *asked, *(path + "/bin" for path in asked)))])
    folders: list[str] = []
    for pattern, paths in choices.items():
        found = next((path for path in paths if seen.get(path) == DIRECTORY), "")
        if not found:
            raise OutfitMissing(_missing(pattern, paths, seen, processor, cvmfs_root))
        folders.append(found)
    bins = (f"{one}/bin" for one in folders)
    return Software(tuple(folders), tuple(one for one in bins if seen.get(one) == DIRECTORY))


def place(path: str, cvmfs_root: str) -> str:
    """Return the place of a path on a node with CVMFS at another place."""
    if path == CVMFS or path.startswith(CVMFS + "/"):
        return cvmfs_root + path[len(CVMFS) :]
    return path


def repository(path: str) -> str:
    """Return /cvmfs/NAME for a path in a repository; otherwise an empty text."""
    parts = path.split("/")
    return "/".join(parts[:3]) if len(parts) > 2 and parts[:2] == ["", "cvmfs"] else ""


def not_mounted(path: str) -> str:
    """Return a message if the repository of `path` is not mounted."""
    name = repository(path)[len(CVMFS) + 1 :]
    return f"the CVMFS repository {name} is not mounted on this node"


def looked(paths: Sequence[str]) -> Mapping[str, str]:
    """Return which of these paths exist, by a command."""
    argv = ("/bin/sh", "-c", _STAT, "look", *paths)
    said = output(argv, {"PATH": "/usr/bin:/bin"}, LOOK_PATIENCE_S)
    lines = (line.partition("|") for line in said.splitlines())
    return {path: what for what, _, path in lines}


def _choices(pattern: str, processor: Processor) -> Iterator[str]:
    levels = processor.levels() if LEVEL in pattern else ("",)
    return (pattern.replace(LEVEL, level).rstrip("/") or "/" for level in levels)


def _missing(
    pattern: str,
    paths: Sequence[str],
    seen: Mapping[str, str],
    processor: Processor,
    cvmfs_root: str,
) -> str:
    name = repository(pattern)
    if name and place(name, cvmfs_root) not in seen:
        return not_mounted(pattern)
    other = next((path for path in paths if path in seen), "")
    if other:
        return f"software {other} is not a folder but a {seen[other]}"
    tried = f"; {LEVEL} was {', '.join(processor.levels())}" if LEVEL in pattern else ""
    return f"software {pattern} is not on this node{tried}"
