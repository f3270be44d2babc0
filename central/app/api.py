"""Builds a central without the queue, which takes jobs and shows the store.

Any number of such processes run beside the leader. They forward requests that need the leader's
memory (`http/forwarding.py`), so the services for those are not built here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from pilotage import __version__
from pilotage.proto.api.health import Health, Readiness

from ..accounts.disk_room import DiskRoom
from ..catalogue.storage_service import StorageService
from ..dispatch.submissions.api_process import ApiSubmissions, StoredAttempts, left_to_the_leader
from ..identity.assembly import IdentityDrivers, browser_sessions
from ..identity.scope import Owners
from ..identity.tokens import TokenIssuer
from ..jobs.blobs.sandbox import Sandbox
from ..observe.counting_log import CountingLog, counting
from ..observe.events import Log
from ..observe.metrics import MetricsPage
from ..ports import Clock
from ..settings import Settings
from ..store.engine import Store
from ..store.errors import StoreError
from .process_parts import World, ban_service, parts_of
from .route_assembly import ApiServices

LOOK_S: Final = 1.0
FORGET_S: Final = 300.0  # interval at which unused job classes are dropped
READ_S: Final = 5.0  # for one read; then the failure is logged, and the read repeated
LeaderUrl = Callable[[], Awaitable[str | None]]  # of the leader, as the store has it


class Leader:
    """The leader, as far as this process knows."""

    def __init__(self, look: LeaderUrl, clock: Clock, log: Log) -> None:
        self._look, self._clock, self._log = look, clock, log
        self._url: str | None = None
        self._logged_why = ""

    def url(self) -> str | None:
        return self._url

    async def look(self) -> None:
        """Read the leader once. If that fails, keep the last one, which redirects if necessary."""
        try:
            async with asyncio.timeout(READ_S):
                found = await self._look()
        except (StoreError, TimeoutError) as error:
            why = str(error) or "the database does not answer"
            if why != self._logged_why:
                self._log("leader_unknown", why=why)
            self._logged_why = why
            return
        self._logged_why = ""
        if found != self._url:
            self._log("leader_found", url=found or "none")
        self._url = found


class ApiHealth:
    """The health of this process, and whether it takes requests."""

    def __init__(self, store: Store, clock: Clock, room: DiskRoom) -> None:
        self._store, self._clock, self._room = store, clock, room
        self._since = clock.monotonic()
        self._ready = False
        self._why = "ok"

    def set_ready(self, ready: bool) -> None:
        self._ready = ready

    def read(self, why: str) -> None:
        """Record the result of a read of the database; `why` is empty after a success."""
        self._why = why or "ok"

    def health(self) -> Health:
        """Return the health; only the leader can count jobs, attempts and pilots."""
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
    """The metrics of a process without a queue."""

    def __init__(self, world: World, log: CountingLog, health: ApiHealth) -> None:
        self._world, self._log, self._health = world, log, health

    async def page(self, requests: Mapping[tuple[str, int], int], /) -> str:
        """Return all metrics in the format of Prometheus."""
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
    """Services for the face, and the loops behind them."""

    services: ApiServices
    submissions: ApiSubmissions
    owners: Owners
    health: ApiHealth
    leader: Leader
    storages: StorageService
    clock: Clock
    log: Log
    identity: IdentityDrivers

    async def begin(self) -> None:
        """Read the owners, the quotas and the leader; then requests may be answered."""
        await self.owners.learn_all()
        await self.services.quotas.load()
        await self.leader.look()
        self.health.set_ready(True)

    async def run(self) -> None:
        """Run the loops. Ends by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._look())
            tasks.create_task(self.storages.run())
            tasks.create_task(self.identity.follow(self.clock))

    async def _look(self) -> None:
        """Read the leader, revoked tokens, bans and quotas each second. Ends by cancellation."""
        logged, forgot = "", self.clock.monotonic()
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
            except (StoreError, TimeoutError) as error:  # the writer ends the process if need be
                why = str(error) or "the database does not answer"
                if why != logged:
                    self.log("revoked_unseen", why=why)
            logged = why
            self.health.read(why)


def build_api(
    world: World, tokens: TokenIssuer, settings: Settings, leader: LeaderUrl
) -> ApiCentral:
    """Return a central without the queue on these drivers. Call `begin` next."""
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
        bans=tokens.bans,
        queued=left_to_the_leader,
        check_notify=world.check_notify,
    )
    sandbox = Sandbox(
        world.blobs,
        StoredAttempts(store, memory.owners),
        allowed.holdings,
        allowed.room,
        settings.sandbox,
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
        browsers=browser_sessions(world.identity, store=store, tokens=tokens, clock=clock),
        bans=ban_service(world, memory, settings, tokens),
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
        identity=world.identity,
    )
