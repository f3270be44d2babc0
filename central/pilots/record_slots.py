"""Reads and writes of the pilots that a factory has submitted."""

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
    """A submitted pilot whose batch job or output the element may still have."""

    pilot: str
    community: str
    site: str
    element: str
    shape: str
    slot: str | None  # the element's id of the pilot; None: not known yet
    state: PilotState
    made_at: float
    registered_at: float | None
    ended_at: float | None
    host: str


class SlotOutput(_Record, frozen=True):
    """The end of a pilot's output, and its exit code as reported by the element."""

    slot: str | None = None
    exit_code: int | None = None
    stdout: bytes = b""
    stderr: bytes = b""


# A pilot that has not registered ends if its element reports a failure, or if it is cancelled.
_ENDS = {PilotState.FAILED: PilotEvent.BROKE, PilotState.ABORTED: PilotEvent.CANCELLED}


@weighs(3)
def add_slots(session: Session, slots: Sequence[NewSlot]) -> None:
    """Store pilots in the state Submitted, with their secrets and slots: all or none."""
    add_secrets(session, [one.secret for one in slots])
    session.many("insert_slot", [{"pilot": one.secret.pilot, "shape": one.shape} for one in slots])


@weighs(2)
def place_slots(session: Session, slots: Mapping[str, str]) -> None:
    """Store the element's ids of these pilots. Pilots that have not registered become Waiting."""
    rows = [{"pilot": pilot, "slot": slot} for pilot, slot in slots.items()]
    session.many("place_slot", rows)
    for old, new in moves(PilotEvent.QUEUED):  # leaves pilots that have registered already
        move = {"old": old.value, "new": new.value, "ended_at": None, "reason": "", "drain": False}
        session.many("move_pilot", [{**move, "pilot": pilot} for pilot in slots])


def kept_slots(session: Session, *, after: str, limit: int) -> list[SlotRow]:
    """Return slots that are not forgotten, ordered by pilot."""
    rows = session.rows("kept_slots", {"after": after, "limit": limit})
    return [_row(row) for row in rows]


def end_waiting(
    session: Session, pilots: Mapping[str, str], state: PilotState, at: float
) -> list[str]:
    """End pilots that have not registered, each with its reason. Return the ended ones.

    Pilots that have registered by now are left unchanged.
    """
    event = _ENDS[state]
    return [
        pilot
        for pilot, reason in pilots.items()
        if any(move_pilot(session, pilot, old, new, at, reason) for old, new in moves(event))
    ]


def keep_output(session: Session, pilot: str, output: SlotOutput) -> None:
    """Store the output of a pilot. Its slot id stays unchanged."""
    given = {**msgspec.structs.asdict(output), "pilot": pilot}
    session.run("keep_output", given)


def slot_output(session: Session, pilot: str) -> SlotOutput | None:
    """Return the stored output of a pilot, None if no factory submitted it."""
    row = session.one("slot_output", {"pilot": pilot})
    if row is None:
        return None
    return SlotOutput(slot=row[0], exit_code=row[1], stdout=row[2], stderr=row[3])


def forget_slots(session: Session, pilots: Sequence[str]) -> None:
    """Forget the slots of pilots that have no batch job or output at the element any more."""
    rows = [{"pilot": one} for one in pilots]
    session.many("forget_slot", rows)


def _row(row: Sequence[object]) -> SlotRow:
    names = SlotRow.__struct_fields__
    return msgspec.convert(dict(zip(names, row, strict=True)), SlotRow)
