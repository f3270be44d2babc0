"""Messages that the central sends to pilots on its own: hints only, never the record."""

from typing import Protocol

from pilotage.proto.messages import Attempt, Stop


class Outbound(Protocol):
    """Messages to one pilot over the bus. They may be lost: replies repeat the important ones."""

    @property
    def up(self) -> bool:
        """Whether the bus is connected."""
        ...

    def wake(self, community: str, pilot: str, n: int, term: int, leader: str = "") -> None:
        """Tell the pilot that there may be work for its parked ask `n` (0: any).

        `leader`: the URL of this process.
        """
        ...

    def stop(self, community: str, pilot: str, stop: Stop) -> None: ...

    def drain(self, community: str, pilot: str) -> None: ...

    def hurry(self, community: str, pilot: str) -> None:
        """Drain the pilot without waiting for its payloads."""
        ...

    def follow(self, community: str, pilot: str, attempt: Attempt) -> None:
        """Ask the pilot to send the output of this attempt while a user watches it."""
        ...
