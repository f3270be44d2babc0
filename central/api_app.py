"""Builds a central without the queue: it takes jobs in, and shows what is stored.

Any number of such processes run beside the one that leads. What needs the leader's memory is handed
on to it (`http/elsewhere.py`), so services that only it has are not built here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pilotage import __version__
from pilotage.matcher import Matcher
from pilotage.proto.api import Health, Readiness

from .accounts.counters import Counters
from .accounts.disk_room import DiskRoom
from .accounts.series import SeriesService
from .accounts.tally import Tally
from .app.central import World
from .app.faces import ApiServices
from .bus.downlink import Downlink
from .catalogue.service import CatalogueService
from .catalogue.storage_service import StorageService
from .dispatch.beside import SandboxBeside, SubmissionsBeside, left_to_the_leader
from .dispatch.joined import Allowances, allowances
from .dispatch.memory import Memory
from .dispatch.queue import Queue
from .identity.scope import Owners
from .identity.tokens import Tokens
from .jobs.classes import Classes
from .jobs.feed import Feed
from .jobs.leases import LeaseTable
from .jobs.live_logs import LiveLogs
from .jobs.queries import Queries, jobs_by_id
from .observe.counting import CountingLog, counting
from .observe.events import Log
from .observe.metrics import Page
from .pilots.presence import Pilots
from .ports import Clock
from .settings import Settings
from .store.engine import Store
from .store.errors import StoreError

LOOK_S: Final = 1.0
FORGET_S: Final = 300.0  # classes, as long as those are kept of which no job is left
READ_S: Final = 5.0  # for one look; then it is told, and looked again
LeaderUrl = Callable[[], Awaitable[str | None]]  # of the process that leads, as the store says it


class Leader:
    """Who leads, as far as this process knows."""

    def __init__(self, look: LeaderUrl, clock: Clock, log: Log) -> None:
        self._look, self._clock, self._log = look, clock, log
        self._url: str | None = None
        self._told = ""

    def url(self) -> str | None:
        return self._url

    async def look(self) -> None:
        """Read it once. What cannot be read leaves it as it was: the leader itself will say."""
        try:
            async with asyncio.timeout(READ_S):
                found = await self._look()
        except (StoreError, TimeoutError) as error:
            why = str(error) or "the database does not answer"
            if why != self._told:
                self._log("leader_unknown", why=why)
            self._told = why
            return
        self._told = ""
        if found != self._url:
            self._log("leader_found", url=found or "none")
        self._url = found


class HealthBeside:
    """That this process lives, and whether requests are taken here."""

    def __init__(self, store: Store, clock: Clock, room: DiskRoom) -> None:
        self._store, self._clock, self._room = store, clock, room
        self._since = clock.monotonic()
        self._ready = False
        self._why = "ok"

    def set_ready(self, ready: bool) -> None:
        self._ready = ready

    def read(self, why: str) -> None:
        """The database was read, or why not."""
        self._why = why or "ok"

    def health(self) -> Health:
        """Of jobs, attempts and pilots only the leader knows."""
        return Health(
            status="api",
            version=__version__,
            gen=self._store.generation,
            jobs_waiting=0,
            attempts=0,
            pilots=0,
            bus="none",
            uptime_s=round(self._clock.monotonic() - self._since, 1),
        )

    def ready(self) -> Readiness:
        is_read = self._why == "ok"
        return Readiness(
            ready=self._ready and is_read and self._room.takes_new,
            loaded=self._ready,
            store=self._why,
            bus="none",
            disk=self._room.short or "ok",
        )


class MetricsBeside:
    """What there is to measure without a queue."""

    def __init__(self, world: World, log: CountingLog, health: HealthBeside) -> None:
        self._world, self._log, self._health = world, log, health

    async def page(self, requests: Mapping[tuple[str, int], int], /) -> str:
        """Return all metrics as Prometheus reads them."""
        readings = await self._world.readings()
        page, activity = Page(), self._world.store.activity()
        page.put_all("pilotage_build_info", {__version__: 1})
        page.put("pilotage_ready", self._health.ready().ready)
        page.put("pilotage_leads", 0)
        page.put("pilotage_disk_short", self._health.ready().disk != "ok")
        page.put("pilotage_uptime_seconds", self._health.health().uptime_s)
        page.put_all("pilotage_events_total", self._log.counts)
        page.put_pairs("pilotage_http_requests_total", requests)
        page.put("pilotage_store_operations_total", activity.operations)
        page.put("pilotage_store_commits_total", activity.commits)
        for name, value in readings.items():
            if ":" not in name:
                page.put(name, value)
        return page.text()


@dataclass(frozen=True)
class CentralBeside:
    """Services for the face, and what is looked at for ever."""

    services: ApiServices
    submissions: SubmissionsBeside
    owners: Owners
    allowed: Allowances
    health: HealthBeside
    leader: Leader
    storages: StorageService
    tokens: Tokens
    store: Store
    clock: Clock
    log: Log

    async def begin(self) -> None:
        """Learn who has jobs, and who leads; then requests may be answered."""
        await self.owners.learn_all()
        await self.allowed.quotas.load()
        await self.leader.look()
        self.health.set_ready(True)

    async def run(self) -> None:
        """Run the loops, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look())
            tasks.create_task(self.storages.run())

    async def _look(self) -> None:
        """Look each second who leads, and which tokens were revoked elsewhere. For ever."""
        told, forgot = "", self.clock.monotonic()
        while True:
            await self.clock.sleep(LOOK_S)
            await self.leader.look()
            await self.allowed.room.look()
            if self.clock.monotonic() >= forgot + FORGET_S:
                self.submissions.forget_classes()
                forgot = self.clock.monotonic()
            why = ""
            try:
                async with asyncio.timeout(READ_S):
                    await self.tokens.load_revoked()
                    await self.allowed.quotas.load()
            except (StoreError, TimeoutError) as error:  # the writer ends the process by itself
                why = str(error) or "the database does not answer"
                if why != told:
                    self.log("revoked_unseen", why=why)
            told = why
            self.health.read(why)


