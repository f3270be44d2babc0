"""Slots: a part of the store."""

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from pilotage.proto.pilot_states import PilotEvent, PilotState, moves

from ..slots import NewSlot, SlotOutput, SlotRow
from .opened import Opened
from .pilots import add_secrets, move_pilot
from .session import Session

# A pilot that has not registered ends by its element's word, or because it is not wanted.
_ENDS = {PilotState.FAILED: PilotEvent.BROKE, PilotState.ABORTED: PilotEvent.CANCELLED}


class SlotsVerbs(Opened):
    """The verbs of `store.slots`."""

    async def add_slots(self, slots: Sequence[NewSlot]) -> None:
        await self._writer.run(partial(_add, slots=slots), rows=3 * len(slots))

    async def place_slots(self, slots: Mapping[str, str]) -> None:
        await self._writer.run(partial(_place, slots=slots), rows=2 * len(slots))

    async def kept_slots(self, *, after: str, limit: int) -> list[SlotRow]:
        rows = await self._reader.rows("kept_slots", {"after": after, "limit": limit})
        return [_row(row) for row in rows]

    async def end_waiting(
        self, pilots: Mapping[str, str], state: PilotState, at: float
    ) -> list[str]:
        end = partial(_end, pilots=pilots, event=_ENDS[state], at=at)
        return await self._writer.run(end, rows=len(pilots))

    async def keep_output(self, pilot: str, output: SlotOutput) -> None:
        given = {**msgspec.structs.asdict(output), "pilot": pilot}
        await self._writer.run(lambda session: session.run("keep_output", given), rows=1)

    async def slot_output(self, pilot: str) -> SlotOutput | None:
        row = await self._reader.one("slot_output", {"pilot": pilot})
        if row is None:
            return None
        return SlotOutput(slot=row[0], exit_code=row[1], stdout=row[2], stderr=row[3])

    async def forget_slots(self, pilots: Sequence[str]) -> None:
        rows = [{"pilot": one} for one in pilots]
        await self._writer.run(lambda session: session.many("forget_slot", rows), rows=len(rows))


def _add(session: Session, *, slots: Sequence[NewSlot]) -> None:
    add_secrets(session, [one.secret for one in slots])
    session.many("insert_slot", [{"pilot": one.secret.pilot, "shape": one.shape} for one in slots])


def _place(session: Session, *, slots: Mapping[str, str]) -> None:
    rows = [{"pilot": pilot, "slot": slot} for pilot, slot in slots.items()]
    session.many("place_slot", rows)
    for old, new in moves(PilotEvent.QUEUED):  # one that registered before the answer came stays
        move = {"old": old.value, "new": new.value, "ended_at": None, "reason": "", "drain": False}
        session.many("move_pilot", [{**move, "pilot": pilot} for pilot in slots])


def _end(session: Session, *, pilots: Mapping[str, str], event: PilotEvent, at: float) -> list[str]:
    return [
        pilot
        for pilot, reason in pilots.items()
        if any(move_pilot(session, pilot, old, new, at, reason) for old, new in moves(event))
    ]


def _row(row: Sequence[object]) -> SlotRow:
    names = SlotRow.__struct_fields__
    return msgspec.convert(dict(zip(names, row, strict=True)), SlotRow)
