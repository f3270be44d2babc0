"""What the central says to pilots of its own accord: hints, never the record."""

from typing import Protocol

from pilotage.proto.messages import Attempt, Stop


class Outbound(Protocol):
    """Messages to one pilot over the bus. They may be lost: replies repeat what counts."""

    @property
    def up(self) -> bool:
        """Whether the bus stands now."""
        ...

    def wake(self, community: str, pilot: str, n: int, term: int, leader: str = "") -> None:
        """There may be work for the parked ask `n`; 0: for any. `leader`: where we are reached."""
        ...

    def stop(self, community: str, pilot: str, stop: Stop) -> None: ...

    def drain(self, community: str, pilot: str) -> None: ...

    def hurry(self, community: str, pilot: str) -> None:
        """Drain, and do not wait for the payloads."""
        ...

    def follow(self, community: str, pilot: str, attempt: Attempt) -> None:
        """Somebody watches the output of this attempt."""
        ...
