"""What operators say of sites and elements, as a store keeps it, and the verbs for it."""

import enum
from typing import Protocol

import msgspec

MARKS_MAX = 100_000  # more are not kept


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


class PlaceMarks(Protocol):
    """A place has one mark at most; the last one counts."""

    async def put_mark(self, mark: PlaceMark) -> None:
        """Keep a mark in place of the one before."""
        ...

    async def drop_mark(self, place: str) -> bool:
        """Remove the mark of a place; False: it had none."""
        ...

    async def marks(self) -> list[PlaceMark]:
        """Return all, in order of the place."""
        ...
