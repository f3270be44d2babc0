"""What a dispatch keeps in memory. All of it can be rebuilt from the store (`recover`)."""

from dataclasses import dataclass

from .classes import Classes
from .counters import Counters
from .feed import Feed
from .leases import LeaseTable
from .logs import LiveLogs
from .presence import Pilots
from .queue import Queue
from .scope import Owners


@dataclass(frozen=True)
class Memory:
    """One of each, shared by the services."""

    queue: Queue
    leases: LeaseTable
    pilots: Pilots
    owners: Owners
    classes: Classes
    counters: Counters
    feed: Feed
    logs: LiveLogs
