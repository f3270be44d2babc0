"""The leader's services for logins, payload tokens and bans, with their loops."""

import asyncio
from dataclasses import dataclass

from ..dispatch.banned_jobs import BannedJobs
from ..dispatch.control import JobControl
from ..dispatch.memory import Memory
from ..identity.assembly import (
    IdentityDrivers,
    IdentityServices,
    browser_sessions,
    identity_services,
)
from ..identity.logins.browser_sessions import BrowserSessions
from ..identity.tokens import TokenIssuer
from ..jobs.attempt_callers import AttemptCallers
from ..jobs.record_token_classes import has_jobs_with_tokens
from ..jobs.requested_tokens import RequestedTokensOfJobs
from ..ports import Clock
from .process_parts import World


@dataclass(frozen=True)
class AboutPeople:
    """Services about people, and the loops behind them."""

    services: IdentityServices
    browsers: BrowserSessions
    banned: BannedJobs
    drivers: IdentityDrivers
    clock: Clock

    async def run(self) -> None:
        """Follow providers, sessions and bans. Ends by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.drivers.follow(self.clock))
            tasks.create_task(self.services.sessions.run())
            tasks.create_task(self.services.logins.run())
            tasks.create_task(self.services.payload_tokens.run())
            tasks.create_task(self.banned.run())


def about_people(
    world: World, memory: Memory, tokens: TokenIssuer, control: JobControl
) -> AboutPeople:
    """Return the leader's services for logins, payload tokens and bans."""
    services = identity_services(
        world.identity,
        store=world.store,
        tokens=tokens,
        requested=RequestedTokensOfJobs(world.store, AttemptCallers(memory, world.leadership)),
        is_used=has_jobs_with_tokens,
        clock=world.clock,
        randomness=world.randomness,
        log=world.log,
    )
    banned = BannedJobs(
        store=world.store,
        bans=tokens.bans,
        memory=memory,
        control=control,
        clock=world.clock,
        log=world.log,
    )
    browsers = browser_sessions(world.identity, store=world.store, tokens=tokens, clock=world.clock)
    return AboutPeople(services, browsers, banned, world.identity, world.clock)
