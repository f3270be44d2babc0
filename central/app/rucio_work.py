"""The work of the leader with Rucio servers: inputs come in, outputs go out."""

from dataclasses import dataclass

from ..dispatch.completing import CompletingJobs
from ..dispatch.control import JobControl
from ..dispatch.memory import Memory
from ..rucio.mirror import RucioMirrors
from ..rucio.publisher import OutboxPublisher
from ..rucio.service import RucioService
from .process_parts import World


@dataclass(frozen=True)
class RucioWork:
    """The loops over Rucio servers, and the service that shows them."""

    mirrors: RucioMirrors
    outbox: OutboxPublisher
    service: RucioService


def rucio_work(world: World, memory: Memory, control: JobControl) -> RucioWork:
    """Return the work with Rucio servers."""
    mirrors = RucioMirrors(
        world.rucio,
        store=world.store,
        owners=memory.owners,
        storages=world.storages,
        clock=world.clock,
        log=world.log,
    )
    outbox = OutboxPublisher(
        world.rucio,
        store=world.store,
        storages=world.storages,
        end_jobs=CompletingJobs(control, world.clock).end,
        clock=world.clock,
        log=world.log,
    )
    return RucioWork(mirrors, outbox, RucioService(world.rucio, mirrors, outbox, world.store))
