"""Builds the services of a central and joins them: the one module that knows them all.

Everything that touches the world comes in as an argument; `operate/serve.py` gives the real
drivers, tests give fakes.
"""

import asyncio
from dataclasses import dataclass

from pilotage.matcher import Matcher

from .auth.tokens import Tokens
from .bus.bridge import BusBridge
from .bus.downlink import Downlink
from .jobs.aftermath import Aftermath
from .jobs.asks import Asks
from .jobs.attempt_ids import AttemptIds
from .jobs.beats import Beats
from .jobs.classes import Classes
from .jobs.control import Control
from .jobs.counters import Counters
from .jobs.dispatch import Dispatch
from .jobs.explainer import Explainer
from .jobs.feed import Feed
from .jobs.following import Following
from .jobs.health import HealthService
from .jobs.idle import IdleClasses
from .jobs.leases import LeaseTable
from .jobs.logs import LiveLogs
from .jobs.memory import Memory
from .jobs.pilots import PilotService
from .jobs.presence import Pilots
from .jobs.queries import Queries
from .jobs.queue import Queue
from .jobs.recover import Recovery
from .jobs.reports import Reports
from .jobs.requeues import Requeues
from .jobs.sandbox import Sandbox
from .jobs.scope import Owners
from .jobs.submit import Submissions
from .jobs.watch import Watch
from .observe.events import Log
from .ports import Blobs, Bus, Clock, Randomness
from .services import Services
from .settings import LeaseSettings, Settings
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
    memory: Memory
    recovery: Recovery
    watch: Watch
    bridge: BusBridge
    health: HealthService
    pilots: PilotService

    async def recover(self) -> None:
        """Rebuild memory from the store; then requests may be answered."""
        await self.recovery.run()
        self.health.set_ready(True)

    async def run(self) -> None:
        """Run the loops, for ever. Ends by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.bridge.run())
            tasks.create_task(self.watch.run())
            tasks.create_task(self.pilots.login_again())


def build(world: World, tokens: Tokens, settings: Settings) -> Central:
    """Return a central on these drivers. `recover` comes next."""
    store, clock, log, lease = world.store, world.clock, world.log, settings.lease
    downlink = Downlink(world.bus)
    memory = _memory(world, downlink, settings)
    aftermath = Aftermath(store=store, memory=memory, bus=world.bus, clock=clock, log=log)
    requeues = Requeues(
        store=store, memory=memory, aftermath=aftermath, clock=clock, settings=lease
    )
    dispatch = _dispatch(world, memory, aftermath, requeues, tokens, downlink, lease)
    pilots = PilotService(
        store=store,
        memory=memory,
        aftermath=aftermath,
        tokens=tokens,
        outbound=downlink,
        bus=world.bus,
        clock=clock,
        randomness=world.randomness,
        log=log,
        settings=lease,
    )
    submissions = Submissions(store=store, memory=memory, clock=clock, log=log)
    queries = Queries(
        store=store, memory=memory, blobs=world.blobs, clock=clock, beat_s=lease.beat_s
    )
    following = Following(queries, memory.logs, memory.leases)
    idle = IdleClasses(memory, clock)
    health = HealthService(store=store, memory=memory, bus=world.bus, clock=clock)
    services = Services(
        submissions=submissions,
        queries=queries,
        control=Control(
            store=store,
            memory=memory,
            idle=idle,
            aftermath=aftermath,
            outbound=downlink,
            clock=clock,
            log=log,
        ),
        pilots=pilots,
        dispatch=dispatch,
        sandbox=Sandbox(world.blobs, memory.leases, settings.sandbox),
        logs=following,
        feed=memory.feed,
        explainer=Explainer(
            memory=memory, idle=idle, queries=queries, clock=clock, silent_s=lease.lease_s
        ),
        tokens=tokens,
        health=health,
    )
    return Central(
        services=services,
        memory=memory,
        recovery=Recovery(store=store, memory=memory, clock=clock, settings=lease),
        watch=Watch(
            requeues=requeues,
            submissions=submissions,
            store=store,
            memory=memory,
            idle=idle,
            aftermath=aftermath,
            clock=clock,
            log=log,
            settings=lease,
        ),
        bridge=BusBridge(
            world.bus,
            dispatch,
            following,
            who=memory.pilots.caller,
            clock=clock,
            log=log,
            will=pilots.willed,
        ),
        health=health,
        pilots=pilots,
    )


def _dispatch(
    world: World,
    memory: Memory,
    aftermath: Aftermath,
    requeues: Requeues,
    tokens: Tokens,
    downlink: Downlink,
    lease: LeaseSettings,
) -> Dispatch:
    """Return what answers pilots."""
    store, clock, log = world.store, world.clock, world.log
    reports = Reports(
        store=store,
        memory=memory,
        aftermath=aftermath,
        blobs=world.blobs,
        clock=clock,
        log=log,
        settings=lease,
    )
    asks = Asks(
        store=store,
        memory=memory,
        aftermath=aftermath,
        reports=reports,
        requeues=requeues,
        attempt_ids=AttemptIds(store),
        tokens=tokens,
        outbound=downlink,
        clock=clock,
        log=log,
        settings=lease,
    )
    beats = Beats(
        store=store,
        memory=memory,
        aftermath=aftermath,
        requeues=requeues,
        clock=clock,
        settings=lease,
    )
    return Dispatch(
        store=store,
        memory=memory,
        aftermath=aftermath,
        reports=reports,
        asks=asks,
        beats=beats,
        clock=clock,
        term=TERM,
    )


def _memory(world: World, downlink: Downlink, settings: Settings) -> Memory:
    """Return empty memory; `recover` fills it."""
    leases, pilots = LeaseTable(), Pilots()
    owners = Owners(world.store, settings.token.issuer)
    matcher = Matcher(compatible=settings.matcher.compatible_os, keep_s=settings.lease.reserve_s)
    return Memory(
        queue=Queue(matcher, pilots, downlink, world.clock, term=TERM),
        leases=leases,
        pilots=pilots,
        owners=owners,
        classes=Classes(world.store, owners, an_owner_max=settings.matcher.classes_an_owner_max),
        counters=Counters(),
        feed=Feed(world.clock, world.store, owners),
        logs=LiveLogs(leases, downlink),
    )
