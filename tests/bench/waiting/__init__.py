"""The waiting jobs of a large production, as a table of classes."""

from functools import cache
from importlib.resources import files

import msgspec

FILE = "lhcb.json"


class WaitingClass(msgspec.Struct, frozen=True, array_like=True):
    """One task queue. Sites are numbers of the table's list; none: anywhere."""

    jobs: int
    cpu_s: int
    owner: str
    group: str
    type: str
    platform: str  # name of a set of platforms, empty: any
    sites: tuple[int, ...]
    banned_sites: tuple[str, ...] = ()


class Waiting(msgspec.Struct, frozen=True):
    """What waited at one moment."""

    sites: tuple[str, ...]
    platforms: tuple[str, ...]
    platform_sets: dict[str, tuple[int, ...]]  # numbers of `platforms`
    classes: tuple[WaitingClass, ...]


@cache
def lhcb() -> Waiting:
    """Return the table of LHCb."""
    return msgspec.json.decode((files(__name__) / FILE).read_bytes(), type=Waiting)
