"""Which CVMFS repositories are mounted."""

from pathlib import Path

from .reading import text


def repositories(root: Path) -> tuple[str, ...]:
    """Return the names of the repositories below /cvmfs, as the mount table has them.

    Nothing is listed there: autofs would mount, and a sick mount would hang us.
    """
    points = (
        line.split(" ")[1] for line in text(root / "proc/self/mounts").splitlines() if " " in line
    )
    names = {point[len("/cvmfs/") :] for point in points if point.startswith("/cvmfs/")}
    return tuple(sorted(name for name in names if "/" not in name))
