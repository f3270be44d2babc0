"""Builds a central without the queue: it takes jobs in, and shows what is stored.

Any number of such processes run beside the one that leads. What needs the leader's memory is handed
on to it (`http/elsewhere.py`), so services that only it has are not built here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pilotage import __version__
from pilotage.proto.api.jobs import Health, Readiness

from ..accounts.disk_room import DiskRoom
from ..catalogue.storage_service import StorageService
from ..dispatch.submissions.api_process import ApiSandbox, ApiSubmissions, left_to_the_leader
from ..identity.scope import Owners
from ..identity.tokens import TokenIssuer
from ..observe.counting_log import CountingLog, counting
from ..observe.events import Log
from ..observe.metrics import MetricsPage
from ..ports import Clock
from ..settings import Settings
from ..store.engine import Store
from ..store.errors import StoreError
from .process_parts import World, parts_of
from .route_assembly import ApiServices

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


class ApiHealth:
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


class ApiMetrics:
    """What there is to measure without a queue."""

    def __init__(self, world: World, log: CountingLog, health: ApiHealth) -> None:
        self._world, self._log, self._health = world, log, health

    async def page(self, requests: Mapping[tuple[str, int], int], /) -> str:
        """Return all metrics as Prometheus reads them."""
        readings = await self._world.readings()
        page, activity = MetricsPage(), self._world.store.activity()
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
class ApiCentral:
    """Services for the face, and what is looked at for ever."""

    services: ApiServices
    submissions: ApiSubmissions
    owners: Owners
    health: ApiHealth
    leader: Leader
    storages: StorageService
    clock: Clock
    log: Log

    async def begin(self) -> None:
        """Learn who has jobs, and who leads; then requests may be answered."""
        await self.owners.learn_all()
        await self.services.quotas.load()
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
            await self.services.room.look()
            if self.clock.monotonic() >= forgot + FORGET_S:
                self.submissions.forget_classes()
                forgot = self.clock.monotonic()
            why = ""
            try:
                async with asyncio.timeout(READ_S):
                    await self.services.tokens.load_revoked()
                    await self.services.quotas.load()
            except (StoreError, TimeoutError) as error:  # the writer ends the process by itself
                why = str(error) or "the database does not answer"
                if why != told:
                    self.log("revoked_unseen", why=why)
            told = why
            self.health.read(why)


def build_api(
    world: World, tokens: TokenIssuer, settings: Settings, leader: LeaderUrl
) -> ApiCentral:
    """Return a central without the queue on these drivers. `begin` comes next."""
    log = counting(world.log)
    world = replace(world, log=log)
    store, clock, parts = world.store, world.clock, parts_of(world, settings)
    memory, allowed = parts.memory, parts.allowed
    health = ApiHealth(store, clock, allowed.room)
    submissions = ApiSubmissions(
        store=store,
        memory=memory,
        clock=clock,
        log=log,
        storages=world.storages,
        quotas=allowed.quotas,
        room=allowed.room,
        queued=left_to_the_leader,
    )
    sandbox = ApiSandbox(
        world.blobs, memory, allowed.holdings, allowed.room, settings.sandbox, store=store
    )
    services = ApiServices(
        submissions=submissions,
        queries=parts.queries,
        data=parts.data,
        sandbox=sandbox,
        series=parts.series,
        quotas=allowed.quotas,
        room=allowed.room,
        tokens=tokens,
        health=health,
        metrics=ApiMetrics(world, log, health),
    )
    return ApiCentral(
        services=services,
        submissions=submissions,
        owners=memory.owners,
        health=health,
        leader=Leader(leader, clock, log),
        storages=parts.storages,
        clock=clock,
        log=log,
    )
