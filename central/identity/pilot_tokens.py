"""The tokens that the services hand to pilots and attempts, as they need them from `auth`."""

from typing import Protocol


class AttemptTokens(Protocol):
    def attempt_token(
        self, job: int, epoch: int, attempt_id: int, community: str, valid_s: float
    ) -> str:
        """Return a token that is bound to (job, epoch) and good for blobs and logs alone."""
        ...


class PilotTokens(Protocol):
    def pilot_token(self, pilot: str, community: str, site: str, element: str) -> tuple[str, float]:
        """Return a pilot's token and for how many seconds it is good."""
        ...

    def forget(self, pilot: str) -> None:
        """The pilot has ended."""
        ...

    def broker_password(self, community: str, pilot: str) -> str:
        """Return the pilot's password on the bus: the same one after every restart."""
        ...

    def renewal_secret(self, secret: str, nonce: str) -> str:
        """Return the one renewal secret of a pilot that registers with protocol 1.0."""
        ...

    def numbered_secret(self, pilot: str, number: int) -> str:
        """Return a pilot's renewal secret number `number`, from 1."""
        ...

    def secret_number(self, pilot: str, secret: str) -> int | None:
        """Return which renewal secret of this pilot this is; None if it is none of them."""
        ...
