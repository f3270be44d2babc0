"""Joins what bounds the use of a central with the services that ask it."""

from dataclasses import dataclass
from typing import Protocol

from ..data.storages import Storages
from ..observe.events import Log
from ..ports import Blobs, Bus, Clock, Space
from ..settings import Settings
from ..store.protocol import Store
from .disk_room import DiskRoom
from .health import HealthService
from .holdings import Holdings
from .memory import Memory
from .probe import StoreProbe
from .quotas import Quotas
from .submit import Submissions


class Drivers(Protocol):
    """What a central runs on, as far as it is needed here."""

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


@dataclass(frozen=True)
class Allowances:
    """Quotas, who holds which content, the room on the disk: one of each for all services."""

    quotas: Quotas
    holdings: Holdings
    room: DiskRoom


def allowances(world: Drivers, memory: Memory, settings: Settings) -> Allowances:
    """Return them; `quotas.load` comes next."""
    store, clock, log, issuer = world.store, world.clock, world.log, settings.token.issuer
    quotas = Quotas(store, memory, clock, log, settings.quota, local_issuer=issuer)
    return Allowances(
        quotas,
        Holdings(store, world.blobs, clock, memory.owners, quotas),
        DiskRoom(world.space, clock, log, reserve_mb=settings.store.reserve_mb),
    )


def submissions(world: Drivers, memory: Memory, allowed: Allowances) -> Submissions:
    """Return what takes jobs in."""
    return Submissions(
        store=world.store,
        memory=memory,
        clock=world.clock,
        log=world.log,
        storages=world.storages,
        quotas=allowed.quotas,
        room=allowed.room,
    )


def health_service(
    world: Drivers, memory: Memory, probe: StoreProbe, allowed: Allowances
) -> HealthService:
    """Return what says how the central is."""
    return HealthService(
        store=world.store,
        memory=memory,
        bus=world.bus,
        clock=world.clock,
        probe=probe,
        room=allowed.room,
    )
