"""Protocols for the tokens that services issue to pilots and attempts."""

from typing import Protocol


class AttemptTokens(Protocol):
    def attempt_token(
        self, job: int, epoch: int, attempt_id: int, community: str, valid_s: float
    ) -> str:
        """Return a token of one job and epoch, valid only for blobs and logs."""
        ...


class PilotTokens(Protocol):
    def pilot_token(self, pilot: str, community: str, site: str, element: str) -> tuple[str, float]:
        """Return a pilot's token and its lifetime in seconds."""
        ...

    def forget(self, pilot: str) -> None:
        """Drop the token of an ended pilot from memory."""
        ...

    def broker_password(self, community: str, pilot: str) -> str:
        """Return the pilot's password on the bus. It stays the same after restarts."""
        ...

    def renewal_secret(self, secret: str, nonce: str) -> str:
        """Return the only renewal secret of a pilot that registers with protocol 1.0."""
        ...

    def numbered_secret(self, pilot: str, number: int) -> str:
        """Return a pilot's renewal secret `number`, from 1."""
        ...

    def secret_number(self, pilot: str, secret: str) -> int | None:
        """Return the number of a renewal secret, or None if it is not this pilot's."""
        ...
