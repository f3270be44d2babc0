"""Joins the parts of the engine and the service of transformations."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pilotage.proto.api import Action

from ..accounts.disk_room import DiskRoom
from ..accounts.quotas import Quotas
from ..catalogue.storages import Storages
from ..dispatch.memory import Memory
from ..dispatch.submissions import Submissions
from ..identity.callers import User
from ..observe.events import Log
from ..ports import Clock
from ..store.engine import Store
from .ending import Ending
from .engine import Engine
from .files import Files
from .inputs import Index
from .intake import Intake
from .kept_off import KeptOff
from .making import Making
from .repairs import Repairs
from .retrying import Retrying
from .service import TransformationService
from .steering import Steering


@dataclass(frozen=True)
class Transformations:
    """What the central has of them."""

    engine: Engine
    service: TransformationService
    kept_off: KeptOff


def transformations(
    *,
    store: Store,
    memory: Memory,
    submissions: Submissions,
    kill: Callable[[User, Action], Awaitable[object]],
    clock: Clock,
    log: Log,
    storages: Storages,
    repairs: Repairs,
    quotas: Quotas,
    room: DiskRoom,
) -> Transformations:
    """Return the engine, and the service that people speak to."""
    index, files = Index(), Files(store, storages)
    engine = Engine(
        store=store,
        index=index,
        intake=Intake(store=store, catalogue=store, files=files, index=index, clock=clock),
        making=Making(
            store=store,
            files=files,
            submissions=submissions,
            classes=memory.classes,
            owners=memory.owners,
            storages=storages,
            retrying=Retrying(repairs, clock),
            hosts=memory.hosts,
            quotas=quotas,
            room=room,
            clock=clock,
            log=log,
        ),
        ending=Ending(store=store, files=files, repairs=repairs, clock=clock, log=log),
        clock=clock,
        log=log,
    )
    steering = Steering(store=store, catalogue=store, kill=kill, clock=clock)
    service = TransformationService(
        store=store,
        catalogue=store,
        owners=memory.owners,
        engine=engine,
        steering=steering,
        storages=storages,
        clock=clock,
        log=log,
    )
    kept_off = KeptOff(
        store=store, repairs=repairs, hosts=memory.hosts, pilots=memory.pilots, clock=clock
    )
    return Transformations(engine, service, kept_off)
