"""Joins the parts of sessions."""

import asyncio
from dataclasses import dataclass

from ...observe.events import Log
from ...ports import Clock, Randomness
from ...store.engine import Store
from ..bans.ban_list import BanList
from ..providers.oauth import OAuth
from ..providers.people import People
from ..providers.provider_files import Providers
from .browser_checks import BrowserChecks
from .cipher import TokenCipher
from .confirmations import Confirmations
from .endings import SessionEndings
from .grants import Grants
from .job_grants import JobGrants
from .life import LoginSessions, SessionTokens
from .outages import Outages
from .rows import UsedByJobs
from .session_work import SessionWork
from .unused_grants import UnusedGrants


@dataclass(frozen=True)
class SessionServices:
    """The services of sessions, and the loops behind them."""

    logins: LoginSessions
    job_grants: JobGrants
    browsers: BrowserChecks
    unused: UnusedGrants
    work: SessionWork

    async def run(self) -> None:
        """Carry work to its end, check browsers, and give tokens back. Ends by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.work.run())
            tasks.create_task(self.browsers.run())
            tasks.create_task(self.unused.run())


def session_services(
    *,
    store: Store,
    tokens: SessionTokens,
    bans: BanList,
    providers: Providers,
    oauth: OAuth,
    people: People,
    cipher: TokenCipher,
    is_used: UsedByJobs,
    clock: Clock,
    randomness: Randomness,
    log: Log,
) -> SessionServices:
    """Return the services of sessions. `is_used` tells which grants unfinished jobs use."""
    work, outages = SessionWork(clock), Outages(clock, log)
    grants = Grants(
        store=store,
        providers=providers,
        oauth=oauth,
        cipher=cipher,
        outages=outages,
        clock=clock,
        log=log,
    )
    endings = SessionEndings(
        store=store,
        tokens=tokens,
        grants=grants,
        is_used=is_used,
        clock=clock,
        log=log,
    )
    confirmations = Confirmations(
        store=store,
        grants=grants,
        endings=endings,
        outages=outages,
        people=people,
        clock=clock,
        log=log,
    )
    job_grants = JobGrants(
        store=store,
        grants=grants,
        endings=endings,
        outages=outages,
        work=work,
        is_used=is_used,
        clock=clock,
    )
    browsers = BrowserChecks(
        store=store, confirmations=confirmations, work=work, clock=clock, log=log
    )
    logins = LoginSessions(
        store=store,
        tokens=tokens,
        bans=bans,
        grants=grants,
        endings=endings,
        confirmations=confirmations,
        work=work,
        clock=clock,
        randomness=randomness,
        log=log,
    )
    unused = UnusedGrants(store=store, providers=providers, oauth=oauth, clock=clock, log=log)
    return SessionServices(logins, job_grants, browsers, unused, work)
