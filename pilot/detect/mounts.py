"""The table of mounts, from the kernel."""

import re
from dataclasses import dataclass

from .small_files import text
from .surroundings import Surroundings

_TABLE = "/proc/self/mounts"
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """One line of the table."""

    source: str
    point: str
    kind: str
    options: tuple[str, ...]


def mounts(around: Surroundings) -> list[Mount]:
    """Return the table in order; invalid lines are skipped."""
    found: list[Mount] = []
    for line in text(around.file(_TABLE)).splitlines():
        words = [_ESCAPED.sub(_sign, word) for word in line.split(" ")]
        if len(words) >= 4 and words[1].startswith("/"):
            found.append(Mount(words[0], words[1], words[2], tuple(words[3].split(","))))
    return found


def of_folder(table: list[Mount], folder: str) -> str:
    """Return the type of the file system of a folder; empty if unknown."""
    kind, longest = "", -1
    for one in table:
        point = one.point.rstrip("/")
        if (folder + "/").startswith(point + "/") and len(point) >= longest:
            kind, longest = one.kind, len(point)
    return kind


def _sign(escaped: "re.Match[str]") -> str:
    return chr(int(escaped.group(1), 8) & 0xFF)
