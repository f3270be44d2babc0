"""The drivers that a central runs on, and the parts that processes of all roles have."""

from dataclasses import dataclass, field

from pilotage.matcher import Matcher

from ..accounts.counters import Counters
from ..accounts.disk_room import NoDisk
from ..accounts.series import SeriesService
from ..accounts.tally import Tally
from ..bus.downlink import Downlink
from ..catalogue.remote.storage_checks import StorageChecks
from ..catalogue.remote.storage_http import RemoteStorages
from ..catalogue.service import CatalogueService
from ..catalogue.storage_service import StorageService
from ..catalogue.storages import Storages
from ..cwl_runs.evaluator_link import Evaluates
from ..dispatch.assembly import SharedLimits, allowances
from ..dispatch.limits import Policy
from ..dispatch.memory import Memory
from ..dispatch.metrics import Readings, no_readings
from ..dispatch.queue import JobQueue
from ..failover.mails import Mailer
from ..identity.assembly import IdentityDrivers
from ..identity.bans.service import BanService
from ..identity.scope import Owners
from ..identity.sessions import rows as session_rows
from ..identity.tokens import TokenIssuer
from ..jobs.classes import JobClasses
from ..jobs.feed import Feed
from ..jobs.leases import LeaseTable
from ..jobs.output.live_logs import LiveLogs
from ..jobs.queries import Queries, jobs_by_id
from ..leadership import ALONE
from ..notifications.assembly import Senders
from ..notifications.service import check_reachable
from ..observe.events import Log
from ..pilots.presence import Pilots
from ..ports import Blobs, Bus, Clock, Leadership, Randomness, Space
from ..rucio.drivers import RucioDrivers
from ..settings import Settings
from ..sites.site_marks import SiteMarks
from ..store.engine import Store


@dataclass(frozen=True)
class World:
    """The drivers that a central runs on."""

    store: Store
    blobs: Blobs
    bus: Bus
    clock: Clock
    randomness: Randomness
    log: Log
    identity: IdentityDrivers  # of providers
    readings: Readings = no_readings  # of the machine, for the metrics
    storages: Storages = field(default_factory=Storages)  # of the jobs' data
    remote: RemoteStorages | None = None  # storages for the central itself; None: only for pilots
    mailer: Mailer | None = None  # mails reports of failover; None: none are mailed
    senders: Senders = Senders()  # of notifications to users
    leadership: Leadership = ALONE  # whether it may answer pilots
    space: Space = NoDisk()  # the disk of store and blobs
    rucio: RucioDrivers = field(default_factory=RucioDrivers)  # servers of files' catalogues
    evaluator: Evaluates | None = None  # of CWL documents; None: a process of its own
    policy: Policy | None = None  # reads changed shares and limits; None: they do not change

    async def check_notify(self, owner_id: int, /) -> None:
        """Raise Refused unless this owner can be notified of one thing more."""
        await check_reachable(self.store, self.senders.channels, owner_id)


@dataclass(frozen=True)
class Parts:
    """The parts of every process. Without the queue, the memory holds owners and classes alone."""

    memory: Memory
    downlink: Downlink
    allowed: SharedLimits
    queries: Queries
    data: CatalogueService
    series: SeriesService
    storages: StorageService


def parts_of(world: World, settings: Settings) -> Parts:
    """Return the parts on these drivers, with an empty memory."""
    store, clock = world.store, world.clock
    memory = _memory(world, downlink := Downlink(world.bus), settings)
    queries = Queries(
        store=store,
        memory=memory,
        blobs=world.blobs,
        clock=clock,
        beat_s=settings.lease.beat_s,
        jdl=settings.jdl,
    )
    data = CatalogueService(
        store, memory.owners, clock, world.log, world.storages, job_of=jobs_by_id(store)
    )
    return Parts(
        memory=memory,
        downlink=downlink,
        allowed=allowances(world, memory, settings),
        queries=queries,
        data=data,
        series=SeriesService(store, memory.owners, clock),
        storages=StorageService(
            world.storages, StorageChecks(world.storages, world.remote, world.randomness), clock
        ),
    )


def ban_service(
    world: World, memory: Memory, settings: Settings, tokens: TokenIssuer
) -> BanService:
    """Return the service with which operators ban persons."""
    return BanService(
        store=world.store,
        bans=tokens.bans,
        owners=memory.owners,
        end_sessions=session_rows.end_all_of,
        session_ended=tokens.session_ended,
        clock=world.clock,
        log=world.log,
        local_issuer=settings.token.issuer,
        provider_issuers=lambda: {
            one.issuer for one in world.identity.providers.book.providers.values()
        },
        communities=settings.community.names,
    )


def _memory(world: World, downlink: Downlink, settings: Settings) -> Memory:
    leases, pilots = LeaseTable(), Pilots()
    owners = Owners(world.store, settings.token.issuer)
    matcher = Matcher(settings.matcher.rules(keep_s=settings.lease.reserve_s))
    return Memory(
        queue=JobQueue(matcher, pilots, downlink, world.clock, term=world.leadership.term),
        leases=leases,
        pilots=pilots,
        owners=owners,
        classes=JobClasses(world.store, owners, an_owner_max=settings.matcher.classes_an_owner_max),
        counters=Counters(),
        tally=Tally(),
        feed=Feed(world.clock, world.store, owners),
        logs=LiveLogs(leases, downlink),
        places=SiteMarks(frozenset(settings.matcher.banned)),
    )
