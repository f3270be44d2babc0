"""Marks of sites, elements and hosts."""

import enum
from collections.abc import Sequence
from typing import Literal

import msgspec

from ..identity.actions import ActionRow, keep_action
from ..store.session import Session

MARKS_MAX = 100_000  # that are read
HELD_MAX = 2_000  # suspended places that are stored: the newest


class MarkKind(str, enum.Enum):
    """An operator's restriction of a place."""

    BANNED = "banned"  # only jobs of the type Test run there
    DRAINING = "draining"  # no new pilots; present ones finish their jobs


class PlaceMark(msgspec.Struct, frozen=True, kw_only=True):
    """A mark of one place: `SITE`, or `SITE/ELEMENT`."""

    place: str
    mark: MarkKind
    who: str
    reason: str
    at: float


class SuspendedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A host or an element that is suspended because attempts failed there."""

    kind: Literal["host", "element"]
    site: str
    name: str
    since: float
    until: float  # from then on it may get a canary
    pause_s: float  # length of the last suspension
    why: str
    failed: list[tuple[int, str, float]] = []  # job, owner, when
    tried: list[str] = []  # owners whose canaries failed


def put_mark(session: Session, mark: PlaceMark, *, action: ActionRow | None = None) -> None:
    """Write a mark over the previous one of the place, and store the action that set it."""
    given = {**msgspec.structs.asdict(mark), "mark": mark.mark.value}
    session.run("put_place_mark", given)
    if action is not None:
        keep_action(session, action)


def drop_marks(session: Session, places: Sequence[str], *, action: ActionRow | None = None) -> int:
    """Delete the marks of places, and store the action. Return how many marks there were."""
    if action is not None:
        keep_action(session, action)
    each = [session.run("drop_place_mark", {"place": place}).rowcount for place in places]
    return sum(each)


def marks(session: Session) -> list[PlaceMark]:
    """Return all marks, ordered by place."""
    rows = session.rows("place_marks", {"limit": MARKS_MAX})
    names = PlaceMark.__struct_fields__
    return [msgspec.convert(dict(zip(names, row, strict=True)), PlaceMark) for row in rows]


def keep_held(session: Session, held: Sequence[SuspendedPlace]) -> None:
    """Replace the stored suspensions by the last HELD_MAX of these."""
    rows = [
        {"number": number, "facts": msgspec.json.encode(one)}
        for number, one in enumerate(held[-HELD_MAX:])
    ]
    session.run("drop_held_places")
    session.many("insert_held_place", rows)


def held(session: Session) -> list[SuspendedPlace]:
    """Return the stored suspensions, in the order in which they were given."""
    rows = session.rows("held_places", {"limit": HELD_MAX})
    return [msgspec.json.decode(row[0], type=SuspendedPlace) for row in rows]
