"""Joins the parts of the engine and the service of transformations."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pilotage.proto.api.jobs import Action

from ..accounts.disk_room import DiskRoom
from ..accounts.quotas import Quotas
from ..catalogue.storages import Storages
from ..dispatch.memory import Memory
from ..dispatch.submissions.submissions import Submissions
from ..identity.bans.ban_list import BanList
from ..identity.callers import User
from ..observe.events import Log
from ..ports import Clock
from ..rucio.outgoing import RucioEntries
from ..store.engine import Store
from .avoided_hosts import AvoidedHosts
from .engine import Engine
from .input_files import FileReader
from .inputs import InputIndex
from .intake import InputIntake
from .repairs import Repairs
from .retry_groups import RetryAdviser
from .reuse.known_results import KnownResults
from .reuse.tasks import TaskReuse
from .service import TransformationService
from .steering import TransformationControl
from .task_creation import TaskMaker
from .task_ends import TaskEnding


@dataclass(frozen=True)
class Transformations:
    """The parts of transformations in a central."""

    engine: Engine
    service: TransformationService
    kept_off: AvoidedHosts


def transformations(
    *,
    store: Store,
    memory: Memory,
    submissions: Submissions,
    kill: Callable[[User, Action], Awaitable[object]],
    clock: Clock,
    log: Log,
    storages: Storages,
    rucio: RucioEntries,
    repairs: Repairs,
    quotas: Quotas,
    room: DiskRoom,
    bans: BanList,
    known: KnownResults,
) -> Transformations:
    """Return the engine, and the service that answers users."""
    index, files = InputIndex(), FileReader(store, storages)
    engine = Engine(
        store=store,
        index=index,
        intake=InputIntake(store=store, catalogue=store, files=files, index=index, clock=clock),
        making=TaskMaker(
            store=store,
            files=files,
            submissions=submissions,
            classes=memory.classes,
            owners=memory.owners,
            storages=storages,
            adviser=RetryAdviser(repairs, clock),
            hosts=memory.hosts,
            quotas=quotas,
            room=room,
            bans=bans,
            reuse=TaskReuse(store=store, catalogue=store, known=known, clock=clock),
            clock=clock,
            log=log,
        ),
        ending=TaskEnding(store=store, files=files, repairs=repairs, clock=clock, log=log),
        clock=clock,
        log=log,
    )
    steering = TransformationControl(store=store, catalogue=store, kill=kill, clock=clock)
    service = TransformationService(
        store=store,
        catalogue=store,
        owners=memory.owners,
        engine=engine,
        steering=steering,
        storages=storages,
        rucio=rucio,
        clock=clock,
        log=log,
    )
    kept_off = AvoidedHosts(
        store=store, repairs=repairs, hosts=memory.hosts, pilots=memory.pilots, clock=clock
    )
    return Transformations(engine, service, kept_off)
