"""Pilots that a factory has submitted, as a store keeps them."""

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
