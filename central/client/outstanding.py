"""Which jobs are still awaited: fed with events and with pages, whatever comes first. Pure."""

from collections.abc import Iterable

from pilotage.proto.api import Event, JobView
from pilotage.proto.job_states import FINAL, JobState


class Outstanding:
    """Jobs that have not been seen in a final state.

    With `submission` every job of it is awaited, and `ids` are its jobs; the pages of a whole
    submission are cheaper to ask for than many single ids.
    """

    def __init__(self, ids: Iterable[int], submission: int | None = None) -> None:
        self.submission = submission
        self._left = set(ids)
        self.total = len(self._left)

    @property
    def left(self) -> int:
        return len(self._left)

    def ids(self) -> list[int]:
        """Return the ids that are awaited, in order."""
        return sorted(self._left)

    def hear(self, event: Event) -> int | None:
        """Take an event; return the job that it ends, None for any other."""
        if event.job is None or event.state is None:
            return None
        return self._take(event.job, event.state)

    def see(self, view: JobView) -> int | None:
        """Take a job that was read; return its id if it has ended meanwhile."""
        return self._take(view.id, view.state)

    def see_gone(self, still_there: Iterable[int]) -> list[int]:
        """Take the ids of a complete reading of unfinished jobs; return those that it lacks."""
        gone = sorted(self._left.difference(still_there))
        self._left.difference_update(gone)
        return gone

    def _take(self, job: int, state: JobState) -> int | None:
        if state not in FINAL or job not in self._left:
            return None
        self._left.discard(job)
        return job
