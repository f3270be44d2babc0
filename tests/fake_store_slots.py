"""The part of the store in memory that keeps slots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from pilotage.central.store.place_marks import HeldPlace
from pilotage.central.store.slots import NewSlot, SlotOutput, SlotRow
from pilotage.proto.pilot_states import PilotState

from .fake_store_pilots import FakePilots


@dataclass
class Slot:
    """One slot."""

    shape: str
    output: SlotOutput = SlotOutput()
    kept: bool = True


@dataclass
class SlotData:
    """What survives a restart."""

    slots: dict[str, Slot] = field(default_factory=dict[str, Slot])  # by pilot
    held: list[HeldPlace] = field(default_factory=list[HeldPlace])


class FakeSlots(FakePilots):
    """The verbs of `store.slots`."""

    _slot_data: SlotData

    async def add_slots(self, slots: Sequence[NewSlot]) -> None:
        await self.add_secrets([one.secret for one in slots])
        for one in slots:
            self._slot_data.slots[one.secret.pilot] = Slot(one.shape)

    async def place_slots(self, slots: Mapping[str, str]) -> None:
        self.begin_write()
        for pilot, name in slots.items():
            slot = self._slot_data.slots.get(pilot)
            if slot is not None and slot.output.slot in (None, name):
                slot.output = msgspec.structs.replace(slot.output, slot=name)
            row = self._pilot_data.pilots.get(pilot)
            if row is not None and row.state is PilotState.SUBMITTED:
                self._pilot_data.pilots[pilot] = msgspec.structs.replace(
                    row, state=PilotState.WAITING
                )
        await self.synced()

    async def kept_slots(self, *, after: str, limit: int) -> list[SlotRow]:
        return [
            self._slot_row(pilot, slot)
            for pilot, slot in sorted(self._slot_data.slots.items())
            if slot.kept and pilot > after
        ][:limit]

    def _slot_row(self, pilot: str, slot: Slot) -> SlotRow:
        row = self._pilot_data.pilots[pilot]
        return SlotRow(
            pilot=pilot,
            community=row.community,
            site=row.site,
            element=row.element,
            shape=slot.shape,
            slot=slot.output.slot,
            state=row.state,
            made_at=row.made_at,
            registered_at=row.registered_at,
            ended_at=row.ended_at,
            host=row.host,
        )

    async def end_waiting(
        self, pilots: Mapping[str, str], state: PilotState, at: float
    ) -> list[str]:
        self.begin_write()
        ended: list[str] = []
        for pilot, reason in pilots.items():
            row = self._pilot_data.pilots.get(pilot)
            if row is not None and row.state in (PilotState.SUBMITTED, PilotState.WAITING):
                self._pilot_data.pilots[pilot] = msgspec.structs.replace(
                    row, state=state, ended_at=at, reason=reason
                )
                ended.append(pilot)
        await self.synced()
        return ended

    async def keep_output(self, pilot: str, output: SlotOutput) -> None:
        self.begin_write()
        slot = self._slot_data.slots.get(pilot)
        if slot is not None:
            slot.output = msgspec.structs.replace(output, slot=slot.output.slot)
        await self.synced()

    async def slot_output(self, pilot: str) -> SlotOutput | None:
        slot = self._slot_data.slots.get(pilot)
        return None if slot is None else slot.output

    async def forget_slots(self, pilots: Sequence[str]) -> None:
        self.begin_write()
        for pilot in pilots:
            if pilot in self._slot_data.slots:
                self._slot_data.slots[pilot].kept = False
        await self.synced()
