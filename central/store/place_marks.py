"""What is said of sites, elements and hosts, as a store keeps it."""

import enum
from typing import Literal

import msgspec

MARKS_MAX = 100_000  # more are not kept
HELD_MAX = 2_000  # the last ones


class Mark(str, enum.Enum):
    """What holds at a place."""

    BANNED = "banned"  # only jobs of the type Test run there
    DRAINING = "draining"  # no new pilots; those there finish what they hold


class PlaceMark(msgspec.Struct, frozen=True, kw_only=True):
    """A mark of one place: `SITE`, or `SITE/ELEMENT`."""

    place: str
    mark: Mark
    who: str
    reason: str
    at: float


class HeldPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A host or an element that is kept from jobs, because attempts failed there."""

    kind: Literal["host", "element"]
    site: str
    name: str
    since: float
    until: float  # then its canary may go
    pause_s: float  # the last one
    why: str
    failed: list[tuple[int, str, float]] = []  # job, owner, when
    tried: list[str] = []  # owners whose canaries failed
