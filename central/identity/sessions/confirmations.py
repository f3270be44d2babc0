"""Providers confirm that the people with sessions still have their groups and role.

A provider is asked at least every CHECK_S seconds while a session is in use. If it refuses, the
session ends. If it is away, the session stays valid for AWAY_MAX_S with the groups last seen. If
it answers, but neither confirms nor ends the grant, the session stays valid for UNCHECKED_S.
"""

from typing import Final

import msgspec

from pilotage.proto.claims import Role

from ...errors import Refused
from ...observe.events import Log
from ...ports import Clock
from ...store.engine import Store
from ..errors import LoginEnded
from ..providers.mapping import choose, read_claims
from ..providers.people import People, ProvidedPerson
from ..providers.provider_files import ALL, ProviderEntry
from ..providers.provider_http import BadProvider, ProviderAway
from . import rows as session_rows
from .endings import SessionEndings
from .grants import GrantLost, Grants
from .outages import RETRY_S, Outages
from .rows import LoginSession

CHECK_S: Final = 3_600.0  # between two confirmations of the groups by the provider
AWAY_MAX_S: Final = 28 * 3_600.0
UNCHECKED_S: Final = 4 * 3_600.0  # life of a session that the provider does not confirm


class Confirmations:
    """Asks providers about people, and stores what they say."""

    def __init__(
        self,
        *,
        store: Store,
        grants: Grants,
        endings: SessionEndings,
        outages: Outages,
        people: People,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._grants, self._endings = store, grants, endings
        self._outages, self._people, self._clock, self._log = outages, people, clock, log

    async def confirmed(self, row: LoginSession) -> LoginSession:
        """Return a session that its provider has confirmed lately. Raises LoginEnded.

        Call it as work on the session.
        """
        if self._clock.wall() - row.checked_at < CHECK_S or not row.refresh:
            return row
        try:
            entry = self._grants.provider_of(row)
            if self._outages.is_away(row, RETRY_S):
                return await self._unconfirmed(row)
            row, answer = await self._grants.refresh(row, entry)
            person = await self._people.described(entry, answer, subject=row.subject)
        except GrantLost as why:
            raise await self._endings.end(row, str(why)) from None
        except (ProviderAway, BadProvider) as why:
            self._outages.note(row, why)
            return await self._unconfirmed(row)
        return await self._stored(row, entry, person)

    async def _stored(
        self, row: LoginSession, entry: ProviderEntry, person: ProvidedPerson
    ) -> LoginSession:
        """Store the groups that a person has now. Raises LoginEnded if the role was lost."""
        try:
            found = read_claims(entry, person.claims)
            rights = choose(found, community=row.community or ALL, role=Role(row.role))
        except Refused:
            why = f"{row.provider} no longer gives you the role {row.role} in {row.community}"
            raise await self._endings.end(row, why) from None
        stored = msgspec.structs.replace(
            row,
            name=person.name if person.is_described else row.name,
            email=person.email if person.is_described else row.email,
            groups=rights.groups,
            checked_at=self._clock.wall(),
        )
        if not await self._store.write(session_rows.keep_check, stored):
            raise LoginEnded("another request ended it")
        return stored

    async def _unconfirmed(self, row: LoginSession) -> LoginSession:
        """Return a session that is not confirmed now. Raises LoginEnded if it is so for too long.

        The sessions of a person share their last failure, also those that are not asked about now.
        """
        most_s = UNCHECKED_S if self._outages.is_refused(row) else AWAY_MAX_S
        if self._clock.wall() - row.checked_at >= most_s:
            why = f"{row.provider} has not confirmed it for {most_s / 3_600:.0f} hours"
            raise await self._endings.end(row, why)
        return row