def build_beside(
    world: World, tokens: Tokens, settings: Settings, leader: LeaderUrl
) -> CentralBeside:
    """Return a central without the queue on these drivers. `begin` comes next."""
    log = counting(world.log)
    store, clock = world.store, world.clock
    memory = _memory(world, settings)
    allowed = allowances(world, memory, settings)
    health = HealthBeside(store, clock, allowed.room)
    queries = Queries(
        store=store,
        memory=memory,
        blobs=world.blobs,
        clock=clock,
        beat_s=settings.lease.beat_s,
    )
    submissions = SubmissionsBeside(
        store=store,
        memory=memory,
        clock=clock,
        log=log,
        storages=world.storages,
        quotas=allowed.quotas,
        room=allowed.room,
        queued=left_to_the_leader,
    )
    sandbox = SandboxBeside(
        world.blobs, memory, allowed.holdings, allowed.room, settings.sandbox, store=store
    )
    services = ApiServices(
        submissions=submissions,
        queries=queries,
        data=CatalogueService(
            store, memory.owners, clock, log, world.storages, job_of=jobs_by_id(store)
        ),
        sandbox=sandbox,
        series=SeriesService(store, memory.owners, clock),
        quotas=allowed.quotas,
        room=allowed.room,
        tokens=tokens,
        health=health,
        metrics=MetricsBeside(world, log, health),
    )
    return CentralBeside(
        services=services,
        submissions=submissions,
        owners=memory.owners,
        allowed=allowed,
        health=health,
        leader=Leader(leader, clock, log),
        storages=StorageService(world.storages, clock),
        tokens=tokens,
        store=store,
        clock=clock,
        log=log,
    )


def _memory(world: World, settings: Settings) -> Memory:
    """Return memory that stays empty, but for owners and classes."""
    leases, pilots, downlink = LeaseTable(), Pilots(), Downlink(world.bus)
    owners = Owners(world.store, settings.token.issuer)
    matcher = Matcher(settings.matcher.rules(keep_s=settings.lease.reserve_s))
    return Memory(
        queue=Queue(matcher, pilots, downlink, world.clock, term=0),
        leases=leases,
        pilots=pilots,
        owners=owners,
        classes=Classes(world.store, owners, an_owner_max=settings.matcher.classes_an_owner_max),
        counters=Counters(),
        tally=Tally(),
        feed=Feed(world.clock, world.store, owners),
        logs=LiveLogs(leases, downlink),
    )
