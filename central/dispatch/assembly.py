"""Builds the parts that several services of a central share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..accounts.disk_room import DiskRoom
from ..accounts.holdings import Holdings
from ..accounts.quotas import Quotas
from ..catalogue.storages import Storages
from ..identity.bans.ban_list import BanList
from ..identity.tokens import TokenIssuer
from ..jobs.queries import Queries
from ..observe.events import Log
from ..pilots.logs import LogRoom, PilotLogService
from ..ports import Blobs, Bus, Clock, Leadership, Space
from ..rucio.drivers import RucioDrivers
from ..settings import LeaseSettings, RetentionSettings, Settings
from ..store.engine import Store
from ..store.probe import StoreProbe
from .follow_up import FollowUp
from .health import HealthService
from .memory import Memory
from .submissions.remote_arrivals import Also, ArrivalPoller
from .submissions.submissions import Submissions
from .turns.requeues import Requeues


class Drivers(Protocol):
    """The drivers of a central that this module needs."""

    @property
    def store(self) -> Store: ...
    @property
    def blobs(self) -> Blobs: ...
    @property
    def bus(self) -> Bus: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def log(self) -> Log: ...
    @property
    def storages(self) -> Storages: ...
    @property
    def rucio(self) -> RucioDrivers: ...
    @property
    def space(self) -> Space: ...
    @property
    def leadership(self) -> Leadership: ...
    async def check_notify(self, owner_id: int, /) -> None:
        """Raise Refused unless this owner can be notified of one thing more."""
        ...


@dataclass(frozen=True)
class SharedLimits:
    """Quotas, holders of contents and room on the disk, shared by all services."""

    quotas: Quotas
    holdings: Holdings
    room: DiskRoom


def allowances(drivers: Drivers, memory: Memory, settings: Settings) -> SharedLimits:
    """Return the shared allowances. Call `quotas.load` next."""
    store, clock, log, issuer = drivers.store, drivers.clock, drivers.log, settings.token.issuer
    quotas = Quotas(store, memory, clock, log, settings.quota, local_issuer=issuer)
    return SharedLimits(
        quotas,
        Holdings(store, drivers.blobs, clock, memory.owners, quotas),
        DiskRoom(drivers.space, clock, log, reserve_mb=settings.store.reserve_mb),
    )


def submissions(
    drivers: Drivers, memory: Memory, allowed: SharedLimits, follow_up: FollowUp, bans: BanList
) -> Submissions:
    """Return the service that accepts submissions."""
    return Submissions(
        store=drivers.store,
        memory=memory,
        clock=drivers.clock,
        log=drivers.log,
        storages=drivers.storages,
        quotas=allowed.quotas,
        room=allowed.room,
        bans=bans,
        queued=follow_up.submitted,
        rucio=drivers.rucio.entries,
        check_notify=drivers.check_notify,
    )


def arrivals(
    drivers: Drivers, memory: Memory, follow_up: FollowUp, also: Sequence[Also]
) -> ArrivalPoller:
    """Return the poller that queues the jobs that other processes have stored."""
    return ArrivalPoller(
        store=drivers.store,
        memory=memory,
        follow_up=follow_up,
        clock=drivers.clock,
        log=drivers.log,
        also=also,
    )


def health_service(
    drivers: Drivers, memory: Memory, probe: StoreProbe, allowed: SharedLimits
) -> HealthService:
    """Return the service that reports the health of the central."""
    return HealthService(
        store=drivers.store,
        memory=memory,
        bus=drivers.bus,
        clock=drivers.clock,
        probe=probe,
        room=allowed.room,
        leadership=drivers.leadership,
    )


def ends(
    drivers: Drivers, memory: Memory, tokens: TokenIssuer, lease: LeaseSettings
) -> tuple[FollowUp, Requeues]:
    """Return the parts that handle ended attempts and expired leases."""
    store, clock = drivers.store, drivers.clock
    follow_up = FollowUp(
        store=store, memory=memory, bus=drivers.bus, tokens=tokens, clock=clock, log=drivers.log
    )
    requeues = Requeues(
        store=store, memory=memory, follow_up=follow_up, clock=clock, settings=lease
    )
    return follow_up, requeues


def pilot_logs(
    drivers: Drivers, memory: Memory, queries: Queries, settings: RetentionSettings
) -> PilotLogService:
    """Return the service that stores the logs of pilots."""
    return PilotLogService(
        store=drivers.store,
        memory=memory,
        queries=queries,
        room=LogRoom(drivers.store, drivers.clock, settings),
        clock=drivers.clock,
        settings=settings,
    )
