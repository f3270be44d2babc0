"""What waits, for those who plan pilots."""

from collections.abc import Iterable

from pilotage.matcher.clauses.clause import Clauses
from pilotage.matcher.types import Ceiling, ClassSpec

from ..pilots.presence import Pilots
from ..sites.places import Places
from .queue import JobQueue


class WaitingWork:
    """The matcher's waiting jobs by class."""

    def __init__(self, queue: JobQueue, places: Places, pilots: Pilots) -> None:
        self._queue, self._places, self._pilots = queue, places, pilots

    def require_isolation(self, sites: frozenset[str]) -> None:
        """Give pilots at these sites no jobs, unless they isolate payloads in namespaces."""
        if sites == self._places.isolating:
            return
        self._places.isolating = sites
        for presence in self._pilots.all():
            if presence.restrict(self._places):  # its next ask counts
                self._queue.matcher.withdraw(presence.pilot)

    def waiting(self) -> Iterable[tuple[ClassSpec, int]]:
        """Return each class of which jobs wait, and how many."""
        return self._queue.matcher.waiting()

    def ceilings(self, spec: ClassSpec) -> list[Ceiling]:
        """Return how many more jobs of a class the limits let run where."""
        return self._queue.matcher.ceilings(spec)

    def clauses(self) -> Clauses:
        """Return the matcher's table."""
        return self._queue.matcher.clauses

    def is_banned(self, site: str, element: str) -> bool:
        """Whether only jobs of the type Test run there."""
        return self._places.is_banned(site, element)

    def is_draining(self, site: str, element: str) -> bool:
        """Whether an operator wants no further pilots there."""
        return self._places.is_draining(site, element)
