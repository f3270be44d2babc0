"""Builds the services of a central and joins them; the one module that knows them all.

Every driver of the outside world is an argument. `operate/serve.py` passes the real drivers, and
tests pass fakes.
"""

import asyncio
import contextlib
import math
from dataclasses import dataclass, replace

from ..accounts.count_writer import CountsLoop
from ..bus.bridge import BusBridge
from ..bus.downlink import Downlink
from ..dispatch.assembly import (
    SharedLimits,
    arrivals,
    ends,
    health_service,
    pilot_logs,
    submissions,
)
from ..dispatch.black_holes import BlackHoleService
from ..dispatch.control import JobControl
from ..dispatch.deadlines import DeadlineLoop
from ..dispatch.dependencies.releases import ReleaseLoop
from ..dispatch.explainer import Explainer
from ..dispatch.follow_up import FollowUp
from ..dispatch.health import HealthService
from ..dispatch.idle_classes import IdleClasses
from ..dispatch.limits import LimitService
from ..dispatch.live_pilots import LivePilotService
from ..dispatch.memory import Memory
from ..dispatch.metrics import MetricsService, Times
from ..dispatch.recovery import MemoryRecovery
from ..dispatch.retention import Retention
from ..dispatch.roll_call import RollCall
from ..dispatch.service import Dispatch
from ..dispatch.submissions.remote_arrivals import ArrivalPoller
from ..dispatch.submissions.submissions import Submissions
from ..dispatch.turns.asks import AskService
from ..dispatch.turns.assignments import Assignments
from ..dispatch.turns.attempt_ids import AttemptIds
from ..dispatch.turns.beats import BeatService
from ..dispatch.turns.checkpoints import CheckpointOrders
from ..dispatch.turns.data_orders import DataOrders
from ..dispatch.turns.data_reports import DataReports
from ..dispatch.turns.reports import ReportJudge
from ..dispatch.turns.requeues import Requeues
from ..dispatch.turns.turns import Turns
from ..dispatch.used_shares import UsedShares
from ..factory.view import ElementsView
from ..failover.activity import Pulse
from ..failover.assembly import Failover, failover
from ..failover.rule_book import RuleBook
from ..failover.rules import default_rules
from ..failover.site_capacity import MaxGrants
from ..failover.task_ends import TaskEndRepairs, stderr_in
from ..identity.bans.ban_list import BanList
from ..identity.callers import PilotCaller
from ..identity.tokens import TokenIssuer
from ..jobs.attempt_callers import AttemptCallers
from ..jobs.blobs.removal import BlobSweep
from ..jobs.blobs.sandbox import Sandbox
from ..jobs.output.curve_view import JobInspector
from ..jobs.output.followed_output import FollowService
from ..jobs.queries import Queries
from ..notifications.assembly import Notifications
from ..observe.counting_log import CountingLog, counting
from ..observe.wall_clock import WallClockWatch
from ..pilots.logs import LogRoom
from ..pilots.service import Canceller, PilotService
from ..ports import Clock
from ..productions import record as production_records
from ..rucio.drivers import RucioDrivers
from ..settings import LeaseSettings, ProcessRole, RetentionSettings, Settings
from ..sites.service import SiteService
from ..store.errors import StoreError
from ..store.probe import StoreProbe
from ..transfers.rule_loop import CopyRuleLoop
from ..transfers.service import RuleService
from ..transfers.sweep_loop import Sweeper
from ..transfers.sweep_service import SweepService
from ..transformations.assembly import Transformations, transformations
from ..transformations.avoided_hosts import AvoidedHosts
from ..transformations.engine import Engine
from .notification_work import notification_work
from .people import AboutPeople, about_people
from .process_parts import World, ban_service, parts_of
from .production_work import ProductionWork, known_results, production_work
from .route_assembly import Services
from .rucio_work import RucioWork, rucio_work
from .storage_work import (
    StorageWork,
    copy_rules,
    storage_credentials,
    storage_work,
    sweeper,
)

STOP_S = 5.0  # for the last writes


