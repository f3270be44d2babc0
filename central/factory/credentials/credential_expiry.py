"""The remaining life of an element's credential, for users and alarms."""

from ...ports import Clock
from ..credential import Credential, CredentialSource
from ..errors import CredentialExpired


class KnownCredential:
    """A source and its last credential. If it gives none, that moment counts as the end."""

    def __init__(self, source: CredentialSource, clock: Clock) -> None:
        self._source, self._clock = source, clock
        self._until: float | None = None
        self.is_at_fault = False  # it gives none, for another reason than an expired one

    async def current(self) -> Credential:
        """Return a credential from the source. Raises CredentialExpired."""
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
        """The seconds until its end, negative after it; None if the end is unknown."""
        return None if self._until is None else self._until - self._clock.wall()
