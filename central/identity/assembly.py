"""Joins the parts of logins through identity providers."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from ..observe.events import Log
from ..ports import Clock, Randomness
from ..store.engine import Store
from .logins.browser_sessions import BrowserSessions
from .logins.service import LoginService
from .payload_tokens.requested_tokens import RequestedToken, RequestedTokens
from .payload_tokens.service import PayloadTokens
from .providers.client_requests import ClientRequests
from .providers.id_tokens import IdTokenReader
from .providers.oauth import OAuth, SecretOf
from .providers.outside_tokens import OutsideTokens
from .providers.people import People
from .providers.provider_files import Providers
from .providers.provider_keys import ProviderKeys
from .sessions import rows as session_rows
from .sessions.assembly import SessionServices, session_services
from .sessions.cipher import TokenCipher
from .sessions.rows import UsedByJobs
from .tokens import TokenIssuer

CIPHER: Final = "refresh tokens of providers"
LOOK_S: Final = 5.0  # between looks for changed files of providers


@dataclass
class OwnAddress:
    """The URL of this central. With a free port it is known only after the port was bound."""

    url: str = ""


@dataclass(frozen=True)
class IdentityDrivers:
    """The drivers for identity providers, in each process."""

    providers: Providers
    requests: ClientRequests
    secret_of: SecretOf
    keys: ProviderKeys
    outside: OutsideTokens
    address: OwnAddress = field(default_factory=OwnAddress)

    async def follow(self, clock: Clock) -> None:
        """Follow the files and the keys of providers. Ends by cancellation."""
        if self.providers.folder is None:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.keys.run())
            while True:
                await clock.sleep(LOOK_S)
                await asyncio.to_thread(self.providers.look)  # a hanging disk blocks this loop only


def browser_sessions(
    drivers: IdentityDrivers, *, store: Store, tokens: TokenIssuer, clock: Clock
) -> BrowserSessions:
    """Return the reader of browsers' cookies, which every process has."""
    return BrowserSessions(
        store,
        clock,
        url=lambda: drivers.address.url,
        is_ended=tokens.is_session_ended,
        bans=tokens.bans,
    )


@dataclass(frozen=True)
class IdentityServices:
    """The services of the process that leads."""

    logins: LoginService
    sessions: SessionServices
    payload_tokens: PayloadTokens


def identity_services(
    drivers: IdentityDrivers,
    *,
    store: Store,
    tokens: TokenIssuer,
    requested: RequestedTokens,
    is_used: UsedByJobs,
    clock: Clock,
    randomness: Randomness,
    log: Log,
) -> IdentityServices:
    """Return the services about people of the process that leads.

    `is_used` tells which refresh tokens unfinished jobs use.
    """
    oauth = OAuth(drivers.requests, drivers.secret_of)
    people = People(oauth, IdTokenReader(drivers.keys, clock))
    sessions = session_services(
        store=store,
        tokens=tokens,
        bans=tokens.bans,
        providers=drivers.providers,
        oauth=oauth,
        people=people,
        cipher=TokenCipher(tokens.cipher_key(CIPHER), randomness),
        is_used=is_used,
        clock=clock,
        randomness=randomness,
        log=log,
    )
    logins = LoginService(
        providers=drivers.providers,
        oauth=oauth,
        people=people,
        sessions=sessions.logins,
        unused=sessions.unused,
        work=sessions.work,
        url=lambda: drivers.address.url,
        clock=clock,
        randomness=randomness,
        log=log,
    )

    async def gives_tokens(session: str) -> bool:
        return await store.read(session_rows.gives_tokens, session, clock.wall())

    async def newest_session(wanted: RequestedToken) -> str:
        person = wanted.community, wanted.issuer, wanted.subject
        rows = await store.read(session_rows.grants, *person, clock.wall(), limit=1)
        return rows[0].session if rows else ""

    giving = PayloadTokens(
        requested=requested,
        sessions=sessions.job_grants,
        oauth=oauth,
        clock=clock,
        log=log,
        is_banned=lambda issuer, subject: tokens.bans.find(issuer, subject) is not None,
        gives_tokens=gives_tokens,
        newest_session=newest_session,
    )
    return IdentityServices(logins, sessions, giving)
