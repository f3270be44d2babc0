"""Slots on SQLite: a part of the store."""

from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from pilotage.proto.pilot_states import FINAL, PilotState

from ..slots import NewSlot, SlotOutput, SlotRow
from .opened import Opened
from .pilots import add_secrets
from .session import Session


class SqliteSlots(Opened):
    """The verbs of `store.slots`."""

    async def add_slots(self, slots: Sequence[NewSlot]) -> None:
        await self._writer.run(partial(_add, slots=slots), rows=3 * len(slots))

    async def place_slots(self, slots: Mapping[str, str]) -> None:
        await self._writer.run(partial(_place, slots=slots), rows=2 * len(slots))

    async def kept_slots(self, *, after: str, limit: int) -> list[SlotRow]:
        rows = await self._reader.rows("kept_slots", {"after": after, "limit": limit})
        return [_row(row) for row in rows]

    async def end_waiting(self, pilots: Mapping[str, str], state: PilotState, at: float) -> int:
        assert state in FINAL
        end = partial(_end, pilots=pilots, state=state, at=at)
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
    session.many("placed_pilot", rows)


def _end(session: Session, *, pilots: Mapping[str, str], state: PilotState, at: float) -> int:
    return sum(
        session.run(
            "fail_waiting_pilot",
            {"pilot": pilot, "state": state.value, "at": at, "reason": reason},
        ).rowcount
        for pilot, reason in pilots.items()
    )


def _row(row: Sequence[object]) -> SlotRow:
    names = SlotRow.__struct_fields__
    return msgspec.convert(dict(zip(names, row, strict=True)), SlotRow)
