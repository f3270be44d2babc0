"""Where the control groups of this process are, in version 1, version 2, and both at once."""

from collections.abc import Iterator
from pathlib import Path

from .reading import text

_MOUNTS = "sys/fs/cgroup"


def folders(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders that may limit `controller` for us: our own group's and all above it."""
    for line in text(root / "proc/self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names == "":
            for base in (root / _MOUNTS, root / _MOUNTS / "unified"):
                yield from _upwards(base, path)
        elif controller in names.split(","):
            for name in {names, controller}:
                yield from _upwards(root / _MOUNTS / name, path)


def _upwards(base: Path, path: str) -> Iterator[Path]:
    """Yield the group's folder and its parents down to the mount point.

    Inside a container the path may be the host's: then its folders are not there, and the mount
    point itself is our group.
    """
    if not base.is_dir():
        return
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for length in range(len(parts), -1, -1):
        folder = base.joinpath(*parts[:length])
        if folder.is_dir():
            yield folder
