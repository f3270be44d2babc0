"""Gets access tokens of the owners of jobs, with the grants of their sessions.

If a person ends a session while such jobs are unfinished, or its time is over, its refresh token
stays for these jobs alone. If anything else ends the session, the refresh token goes as well.
"""

from functools import partial
from typing import Final

import msgspec

from ...ports import Clock
from ...store.engine import Store
from ..errors import LoginEnded
from ..providers.provider_files import ProviderEntry
from ..providers.provider_http import ProviderAway
from . import rows as session_rows
from .endings import SessionEndings
from .grants import GrantLost, Grants
from .outages import RETRY_S as SESSIONS_RETRY_S, Outages
from .rows import GRANT_KEPT_S, LoginSession, UsedByJobs
from .session_work import NoWorkNow, SessionWork

RETRY_S: Final = 30.0  # until a provider that was away is asked again: starts of jobs wait
GRANTS_MAX: Final = 10  # sessions of one person that are tried for one token
LOOKED_AT: Final = 200  # kept refresh tokens that one read looks at


class ProviderToken(msgspec.Struct, frozen=True):
    """An access token of a person at their provider. It must never leave this process."""

    session: str
    provider: str
    entry: ProviderEntry
    token: str


class NoGrant(Exception):
    """No session of the person has a refresh token. The person must log in again."""


class JobGrants:
    """Uses the grants of people for their jobs, and drops those that no job uses."""

    def __init__(
        self,
        *,
        store: Store,
        grants: Grants,
        endings: SessionEndings,
        outages: Outages,
        work: SessionWork,
        is_used: UsedByJobs,
        clock: Clock,
    ) -> None:
        self._store, self._grants, self._endings = store, grants, endings
        self._outages, self._work, self._is_used, self._clock = outages, work, is_used, clock

    async def provider_token(self, community: str, issuer: str, subject: str) -> ProviderToken:
        """Return an access token of a person, by the newest session that has a refresh token.

        Sessions that the provider refuses end. Raises NoGrant, ProviderAway, BadProvider.
        """
        rows = await self._store.read(
            session_rows.grants,
            community,
            issuer,
            subject,
            self._clock.wall(),
            limit=GRANTS_MAX,
        )
        for row in rows:
            try:
                return await self._work.alone(row.session, partial(self._token, row.session))
            except LoginEnded:
                continue
        raise NoGrant(f"{subject} has no session in {community} that can give tokens")

    def forget_access(self, session: str) -> None:
        """Drop an access token that its provider no longer honours."""
        self._grants.forget_access(session)

    async def drop_useless(self) -> int:
        """Give back refresh tokens that no unfinished job uses any more; return their number."""
        count, after = 0, ""
        while True:
            rows, after = await self._store.read(
                session_rows.useless_grants,
                self._clock.wall(),
                is_used=self._is_used,
                after=after,
                limit=LOOKED_AT,
            )
            for row in rows:
                try:
                    count += await self._work.alone(row.session, partial(self._drop, row.session))
                except NoWorkNow:  # the next round continues
                    return count
            if not after:
                return count

    async def _token(self, session: str) -> ProviderToken:
        """Return an access token of a session. Raises LoginEnded, ProviderAway, BadProvider."""
        row = await self._store.read(session_rows.session_of, session)
        if row is None or not row.refresh:
            raise LoginEnded("it gives no tokens any more")
        try:
            entry = self._grants.provider_of(row)
            token = self._grants.find_access(session) or await self._fetched(row, entry)
        except GrantLost as why:
            raise await self._endings.end(row, str(why)) from None
        return ProviderToken(session, row.provider, entry, token)

    async def _fetched(self, row: LoginSession, entry: ProviderEntry) -> str:
        """Return a new access token. Raises GrantLost, LoginEnded, ProviderAway, BadProvider."""
        if self._outages.is_away(row, RETRY_S):
            raise ProviderAway(f"{row.provider} did not answer a short time ago")
        try:
            _, answer = await self._grants.refresh(row, entry)
        except ProviderAway as why:
            self._outages.note(row, why)
            raise
        return answer.access_token

    async def _drop(self, session: str) -> bool:
        """Give a refresh token back and drop it; return whether that was done.

        It waits for a provider that is away, until the grant is too old.
        """
        row = await self._store.read(session_rows.session_of, session)
        if row is None or not row.refresh:
            return False
        is_away = self._outages.is_away(row, SESSIONS_RETRY_S)
        if self._clock.wall() >= row.ends_at + GRANT_KEPT_S:
            await self._endings.drop_grant(row, "it is too old", at_provider=not is_away)
            return True
        if is_away:
            return False
        try:
            await self._grants.give_back(row)
        except ProviderAway as why:
            self._outages.note(row, why)
            return False
        await self._endings.drop_grant(row, "no unfinished job uses it", at_provider=False)
        return True
