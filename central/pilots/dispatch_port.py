"""What the services of pilots and sites ask of the dispatch, which alone changes the queue."""

from typing import Protocol

from pilotage.matcher.types import LiveOffer
from pilotage.proto.pilot_states import PilotEvent

from .presence import Presence


class PilotMoves(Protocol):
    """Moves pilots, and their parked offers."""

    async def pilot_moved(self, presence: Presence, event: PilotEvent, reason: str, /) -> None:
        """Move a pilot along its table, in the store and in memory."""
        ...

    def tell_pilot(self, presence: Presence, reason: str, /) -> None:
        """Tell followers that something happened to a pilot."""
        ...

    def parked_ask(self, pilot: str, /) -> int:
        """Return the number of the ask with which a pilot is parked; 0: it is not."""
        ...

    def withdraw(self, pilot: str, /) -> None:
        """Take a pilot's parked offer back."""
        ...

    def park_again(self, offer: LiveOffer, ask: int, /) -> None:
        """Put another offer in place of the one that a pilot is parked with."""
        ...

    def wake(self) -> None:
        """Wake parked pilots for which there are jobs."""
        ...
