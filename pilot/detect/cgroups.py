"""The control groups of this process, in version 1, version 2, and both at once."""

from collections.abc import Iterator
from pathlib import Path

from .mounts import mounts
from .small_files import text
from .surroundings import Surroundings

_USUAL = "/sys/fs/cgroup"


def folders(around: Surroundings, controller: str) -> Iterator[Path]:
    """Yield the folders that may limit `controller`: the pilot's group and all groups above it."""
    seen: set[Path] = set()
    for line in text(around.file("/proc/self/cgroup")).splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names == "":
            bases = _points(around, "cgroup2", "") or [_USUAL, f"{_USUAL}/unified"]
        elif controller in names.split(","):
            usual = [f"{_USUAL}/{name}" for name in sorted({names, controller})]
            bases = _points(around, "cgroup", controller) or usual
        else:
            continue
        for base in bases:
            for folder in _upwards(around.file(base), path):
                if folder not in seen:
                    seen.add(folder)
                    yield folder


def blind(around: Surroundings) -> str:
    """Return a note if the pilot's group is hidden, because its limits apply nevertheless."""
    if "/" not in text(around.file("/proc/self/cgroup")) or around.is_there(_USUAL):
        return ""
    return f"{_USUAL} is missing: the limit of the pilot's control group is unknown"


def _points(around: Surroundings, kind: str, controller: str) -> list[str]:
    return [
        one.point
        for one in mounts(around)
        if one.kind == kind and (not controller or controller in one.options)
    ]


def _upwards(base: Path, path: str) -> Iterator[Path]:
    """Yield the group's folder and its parents up to the mount point.

    Inside a container, the path may be that of the host. Its folders then do not exist, and the
    mount point itself is the group.
    """
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for length in range(len(parts), -1, -1):
        folder = base.joinpath(*parts[:length])
        try:
            if folder.is_dir():
                yield folder
        except (OSError, ValueError):
            continue