@dataclass(frozen=True)
class Central:
    """A whole central: services for the faces, and the loops behind them."""

    roles: frozenset[ProcessRole]
    services: Services
    memory: Memory
    recovery: MemoryRecovery
    watch: DeadlineLoop
    others: ArrivalPoller
    releases: ReleaseLoop
    used: UsedShares
    carrier: CopyRuleLoop
    storage_work: StorageWork
    sweeper: Sweeper
    counts: CountsLoop
    probe: StoreProbe
    retention: Retention
    bridge: BusBridge[PilotCaller]
    health: HealthService
    metrics: MetricsService
    clock: Clock
    roll_call: RollCall
    elements: ElementsView
    crew: LivePilotService
    allowed: SharedLimits
    engine: Engine
    kept_off: AvoidedHosts
    productions: ProductionWork
    failover: Failover
    notifications: Notifications
    people: AboutPeople
    rucio: RucioDrivers
    rucio_work: RucioWork

    async def recover(self, jobs_s: float = math.inf) -> bool:
        """Rebuild the memory from the store; then requests may be answered.

        Return False if the waiting jobs took longer than `jobs_s`; `load` then reads the others.
        """
        began = self.clock.monotonic()
        await self.allowed.quotas.load()
        await self.watch.held.restore()
        whole = await self.recovery.first(jobs_s)
        await self.kept_off.restore()
        self.metrics.start_s = self.clock.monotonic() - began
        self.health.set_ready(True)
        if whole:
            self.others.begin(self.recovery.moment)
        return whole

    async def load(self) -> None:
        """Queue the waiting jobs that `recover` left, while requests are answered."""
        await self.recovery.rest()
        self.others.begin(self.recovery.moment)

    async def stop(self) -> None:
        """Write the state that the store does not have yet, as far as possible."""
        self.health.set_ready(False)
        with contextlib.suppress(StoreError, TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self.used.keep()
                await self.counts.keep()
                await self.watch.held.keep()

    async def run(self) -> None:
        """Run the loops of the process's roles. Ends by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.bridge.run())
            tasks.create_task(self.watch.run())
            tasks.create_task(self.others.run())
            tasks.create_task(self.releases.run())
            tasks.create_task(self.counts.run())
            tasks.create_task(self.allowed.quotas.run())
            tasks.create_task(self.allowed.room.run())
            tasks.create_task(self.services.storages.run())
            tasks.create_task(self.services.pilots.login_again())
            tasks.create_task(self.roll_call.run())
            tasks.create_task(self.people.run())
            tasks.create_task(self.rucio.follow(self.clock))
            if ProcessRole.AGENTS in self.roles:
                tasks.create_task(self.carrier.run())
                tasks.create_task(self.storage_work.work.run())
                tasks.create_task(self.sweeper.run())
                tasks.create_task(self.rucio_work.mirrors.run())
                tasks.create_task(self.rucio_work.outbox.run())
                tasks.create_task(self.retention.run())
                tasks.create_task(self.engine.run())
                tasks.create_task(self.productions.productions.watching.run())
                tasks.create_task(self.productions.cwl.run())
                tasks.create_task(self.failover.cycle.run())
                tasks.create_task(self.failover.recovery.run())
                tasks.create_task(self.failover.mails.run())
                tasks.create_task(self.notifications.run())


def build(world: World, tokens: TokenIssuer, settings: Settings) -> Central:
    """Return a central on these drivers. Call `recover` next."""
    log, times = counting(world.log), Times()
    world, probe = replace(world, log=log), StoreProbe(log)
    store, clock, lease, parts = world.store, world.clock, settings.lease, parts_of(world, settings)
    memory, downlink, allowed = parts.memory, parts.downlink, parts.allowed
    follow_up, requeues = ends(world, memory, tokens, lease)
    queries, elements = parts.queries, ElementsView(clock, memory.places.word)
    given = (tokens, downlink, settings, times, allowed)
    dispatch = _dispatch(world, memory, follow_up, requeues, *given)
    pilots = _pilots(world, memory, follow_up, tokens, downlink, lease, elements)
    submits = submissions(world, memory, allowed, follow_up, tokens.bans)
    following = FollowService(queries, memory.logs, memory.leases)
    idle, wall, pulse = IdleClasses(memory, clock), WallClockWatch(clock, log), Pulse(clock)
    used = UsedShares(store, memory.queue, clock, wall)
    health = health_service(world, memory, probe, allowed)
    metrics = _metrics(world, memory, log, lease, times, probe, health, elements)
    others = arrivals(world, memory, follow_up, (tokens.load_revoked, allowed.quotas.load))
    control = _control(world, memory, idle, follow_up, downlink, allowed)
    rules = RuleBook(store, default_rules(), log, rules_of=production_records.rules_of)
    repairs = _repairs(world, memory, rules, elements, pulse)
    made = _transformations(world, memory, submits, control, repairs, allowed, tokens.bans)
    about_failures = _failover(world, settings, memory, rules, made.engine, control, pulse)
    rucio, people = rucio_work(world, memory, control), about_people(world, memory, tokens, control)
    metrics.others, metrics.failover, metrics.rucio = others, pulse, rucio.mirrors.poll_ages_s
    explainer = _explainer(memory, idle, queries, pilots, clock, lease, elements, rucio)
    flows = production_work(
        world, memory, made, control, explainer, submits, allowed, tokens.bans, settings
    )
    told = notification_work(world, settings, memory, tokens, flows.productions.service)
    own = storage_work(world, settings)
    carrier = copy_rules(world, submits, tokens.bans, own)
    services = Services(
        logins=people.services.logins,
        payload_tokens=people.services.payload_tokens,
        storage_credentials=storage_credentials(world, memory),
        browsers=people.browsers,
        submissions=submits,
        queries=queries,
        looking=JobInspector(store, queries, memory.logs, world.blobs),
        control=control,
        pilots=pilots,
        sites=_sites(world, memory, follow_up, downlink, elements, settings),
        limits=LimitService(world.policy, memory.queue, settings.community.names),
        storages=parts.storages,
        data=parts.data,
        rules=_rules(world, memory, control, carrier),
        sweeps=_sweeps(world, settings),
        elements=elements,
        pilot_logs=pilot_logs(world, memory, queries, settings.retention),
        dispatch=dispatch,
        sandbox=_sandbox(world, memory, allowed, settings),
        logs=following,
        feed=memory.feed,
        explainer=explainer,
        series=parts.series,
        quotas=allowed.quotas,
        room=allowed.room,
        tokens=tokens,
        bans=ban_service(world, memory, settings, tokens),
        health=health,
        metrics=metrics,
        transformations=made.service,
        productions=flows.productions.service,
        reports=about_failures.service,
        notifications=told.service,
        rucio=rucio.service,
    )
    return Central(
        roles=settings.process.role_set,
        services=services,
        memory=memory,
        recovery=MemoryRecovery(store=store, memory=memory, clock=clock, settings=lease, used=used),
        watch=_watch(world, memory, requeues, submits, idle, follow_up, used, times, probe, lease),
        others=others,
        releases=_releases(world, memory, idle, follow_up, probe),
        used=used,
        carrier=carrier,
        storage_work=own,
        sweeper=sweeper(world, submits, wall, settings, own),
        counts=CountsLoop(store, memory, clock, probe, wall),
        probe=probe,
        retention=_retention(world, memory, follow_up, wall, probe, settings.retention, people),
        bridge=_bridge(world, memory, dispatch, following, pilots),
        health=health,
        metrics=metrics,
        clock=clock,
        roll_call=RollCall(memory.pilots, world.bus, downlink, clock, world.leadership),
        elements=elements,
        engine=made.engine,
        kept_off=made.kept_off,
        allowed=allowed,
        productions=flows,
        failover=about_failures,
        notifications=told,
        people=people,
        rucio=world.rucio,
        rucio_work=rucio,
        crew=_crew(memory, follow_up, downlink, clock, lease),
    )


def _crew(
    memory: Memory, follow_up: FollowUp, downlink: Downlink, clock: Clock, lease: LeaseSettings
) -> LivePilotService:
    """Return the service that watches and drains pilots for the factory."""
    return LivePilotService(
        memory, follow_up=follow_up, outbound=downlink, clock=clock, settings=lease
    )


def _watch(
    world: World,
    memory: Memory,
    requeues: Requeues,
    submits: Submissions,
    idle: IdleClasses,
    follow_up: FollowUp,
    used: UsedShares,
    times: Times,
    probe: StoreProbe,
    lease: LeaseSettings,
) -> DeadlineLoop:
    """Return the loop that ends leases whose deadline has passed."""
    return DeadlineLoop(
        requeues=requeues,
        submissions=submits,
        store=world.store,
        memory=memory,
        idle=idle,
        follow_up=follow_up,
        clock=world.clock,
        log=world.log,
        settings=lease,
        used=used,
        times=times,
        probe=probe,
    )


def _releases(
    world: World, memory: Memory, idle: IdleClasses, follow_up: FollowUp, probe: StoreProbe
) -> ReleaseLoop:
    """Return the loop that releases and stops the jobs that wait for other jobs."""
    return ReleaseLoop(
        store=world.store,
        memory=memory,
        idle=idle,
        follow_up=follow_up,
        clock=world.clock,
        log=world.log,
        probe=probe,
    )


def _rules(world: World, memory: Memory, control: JobControl, carrier: CopyRuleLoop) -> RuleService:
    """Return the service of transfer rules, which informs the carrier of new ones."""
    return RuleService(
        world.store,
        world.storages,
        memory.owners,
        world.clock,
        act=control.act,
        added=carrier.added,
    )


def _transformations(
    world: World,
    memory: Memory,
    submissions: Submissions,
    control: JobControl,
    repairs: TaskEndRepairs,
    allowed: SharedLimits,
    bans: BanList,
) -> Transformations:
    """Return the transformations, which turn files into jobs."""
    return transformations(
        store=world.store,
        memory=memory,
        submissions=submissions,
        kill=control.act,
        storages=world.storages,
        rucio=world.rucio.entries,
        repairs=repairs,
        quotas=allowed.quotas,
        room=allowed.room,
        bans=bans,
        known=known_results(world),
        clock=world.clock,
        log=world.log,
    )


def _failover(
    world: World,
    settings: Settings,
    memory: Memory,
    rules: RuleBook,
    engine: Engine,
    control: JobControl,
    pulse: Pulse,
) -> Failover:
    """Return the failover of transformations that enable it."""
    return failover(
        store=world.store,
        rules=rules,
        touch=engine.touch,
        kill=control.act,
        owners=memory.owners,
        mailer=world.mailer,
        settings=settings.failover,
        clock=world.clock,
        log=world.log,
        pulse=pulse,
        stderr=stderr_in(world.blobs, world.log),
    )


def _repairs(
    world: World, memory: Memory, rules: RuleBook, elements: ElementsView, pulse: Pulse
) -> TaskEndRepairs:
    """Return the service that decides what happens to failed tasks."""
    room = MaxGrants(
        store=world.store,
        owners=memory.owners,
        clauses=lambda: memory.queue.matcher.clauses,
        living=memory.pilots.empty_offers,
        shapes=elements.offers,
    )
    return TaskEndRepairs(
        store=world.store,
        rules=rules,
        stderr=stderr_in(world.blobs, world.log),
        places=BlackHoleService(memory, world.clock, world.log),
        limits=room,
        log=pulse.counted(world.log),
    )


def _control(
    world: World,
    memory: Memory,
    idle: IdleClasses,
    follow_up: FollowUp,
    downlink: Downlink,
    allowed: SharedLimits,
) -> JobControl:
    """Return the control with which users kill, hold and reschedule jobs."""
    return JobControl(
        store=world.store,
        memory=memory,
        idle=idle,
        follow_up=follow_up,
        outbound=downlink,
        quotas=allowed.quotas,
        clock=world.clock,
        log=world.log,
    )


def _explainer(
    memory: Memory,
    idle: IdleClasses,
    queries: Queries,
    pilots: PilotService,
    clock: Clock,
    lease: LeaseSettings,
    elements: ElementsView,
    rucio: RucioWork,
) -> Explainer:
    """Return the explainer, which says why jobs wait."""
    return Explainer(
        memory=memory,
        idle=idle,
        queries=queries,
        pilots=pilots,
        clock=clock,
        silent_s=lease.lease_s,
        prospects=elements.prospects,
        awaited=rucio.service.awaited_of_job,
    )


def _sweeps(world: World, settings: Settings) -> SweepService:
    """Return the service that shows remnants."""
    return SweepService(
        world.store,
        world.storages,
        world.clock,
        after_s=settings.data.sweep_after_s,
        keeps=world.rucio.keeps,
    )


def _bridge(
    world: World, memory: Memory, dispatch: Dispatch, following: FollowService, pilots: PilotService
) -> BusBridge[PilotCaller]:
    """Return the bridge between the bus and the dispatch."""
    return BusBridge(
        world.bus,
        who=memory.pilots.caller,
        beat=dispatch.beat,
        chunk=following.chunk,
        clock=world.clock,
        log=world.log,
        will=pilots.willed,
    )


def _pilots(
    world: World,
    memory: Memory,
    follow_up: FollowUp,
    tokens: TokenIssuer,
    downlink: Downlink,
    lease: LeaseSettings,
    canceller: Canceller,
) -> PilotService:
    """Return the service that registers pilots and shows them."""
    return PilotService(
        store=world.store,
        memory=memory,
        moves=follow_up,
        tokens=tokens,
        outbound=downlink,
        bus=world.bus,
        canceller=canceller,
        leadership=world.leadership,
        clock=world.clock,
        randomness=world.randomness,
        log=world.log,
        settings=lease,
    )


def _sites(
    world: World,
    memory: Memory,
    follow_up: FollowUp,
    downlink: Downlink,
    elements: ElementsView,
    settings: Settings,
) -> SiteService:
    """Return the service that shows sites and keeps their marks."""
    return SiteService(
        store=world.store,
        memory=memory,
        files=elements,
        moves=follow_up,
        outbound=downlink,
        clock=world.clock,
        log=world.log,
        communities=settings.community.names,
    )


def _dispatch(
    world: World,
    memory: Memory,
    follow_up: FollowUp,
    requeues: Requeues,
    tokens: TokenIssuer,
    downlink: Downlink,
    settings: Settings,
    times: Times,
    allowed: SharedLimits,
) -> Dispatch:
    """Return the dispatch, which answers pilots."""
    store, clock, log, lease = world.store, world.clock, world.log, settings.lease
    reports = ReportJudge(
        store=store,
        memory=memory,
        follow_up=follow_up,
        data=DataReports(
            store,
            memory.queue,
            log,
            sweep_after_s=settings.data.sweep_after_s,
            rucio=world.rucio.entries,
        ),
        blobs=world.blobs,
        holdings=allowed.holdings,
        clock=clock,
        log=log,
        settings=lease,
    )
    assignments = Assignments(
        store=store,
        memory=memory,
        follow_up=follow_up,
        checkpoints=CheckpointOrders(store, world.blobs, log),
        data=DataOrders(store, world.storages, keeps=world.rucio.keeps),
        tokens=tokens,
        clock=clock,
        log=log,
    )
    turns = Turns(
        store=store,
        memory=memory,
        follow_up=follow_up,
        reports=reports,
        asks=AskService(
            store=store,
            memory=memory,
            requeues=requeues,
            assignments=assignments,
            outbound=downlink,
            clock=clock,
            log=log,
            settings=lease,
        ),
        attempt_ids=AttemptIds(store),
        assignments=assignments,
        clock=clock,
        settings=lease,
    )
    beats = BeatService(
        store=store,
        memory=memory,
        follow_up=follow_up,
        requeues=requeues,
        clock=clock,
        log=log,
    )
    return Dispatch(
        store=store,
        memory=memory,
        follow_up=follow_up,
        turns=turns,
        beats=beats,
        clock=clock,
        leadership=world.leadership,
        turn_s=times.turn,
    )


def _retention(
    world: World,
    memory: Memory,
    follow_up: FollowUp,
    wall: WallClockWatch,
    probe: StoreProbe,
    settings: RetentionSettings,
    people: AboutPeople,
) -> Retention:
    """Return the retention, which removes old data."""
    blobs = BlobSweep(world.store, world.blobs, world.clock, hold_s=settings.blob_hold_s)
    return Retention(
        store=world.store,
        memory=memory,
        follow_up=follow_up,
        blobs=blobs,
        job_grants=people.services.sessions.job_grants,
        logs=LogRoom(world.store, world.clock, settings),
        clock=world.clock,
        log=world.log,
        wall=wall,
        probe=probe,
        settings=settings,
    )


def _sandbox(world: World, memory: Memory, allowed: SharedLimits, settings: Settings) -> Sandbox:
    attempts = AttemptCallers(memory, world.leadership)
    return Sandbox(world.blobs, attempts, allowed.holdings, allowed.room, settings.sandbox)


def _metrics(
    world: World,
    memory: Memory,
    log: CountingLog,
    lease: LeaseSettings,
    times: Times,
    probe: StoreProbe,
    health: HealthService,
    elements: ElementsView,
) -> MetricsService:
    """Return the service that collects the metrics."""
    return MetricsService(
        store=world.store,
        memory=memory,
        bus=world.bus,
        clock=world.clock,
        log=log,
        settings=lease,
        times=times,
        probe=probe,
        health=health,
        readings=world.readings,
        credentials=elements.credentials_left_s,
        term=world.leadership.term,
    )
