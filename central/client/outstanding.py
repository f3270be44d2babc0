"""Which jobs are still awaited: fed with events and with pages, whatever comes first. Pure."""

from collections.abc import Callable, Iterable

from pilotage.proto.api import Event, JobView
from pilotage.proto.job_states import FINAL, JobState

OnHeld = Callable[[int, str], None]  # a job, and why it is Held


class Outstanding:
    """Jobs that have not been seen in a final state.

    With `submission` every job of it is awaited, and `ids` are its jobs; the pages of a whole
    submission are cheaper to ask for than many single ids. A job that is Held goes on only when
    somebody releases it: `on_held` hears of each at once, and where no other is left the waiting is
    over (`only_held`) unless it goes on `through_held`.
    """

    def __init__(
        self,
        ids: Iterable[int],
        submission: int | None = None,
        *,
        through_held: bool = False,
        on_held: OnHeld | None = None,
    ) -> None:
        self.submission, self._through_held, self._on_held = submission, through_held, on_held
        self._left = set(ids)
        self._held: dict[int, str] = {}
        self.total = len(self._left)

    @property
    def left(self) -> int:
        return len(self._left)

    @property
    def held(self) -> dict[int, str]:
        """The awaited jobs that are Held, each with the reason, in order of the id."""
        return dict(sorted(self._held.items()))

    @property
    def only_held(self) -> bool:
        """Whether nothing that is awaited can end by itself."""
        return not self._through_held and 0 < len(self._left) == len(self._held)

    def ids(self) -> list[int]:
        """Return the ids that are awaited, in order."""
        return sorted(self._left)

    def hear(self, event: Event) -> int | None:
        """Take an event; return the job that it ends, None for any other."""
        if event.job is None or event.state is None:
            return None
        return self._take(event.job, event.state, event.reason)

    def see(self, view: JobView) -> int | None:
        """Take a job that was read; return its id if it has ended meanwhile."""
        return self._take(view.id, view.state, view.reason)

    def see_gone(self, still_there: Iterable[int]) -> list[int]:
        """Take the ids of a complete reading of unfinished jobs; return those that it lacks."""
        gone = sorted(self._left.difference(still_there))
        self._left.difference_update(gone)
        for job in gone:
            self._held.pop(job, None)
        return gone

    def _take(self, job: int, state: JobState, reason: str) -> int | None:
        if job not in self._left:
            return None
        if state is JobState.HELD:
            known = job in self._held
            self._held[job] = reason
            if not known and self._on_held is not None:
                self._on_held(job, reason)
            return None
        self._held.pop(job, None)
        if state not in FINAL:
            return None
        self._left.discard(job)
        return job
