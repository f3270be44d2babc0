"""The work of the leader on storages: copies and removals without a pilot."""

from dataclasses import dataclass

from ..dispatch.memory import Memory
from ..dispatch.submissions.submissions import Submissions
from ..identity.bans.ban_list import BanList
from ..jobs.attempt_callers import AttemptCallers
from ..jobs.storage_credentials import StorageCredentials
from ..observe.wall_clock import WallClockWatch
from ..settings import Settings
from ..transfers.central_sweeps import CentralSweeps
from ..transfers.own_work import OwnWork
from ..transfers.rule_loop import CopyRuleLoop
from ..transfers.sweep_loop import Sweeper
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
    copies = ThirdPartyCopies(
        store=world.store,
        storages=world.storages,
        remote=remote,
        work=work,
        clock=world.clock,
        log=world.log,
    )
    sweeps = CentralSweeps(
        store=world.store,
        remote=remote,
        work=work,
        clock=world.clock,
        log=world.log,
        after_s=settings.data.sweep_after_s,
    )
    return StorageWork(work, copies, sweeps)


def copy_rules(
    world: World, submissions: Submissions, bans: BanList, own: StorageWork
) -> CopyRuleLoop:
    """Return the loop that carries out the rules for copies."""
    return CopyRuleLoop(
        world.store,
        world.storages,
        submissions,
        bans,
        clock=world.clock,
        log=world.log,
        third_party=own.copies,
    )


def storage_credentials(world: World, memory: Memory) -> StorageCredentials:
    """Return the service that gives credentials for storages."""
    return StorageCredentials(
        store=world.store,
        attempts=AttemptCallers(memory, world.leadership),
        owners=memory.owners,
        storages=world.storages,
        remote=world.remote,
        clock=world.clock,
    )


def sweeper(
    world: World,
    submissions: Submissions,
    wall: WallClockWatch,
    settings: Settings,
    own: StorageWork,
) -> Sweeper:
    """Return the sweeper, which removes files without a catalogue entry from storages."""
    return Sweeper(
        world.store,
        world.storages,
        submissions,
        clock=world.clock,
        log=world.log,
        is_trusted=wall.is_trusted,
        after_s=settings.data.sweep_after_s,
        keeps=world.rucio.keeps,
        here=own.sweeps,
    )
