"""The port to the dispatch, which alone changes the queue, for the services of pilots and sites."""

from typing import Protocol

from pilotage.matcher.types import LiveOffer
from pilotage.proto.pilot_states import PilotEvent

from .presence import Presence


class PilotMoves(Protocol):
    """Moves pilots, and their parked offers."""

    async def pilot_moved(self, presence: Presence, event: PilotEvent, reason: str, /) -> None:
        """Move a pilot along its state table, in the store and in memory."""
        ...

    def tell_pilot(self, presence: Presence, reason: str, /) -> None:
        """Add an event of a pilot to the feed."""
        ...

    def parked_ask(self, pilot: str, /) -> int:
        """Return the number of the ask with which a pilot is parked; 0: it is not."""
        ...

    def withdraw(self, pilot: str, /) -> None:
        """Withdraw the parked offer of a pilot."""
        ...

    def park_again(self, offer: LiveOffer, ask: int, /) -> None:
        """Replace the parked offer of a pilot."""
        ...

    def wake(self) -> None:
        """Wake parked pilots that waiting jobs fit."""
        ...
