"""The waiting jobs, as the planning of pilots needs them."""

from collections.abc import Iterable

from pilotage.matcher.clauses.clause import Clauses
from pilotage.matcher.types import Ceiling, ClassSpec

from ..pilots.presence import Pilots
from ..sites.site_marks import SiteMarks
from .queue import JobQueue


class WaitingJobs:
    """The matcher's waiting jobs by class."""

    def __init__(self, queue: JobQueue, places: SiteMarks, pilots: Pilots) -> None:
        self._queue, self._places, self._pilots = queue, places, pilots

    def require_isolation(self, sites: frozenset[str]) -> None:
        """From now on, give jobs at these sites only to pilots that isolate payloads."""
        if sites == self._places.isolating:
            return
        self._places.isolating = sites
        for presence in self._pilots.all():
            if presence.restrict(self._places):  # the pilot's next ask has the new restriction
                self._queue.matcher.withdraw(presence.pilot)

    def waiting(self) -> Iterable[tuple[ClassSpec, int]]:
        """Return each class with waiting jobs, and their number."""
        return self._queue.matcher.waiting()

    def ceilings(self, spec: ClassSpec) -> list[Ceiling]:
        """Return where limits apply to a class, and how many more of its jobs may run there."""
        return self._queue.matcher.ceilings(spec)

    def clauses(self) -> Clauses:
        """Return the matcher's table of clauses."""
        return self._queue.matcher.clauses

    def is_banned(self, site: str, element: str) -> bool:
        """Return whether the element accepts only jobs of the type Test."""
        return self._places.is_banned(site, element)

    def is_draining(self, site: str, element: str) -> bool:
        """Return whether an operator drains the element: it gets no more pilots."""
        return self._places.is_draining(site, element)
