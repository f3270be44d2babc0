"""What is said of sites, elements and hosts, as a store keeps it, and the verbs for it."""

import enum
from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from .actions import ActionRow

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


class PlaceMarks(Protocol):
    """A place has one mark at most; the last one counts."""

    async def put_mark(self, mark: PlaceMark, *, action: ActionRow | None = None) -> None:
        """Keep a mark in place of the one before, and together with it the action that it is of."""
        ...

    async def drop_marks(self, places: Sequence[str], *, action: ActionRow | None = None) -> int:
        """Remove the marks of places, and keep the action; return how many there were."""
        ...

    async def marks(self) -> list[PlaceMark]:
        """Return all, in order of the place."""
        ...

    async def keep_held(self, held: Sequence[HeldPlace]) -> None:
        """Keep these in place of all before; of more than `HELD_MAX` the last."""
        ...

    async def held(self) -> list[HeldPlace]:
        """Return what was kept, in the order that it was given in."""
        ...
