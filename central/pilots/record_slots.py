"""Pilots that a factory has submitted."""

from collections.abc import Mapping, Sequence

import msgspec

from pilotage.proto.pilot_states import PilotEvent, PilotState, moves

from ..store.engine import weighs
from ..store.session import Session
from .record import add_secrets, move_pilot
from .record_types import NewSecret


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    pass


class NewSlot(_Record, frozen=True):
    """A pilot that is about to be submitted."""

    secret: NewSecret
    shape: str


class SlotRow(_Record, frozen=True):
    """A pilot that its element may still have something of."""

    pilot: str
    community: str
    site: str
    element: str
    shape: str
    slot: str | None  # None: the element has not said
    state: PilotState
    made_at: float
    registered_at: float | None
    ended_at: float | None
    host: str


class SlotOutput(_Record, frozen=True):
    """What a pilot printed, from the end, and how it ended by its element's word."""

    slot: str | None = None
    exit_code: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""


# A pilot that has not registered ends by its element's word, or because it is not wanted.
_ENDS = {PilotState.FAILED: PilotEvent.BROKE, PilotState.ABORTED: PilotEvent.CANCELLED}


@weighs(3)
def add_slots(session: Session, slots: Sequence[NewSlot]) -> None:
    """Store pilots in state Submitted with their secrets and slots: all or none."""
    add_secrets(session, [one.secret for one in slots])
    session.many("insert_slot", [{"pilot": one.secret.pilot, "shape": one.shape} for one in slots])


@weighs(2)
def place_slots(session: Session, slots: Mapping[str, str]) -> None:
    """Note what the element calls these pilots; those that have not registered are Waiting."""
    rows = [{"pilot": pilot, "slot": slot} for pilot, slot in slots.items()]
    session.many("place_slot", rows)
    for old, new in moves(PilotEvent.QUEUED):  # one that registered before the answer came stays
        move = {"old": old.value, "new": new.value, "ended_at": None, "reason": "", "drain": False}
        session.many("move_pilot", [{**move, "pilot": pilot} for pilot in slots])


def kept_slots(session: Session, *, after: str, limit: int) -> list[SlotRow]:
    """Return slots that are not forgotten, in order of the pilot."""
    rows = session.rows("kept_slots", {"after": after, "limit": limit})
    return [_row(row) for row in rows]


def end_waiting(
    session: Session, pilots: Mapping[str, str], state: PilotState, at: float
) -> list[str]:
    """End pilots that have not registered, each for its reason; return which that were.

    One that registered meanwhile is left as it is.
    """
    event = _ENDS[state]
    return [
        pilot
        for pilot, reason in pilots.items()
        if any(move_pilot(session, pilot, old, new, at, reason) for old, new in moves(event))
    ]


def keep_output(session: Session, pilot: str, output: SlotOutput) -> None:
    """Keep what a pilot printed; its slot stays as it is."""
    given = {**msgspec.structs.asdict(output), "pilot": pilot}
    session.run("keep_output", given)


def slot_output(session: Session, pilot: str) -> SlotOutput | None:
    """Return what was kept of it, None where no factory submitted it."""
    row = session.one("slot_output", {"pilot": pilot})
    if row is None:
        return None
    return SlotOutput(slot=row[0], exit_code=row[1], stdout=row[2], stderr=row[3])


def forget_slots(session: Session, pilots: Sequence[str]) -> None:
    """The element has nothing more of these."""
    rows = [{"pilot": one} for one in pilots]
    session.many("forget_slot", rows)


def _row(row: Sequence[object]) -> SlotRow:
    names = SlotRow.__struct_fields__
    return msgspec.convert(dict(zip(names, row, strict=True)), SlotRow)
