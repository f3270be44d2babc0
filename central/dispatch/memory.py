"""The tables that the dispatch keeps in memory. `MemoryRecovery` rebuilds them from the store."""

from collections import Counter
from dataclasses import dataclass, field

from ..accounts.counters import Counters
from ..accounts.tally import Tally
from ..identity.scope import Owners
from ..jobs.classes import JobClasses
from ..jobs.feed import Feed
from ..jobs.leases import LeaseTable
from ..jobs.output.live_logs import LiveLogs
from ..jobs.undelivered_results import LateResults
from ..pilots.pilot_use import PilotNews
from ..pilots.presence import Pilots
from ..sites.failure_rates import SiteRates
from ..sites.site_marks import SiteMarks
from ..sites.suspended_hosts import SuspendedHosts
from .queue import JobQueue


@dataclass(frozen=True)
class Memory:
    """The tables in memory, shared by all services."""

    queue: JobQueue
    leases: LeaseTable
    pilots: Pilots
    owners: Owners
    classes: JobClasses
    counters: Counters
    tally: Tally
    feed: Feed
    logs: LiveLogs
    hosts: SuspendedHosts = field(init=False)
    rates: SiteRates = field(default_factory=SiteRates)
    pilot_news: PilotNews = field(default_factory=PilotNews)
    places: SiteMarks = field(default_factory=SiteMarks)
    late: LateResults = field(init=False)
    told: Counter[str] = field(default_factory=Counter[str])  # events that pilots have logged

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", SuspendedHosts(self.pilots.run_at))
        object.__setattr__(self, "late", LateResults(self.leases))
