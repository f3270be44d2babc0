"""Collects the metrics from memory, in one pass for each request."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol

from pilotage import __version__
from pilotage.proto.job_states import JobState
from pilotage.proto.pilot_states import LIVING, PilotState

from ..catalogue import record_remnants as remnant_records
from ..catalogue.remnants import RemnantCount
from ..jobs.leases import Lease, LeasePhase
from ..jobs.undelivered_results import is_over_wall
from ..observe.counting_log import CountingLog
from ..observe.metrics import VALUES_MAX, MetricsPage, histogram
from ..pauses import by_and_by
from ..pilots import record_logs as log_records
from ..ports import Bus, Clock
from ..rucio import outbox_record
from ..rucio.outbox_record import EntryCount, EntryState
from ..settings import LeaseSettings
from ..store.engine import Store
from ..store.probe import StoreProbe
from .health import HealthService
from .memory import Memory
from .submissions.remote_arrivals import ArrivalPoller

Readings = Callable[[], Awaitable[Mapping[str, float]]]
_STORE_BYTES = "pilotage_store_bytes:"  # prefix of readings with a label; its value follows

_OF_REMNANTS: Final[Mapping[str, Callable[[RemnantCount], int]]] = {
    "pilotage_remnants": lambda one: one.waiting,
    "pilotage_remnant_bytes": lambda one: one.waiting_bytes,
    "pilotage_remnants_failing": lambda one: one.failing,
    "pilotage_remnants_gone_total": lambda one: one.gone,
    "pilotage_remnant_bytes_gone_total": lambda one: one.gone_bytes,
}


async def no_readings() -> Mapping[str, float]:
    """Return no readings: there is no machine to measure."""
    return {}


Credentials = Callable[
    [], Mapping[tuple[str, str], float]
]  # (site, element) → seconds of life left


def no_credentials() -> Mapping[tuple[str, str], float]:
    """Return no credentials: no element needs one."""
    return {}


class FailoverPulse(Protocol):
    """The state of failover, for the metrics."""

    decisions: Counter[str]

    def age_s(self) -> float: ...
    def mail_fails_s(self) -> float: ...


class Times:
    """Histograms that are filled while the central runs."""

    def __init__(self) -> None:
        self.turn = histogram("pilotage_turn_seconds")
        self.loop_late = histogram("pilotage_loop_late_seconds")


class MetricsService:
    """Makes the page of metrics."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        bus: Bus,
        clock: Clock,
        log: CountingLog,
        settings: LeaseSettings,
        times: Times,
        probe: StoreProbe,
        health: HealthService,
        readings: Readings,
        term: int,
        credentials: Credentials = no_credentials,
    ) -> None:
        self._store, self._memory, self._bus, self._clock = store, memory, bus, clock
        self._log, self._times, self._probe, self._health = log, times, probe, health
        self._late_s, self._readings, self._term = 1.5 * settings.beat_s, readings, term
        self._credentials = credentials
        self.start_s = 0.0
        self.others: ArrivalPoller | None = None
        self.failover: FailoverPulse | None = None
        self.rucio: Callable[[], Mapping[str, float]] = dict  # ages of polls

    async def page(self, requests: Mapping[tuple[str, int], int]) -> str:
        """Return all metrics in the text format of Prometheus."""
        readings = await self._readings()
        page = MetricsPage()
        self._put_central(page)
        self._put_jobs(page)
        self._put_used(page)
        await self._put_leases(page)
        await self._put_pilots(page)
        page.put_all("pilotage_pilot_events_total", self._memory.told)
        page.put("pilotage_pilot_log_bytes", await self._store.read(log_records.pilot_log_bytes))
        self._put_channels(page, requests)
        self._put_remnants(page, await self._store.read(remnant_records.remnant_counts))
        if self.others is not None:
            page.put("pilotage_others_submissions_total", self.others.taken)
            page.put("pilotage_others_lag_seconds", self.others.lag_s)
            page.put("pilotage_others_unseen_seconds", self.others.unseen_s())
        if self.failover is not None:
            page.put_all("pilotage_failover_decisions_total", self.failover.decisions)
            page.put("pilotage_failover_cycle_age_seconds", self.failover.age_s())
            page.put("pilotage_failover_mail_fails_seconds", self.failover.mail_fails_s())
        page.put_all("pilotage_rucio_poll_age_seconds", self.rucio())
        self._put_outbox(page, await self._store.read(outbox_record.counts))
        left_s = self._credentials()
        page.put_pairs("pilotage_credential_expires_seconds", left_s, most=VALUES_MAX)
        self._put_store(page, readings)
        # All at once would hold the loop for 10 ms.
        parts = by_and_by(page.parts(), self._clock, a_turn=1)
        return "".join([part.text() async for part in parts])

    def _put_outbox(self, page: MetricsPage, counts: Sequence[EntryCount]) -> None:
        found = {(one.rucio, one.state.value): float(one.count) for one in counts}
        now = self._clock.wall()
        waiting = (one for one in counts if one.state is EntryState.WAITING)
        ages = {one.rucio: max(0.0, now - one.oldest) for one in waiting}
        page.put_pairs("pilotage_outbox_entries", found, most=VALUES_MAX)
        page.put_all("pilotage_outbox_oldest_seconds", ages)

    def _put_remnants(self, page: MetricsPage, counts: Sequence[RemnantCount]) -> None:
        """Add up the remnants of all communities."""
        for name, of in _OF_REMNANTS.items():
            sums: Counter[str] = Counter()
            for one in counts:
                sums[one.storage] += of(one)
            page.put_all(name, sums)

    def _put_central(self, page: MetricsPage) -> None:
        health = self._health.health()
        page.put_all("pilotage_build_info", {__version__: 1})
        page.put("pilotage_ready", self._health.ready().ready)
        page.put("pilotage_uptime_seconds", health.uptime_s)
        page.put("pilotage_start_seconds", self.start_s)
        page.put("pilotage_leads", 1)
        page.put("pilotage_term", self._term)
        page.put_all("pilotage_events_total", self._log.counts)
        page.put_histogram(self._times.loop_late)

    def _put_jobs(self, page: MetricsPage) -> None:
        states: Counter[str] = Counter(dict.fromkeys((one.value for one in JobState), 0))
        sites: Counter[str] = Counter()
        for _, site, state, count in self._memory.counters.rows():
            states[state.value] += count
            if state is JobState.RUNNING:
                sites[site] += count
        page.put_all("pilotage_jobs", states)
        page.put_all("pilotage_site_running", sites)
        page.put_all("pilotage_hosts_suspended", self._memory.hosts.suspended())
        page.put("pilotage_classes", len(self._memory.queue.classes))

    def _put_used(self, page: MetricsPage) -> None:
        used = self._memory.tally.used
        page.put_all("pilotage_attempts_ended_total", used.ends)
        for name, field in (
            ("pilotage_used_cpu_seconds_total", "cpu_s"),
            ("pilotage_used_wall_seconds_total", "wall_s"),
            ("pilotage_staged_in_bytes_total", "bytes_in"),
            ("pilotage_staged_out_bytes_total", "bytes_out"),
        ):
            page.put_all(name, {site: getattr(at, field) for site, at in used.sites.items()})
        page.put_histogram(used.memory_peak_mb)
        page.put_histogram(used.scratch_peak_mb)

    async def _put_leases(self, page: MetricsPage) -> None:
        now = self._clock.monotonic()
        phases: Counter[str] = Counter({LeasePhase.LIVE.value: 0, LeasePhase.OPEN.value: 0})
        overdue_s = wanted_s = 0.0
        over, wall = 0, self._clock.wall()
        async for lease in by_and_by(self._memory.leases.all(), self._clock):
            phases[lease.phase.value] += 1
            if lease.phase is LeasePhase.LIVE:
                overdue_s = max(overdue_s, now - lease.deadline)
                wanted_s = max(wanted_s, _wanted_for_s(lease, now))
                over += is_over_wall(lease, wall)
        page.put_all("pilotage_attempts", phases)
        page.put("pilotage_lease_overdue_seconds", overdue_s)
        page.put("pilotage_wanted_oldest_seconds", wanted_s)
        page.put("pilotage_attempts_over_wall", over)
        failing = self._memory.late.failing(now)
        page.put("pilotage_results_undelivered", len(failing))
        oldest_s = max((one.for_s for one in failing), default=0.0)
        page.put("pilotage_results_undelivered_oldest_seconds", oldest_s)

    async def _put_pilots(self, page: MetricsPage) -> None:
        now = self._clock.monotonic()
        silent = parked = 0
        matcher = self._memory.queue.matcher
        async for presence in by_and_by(self._memory.pilots.all(), self._clock):
            silent += presence.state in LIVING and now - presence.heard > self._late_s
            parked += matcher.parked_ask(presence.pilot) > 0
        states = self._memory.pilots.states
        page.put_all("pilotage_pilots", {state.value: states[state] for state in PilotState})
        page.put("pilotage_pilots_silent", silent)
        page.put("pilotage_offers_parked", parked)

    def _put_channels(self, page: MetricsPage, requests: Mapping[tuple[str, int], int]) -> None:
        page.put("pilotage_bus_up", self._bus.up or not self._bus.url)
        page.put_all("pilotage_bus_messages_total", self._bus.counts())
        page.put_pairs("pilotage_http_requests_total", requests)
        page.put_histogram(self._times.turn)

    def _put_store(self, page: MetricsPage, readings: Mapping[str, float]) -> None:
        activity = self._store.activity()
        page.put("pilotage_store_operations_total", activity.operations)
        page.put("pilotage_store_commits_total", activity.commits)
        page.put("pilotage_store_full", bool(self._probe.full))
        page.put("pilotage_disk_short", self._health.ready().disk != "ok")
        page.put_histogram(self._probe.write_s)
        files = {
            name.removeprefix(_STORE_BYTES): value
            for name, value in readings.items()
            if name.startswith(_STORE_BYTES)
        }
        page.put_all("pilotage_store_bytes", files)
        for name, value in readings.items():
            if ":" not in name:
                page.put(name, value)


def _wanted_for_s(lease: Lease, now: float) -> float:
    return now - lease.wanted_since if lease.wanted is not None else 0.0
