"""Builds the services of a central and joins them: the one module that knows them all.

Everything that touches the world comes in as an argument; `operate/serve.py` gives the real
drivers, tests give fakes.
"""

import asyncio
from dataclasses import dataclass

from pilotage.matcher import Matcher

from .auth.callers import PilotCaller
from .auth.tokens import Tokens
from .bus.bridge import BusBridge
from .bus.downlink import Downlink
from .jobs.aftermath import Aftermath
from .jobs.attempt_ids import AttemptIds
from .jobs.control import Control
from .jobs.counters import Counters
from .jobs.dispatch import Dispatch
from .jobs.explainer import Explainer
from .jobs.feed import Feed
from .jobs.following import Following
from .jobs.health import HealthService
from .jobs.leases import LeaseTable
from .jobs.logs import LiveLogs
from .jobs.pilots import PilotService
from .jobs.presence import Pilots
from .jobs.queries import Queries
from .jobs.queue import Queue
from .jobs.recover import Recovery
from .jobs.sandbox import Sandbox
from .jobs.scope import Owners
from .jobs.submit import Submissions
from .jobs.watch import Watch
from .observe.events import Log
from .ports import Blobs, Bus, Clock, Randomness
from .services import Services
from .settings import Settings
from .store.protocol import Store

TERM = 1  # one leader on SQLite: whoever holds the data directory's lock


@dataclass(frozen=True)
class World:
    """The drivers that a central runs on."""

    store: Store
    blobs: Blobs
    bus: Bus
    clock: Clock
    randomness: Randomness
    log: Log


@dataclass(frozen=True)
class Central:
    """A whole central: services for the faces, and the loops behind them."""

    services: Services
    recovery: Recovery
    watch: Watch
    bridge: BusBridge
    health: HealthService
    queue: Queue

    async def recover(self) -> None:
        """Rebuild memory from the store; then requests may be answered."""
        await self.recovery.run()
        self.health.set_ready(True)

    async def run(self) -> None:
        """Run the loops, for ever. Ends by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.bridge.run())
            tasks.create_task(self.watch.run())


def build(world: World, tokens: Tokens, settings: Settings) -> Central:
    """Return a central on these drivers. `recover` comes next."""
    store, clock, log = world.store, world.clock, world.log
    leases, pilots, counters = LeaseTable(), Pilots(), Counters()
    downlink = Downlink(world.bus)
    matcher = Matcher(compatible=settings.matcher.compatible_os, keep_s=settings.lease.reserve_s)
    queue = Queue(matcher, pilots, downlink, clock, term=TERM)
    owners = Owners(store, settings.token.issuer)
    feed = Feed(clock, store, owners)
    live_logs = LiveLogs(leases, downlink)
    aftermath = Aftermath(
        store=store,
        queue=queue,
        leases=leases,
        pilots=pilots,
        counters=counters,
        feed=feed,
        logs=live_logs,
        bus=world.bus,
        clock=clock,
        log=log,
    )
    dispatch = Dispatch(
        store=store,
        queue=queue,
        leases=leases,
        pilots=pilots,
        aftermath=aftermath,
        attempt_ids=AttemptIds(store),
        tokens=tokens,
        outbound=downlink,
        logs=live_logs,
        blobs=world.blobs,
        clock=clock,
        log=log,
        settings=settings.lease,
        term=TERM,
    )
    submissions = Submissions(
        store=store,
        queue=queue,
        owners=owners,
        counters=counters,
        aftermath=aftermath,
        clock=clock,
        log=log,
    )
    queries = Queries(
        store=store,
        leases=leases,
        owners=owners,
        counters=counters,
        blobs=world.blobs,
        logs=live_logs,
        clock=clock,
        beat_s=settings.lease.lease_s / 3,
    )
    health = HealthService(
        store=store, queue=queue, leases=leases, pilots=pilots, bus=world.bus, clock=clock
    )
    following = Following(queries, live_logs, leases)
    services = Services(
        submissions=submissions,
        queries=queries,
        control=Control(
            store=store,
            queue=queue,
            owners=owners,
            counters=counters,
            aftermath=aftermath,
            outbound=downlink,
            clock=clock,
            log=log,
        ),
        pilots=PilotService(
            store=store,
            pilots=pilots,
            leases=leases,
            queue=queue,
            counters=counters,
            aftermath=aftermath,
            tokens=tokens,
            outbound=downlink,
            bus=world.bus,
            clock=clock,
            randomness=world.randomness,
            log=log,
            settings=settings.lease,
        ),
        dispatch=dispatch,
        sandbox=Sandbox(world.blobs, leases, settings.sandbox),
        logs=following,
        feed=feed,
        explainer=Explainer(
            queue=queue,
            pilots=pilots,
            queries=queries,
            owners=owners,
            clock=clock,
            silent_s=settings.lease.lease_s,
        ),
        tokens=tokens,
        health=health,
    )

    def who(pilot: str) -> PilotCaller | None:
        presence = pilots.find(pilot)
        if presence is None:
            return None
        return PilotCaller(
            pilot=pilot,
            community=presence.community,
            site=presence.site,
            element=presence.element,
        )

    return Central(
        services=services,
        recovery=Recovery(
            store=store,
            queue=queue,
            leases=leases,
            pilots=pilots,
            owners=owners,
            counters=counters,
            submissions=submissions,
            clock=clock,
            settings=settings.lease,
        ),
        watch=Watch(
            dispatch=dispatch,
            store=store,
            queue=queue,
            leases=leases,
            pilots=pilots,
            counters=counters,
            aftermath=aftermath,
            clock=clock,
            log=log,
            settings=settings.lease,
        ),
        bridge=BusBridge(world.bus, dispatch, following, who=who, clock=clock),
        health=health,
        queue=queue,
    )
