"""What a dispatch keeps in memory. All of it can be rebuilt from the store (`recover`)."""

from collections import Counter
from dataclasses import dataclass, field

from .classes import Classes
from .counters import Counters
from .feed import Feed
from .hosts import Hosts
from .labour import Labour
from .leases import LeaseTable
from .logs import LiveLogs
from .places import Places
from .presence import Pilots
from .queue import Queue
from .scope import Owners
from .site_rates import SiteRates
from .tally import Tally
from .undelivered import LateResults


@dataclass(frozen=True)
class Memory:
    """One of each, shared by the services."""

    queue: Queue
    leases: LeaseTable
    pilots: Pilots
    owners: Owners
    classes: Classes
    counters: Counters
    tally: Tally
    feed: Feed
    logs: LiveLogs
    hosts: Hosts = field(default_factory=Hosts)
    rates: SiteRates = field(default_factory=SiteRates)
    labour: Labour = field(default_factory=Labour)
    places: Places = field(default_factory=Places)
    late: LateResults = field(init=False)
    told: Counter[str] = field(default_factory=Counter[str])  # events that pilots have logged

    def __post_init__(self) -> None:
        object.__setattr__(self, "late", LateResults(self.leases))
