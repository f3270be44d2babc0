"""The work of the leader on storages: copies and removals without a pilot."""

from dataclasses import dataclass

from ..catalogue.remote.webdav import WebDav
from ..settings import Settings
from ..transfers.central_sweeps import CentralSweeps
from ..transfers.own_work import OwnWork
from ..transfers.third_party_copies import ThirdPartyCopies
from .process_parts import World


@dataclass(frozen=True)
class StorageWork:
    """What makes copies and sweeps without jobs; None: jobs do all of it."""

    work: OwnWork
    copies: ThirdPartyCopies | None = None
    sweeps: CentralSweeps | None = None


def storage_work(world: World, settings: Settings) -> StorageWork:
    """Return the leader's own work on storages."""
    work, remote = OwnWork(), world.remote
    if remote is None:
        return StorageWork(work)
    dav = WebDav(remote.http)
    copies = ThirdPartyCopies(
        store=world.store,
        storages=world.storages,
        dav=dav,
        tokens=remote.tokens,
        work=work,
        clock=world.clock,
        log=world.log,
    )
    sweeps = CentralSweeps(
        store=world.store,
        dav=dav,
        tokens=remote.tokens,
        work=work,
        clock=world.clock,
        log=world.log,
        after_s=settings.data.sweep_after_s,
    )
    return StorageWork(work, copies, sweeps)
