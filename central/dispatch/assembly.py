"""Builds the parts that several services of a central share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ..accounts.disk_room import DiskRoom
from ..accounts.holdings import Holdings
from ..accounts.quotas import Quotas
from ..catalogue.storages import Storages
from ..identity.tokens import TokenIssuer
from ..jobs.queries import Queries
from ..observe.events import Log
from ..pilots.logs import LogRoom, PilotLogService
from ..ports import Blobs, Bus, Clock, Leadership, Space
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
    def space(self) -> Space: ...
    @property
    def leadership(self) -> Leadership: ...


@dataclass(frozen=True)
class Allowances:
    """Quotas, holders of contents and room on the disk, shared by all services."""

    quotas: Quotas
    holdings: Holdings
    room: DiskRoom


def allowances(world: Drivers, memory: Memory, settings: Settings) -> Allowances:
    """Return the shared allowances. Call `quotas.load` next."""
    store, clock, log, issuer = world.store, world.clock, world.log, settings.token.issuer
    quotas = Quotas(store, memory, clock, log, settings.quota, local_issuer=issuer)
    return Allowances(
        quotas,
        Holdings(store, world.blobs, clock, memory.owners, quotas),
        DiskRoom(world.space, clock, log, reserve_mb=settings.store.reserve_mb),
    )


def submissions(
    world: Drivers, memory: Memory, allowed: Allowances, follow_up: FollowUp
) -> Submissions:
    """Return the service that accepts submissions."""
    return Submissions(
        store=world.store,
        memory=memory,
        clock=world.clock,
        log=world.log,
        storages=world.storages,
        quotas=allowed.quotas,
        room=allowed.room,
        queued=follow_up.submitted,
    )


def arrivals(
    world: Drivers, memory: Memory, follow_up: FollowUp, also: Sequence[Also]
) -> ArrivalPoller:
    """Return the poller that queues the jobs that other processes have stored."""
    return ArrivalPoller(
        store=world.store,
        memory=memory,
        follow_up=follow_up,
        clock=world.clock,
        log=world.log,
        also=also,
    )


def health_service(
    world: Drivers, memory: Memory, probe: StoreProbe, allowed: Allowances
) -> HealthService:
    """Return the service that reports the health of the central."""
    return HealthService(
        store=world.store,
        memory=memory,
        bus=world.bus,
        clock=world.clock,
        probe=probe,
        room=allowed.room,
        leadership=world.leadership,
    )


def ends(
    world: Drivers, memory: Memory, tokens: TokenIssuer, lease: LeaseSettings
) -> tuple[FollowUp, Requeues]:
    """Return the parts that handle ended attempts and expired leases."""
    store, clock = world.store, world.clock
    follow_up = FollowUp(
        store=store, memory=memory, bus=world.bus, tokens=tokens, clock=clock, log=world.log
    )
    requeues = Requeues(
        store=store, memory=memory, follow_up=follow_up, clock=clock, settings=lease
    )
    return follow_up, requeues


def pilot_logs(
    world: Drivers, memory: Memory, queries: Queries, settings: RetentionSettings
) -> PilotLogService:
    """Return the service that stores the logs of pilots."""
    return PilotLogService(
        store=world.store,
        memory=memory,
        queries=queries,
        room=LogRoom(world.store, world.clock, settings),
        clock=world.clock,
        settings=settings,
    )
