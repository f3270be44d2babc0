"""Pilots that a factory has submitted, as a store keeps them, and the verbs for it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from pilotage.proto.pilot_states import PilotState

from .records import NewSecret


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


class Slots(Protocol):
    """Slots are made before the element is asked, and forgotten when it has nothing more."""

    async def add_slots(self, slots: Sequence[NewSlot]) -> None:
        """Store pilots in state Submitted with their secrets and slots: all or none."""
        ...

    async def place_slots(self, slots: Mapping[str, str]) -> None:
        """Note what the element calls these pilots; those that have not registered are Waiting."""
        ...

    async def kept_slots(self, *, after: str, limit: int) -> list[SlotRow]:
        """Return slots that are not forgotten, in order of the pilot."""
        ...

    async def end_waiting(
        self, pilots: Mapping[str, str], state: PilotState, at: float
    ) -> list[str]:
        """End pilots that have not registered, each for its reason; return which that were.

        One that registered meanwhile is left as it is.
        """
        ...

    async def keep_output(self, pilot: str, output: SlotOutput) -> None:
        """Keep what a pilot printed; its slot stays as it is."""
        ...

    async def slot_output(self, pilot: str) -> SlotOutput | None:
        """Return what was kept of it, None where no factory submitted it."""
        ...

    async def forget_slots(self, pilots: Sequence[str]) -> None:
        """The element has nothing more of these."""
        ...
