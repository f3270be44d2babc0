"""Ends sessions. A logout keeps the grant for unfinished jobs; all other reasons drop it."""

from typing import Protocol

from ...observe.events import Log
from ...ports import Clock
from ...store.engine import Store
from ..errors import LoginEnded
from . import rows as session_rows
from .grants import Grants
from .rows import LoginSession, UsedByJobs


class EndedSessions(Protocol):
    """Learns which sessions have ended."""

    def session_ended(self, session: str) -> None:
        """Refuse the access tokens of a session from now on."""
        ...


class SessionEndings:
    """Ends sessions, and drops their grants. Call it as work on the session."""

    def __init__(
        self,
        *,
        store: Store,
        tokens: EndedSessions,
        grants: Grants,
        is_used: UsedByJobs,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._tokens, self._grants = store, tokens, grants
        self._is_used, self._clock, self._log = is_used, clock, log

    async def leave(self, row: LoginSession, why: str, *, at_provider: bool = True) -> None:
        """End a session that its person ends. Its jobs may get tokens by it until they end."""
        at = self._clock.wall()
        stays = await self._store.write(
            session_rows.end_for_person, row, at, why, is_used=self._is_used
        )
        self._note(row, why)
        if stays:
            self._log("grant_kept", person=row.subject, session=row.session)
            return
        if row.refresh and at_provider:
            await self._grants.revoke(row)
        self._grants.forget(row.session)

    async def end(self, row: LoginSession, why: str, *, at_provider: bool = False) -> LoginEnded:
        """End a session for good, also for jobs; return the refusal for its holder."""
        if row.ended_at is not None:
            await self.drop_grant(row, why, at_provider=at_provider)
            return LoginEnded(why)
        await self._store.write(session_rows.end, row.session, self._clock.wall(), why)
        self._note(row, why)
        if at_provider and row.refresh:
            await self._grants.revoke(row)
        self._grants.forget(row.session)
        return LoginEnded(why)

    async def drop_grant(self, row: LoginSession, why: str, *, at_provider: bool = True) -> None:
        """Forget the refresh token of a session that was over before."""
        await self._store.write(session_rows.drop_grant, row.session, self._clock.wall())
        self._log("grant_dropped", person=row.subject, session=row.session, why=why)
        if at_provider:
            await self._grants.revoke(row)
        self._grants.forget(row.session)

    def _note(self, row: LoginSession, why: str) -> None:
        """Refuse the session's tokens, and log its end."""
        self._tokens.session_ended(row.session)
        self._log("session_ended", person=row.subject, session=row.session, why=why)
