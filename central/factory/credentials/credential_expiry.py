"""What people and alarms learn of an element's credential: until when it is good."""

from ...ports import Clock
from ..credential import Credential, CredentialSource
from ..errors import CredentialExpired


class KnownCredential:
    """A source, and what it gave last. One that gives nothing has ended when that was noticed."""

    def __init__(self, source: CredentialSource, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self._until: float | None = None
        self.is_at_fault = False  # it gives none, and not because one has run out

    async def current(self) -> Credential:
        """Return what the source gives. Raises CredentialExpired."""
        try:
            found = await self._source.current()
        except CredentialExpired as why:
            self.is_at_fault = why.ended_at is None
            now = self._clock.wall()
            ended_at = now if why.ended_at is None else why.ended_at
            self._until = ended_at if self._until is None else min(self._until, ended_at)
            raise
        self._until, self.is_at_fault = found.expires_at, False
        return found

    @property
    def left_s(self) -> float | None:
        """For how long it is good, below zero: since when not; None where it does not say."""
        return None if self._until is None else self._until - self._clock.wall()
