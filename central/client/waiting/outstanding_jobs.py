"""Which jobs are still awaited: fed with events and with pages, whatever comes first. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from pilotage.proto.api.jobs import Event, JobView
from pilotage.proto.job_states import FINAL, JobState

OnHeld = Callable[[int, str], None]  # a job, and why it is Held


class Outstanding:
    """Jobs that have not been handed out as ended.

    Whatever shows the end of a job, the job stays here until `ended` hands it out: so no end is
    lost if a reading fails or its caller looks elsewhere.

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
        self._ended: deque[int] = deque()
        self._known: set[int] = set()  # jobs that the central has shown
        self.total = len(self._left)

    @property
    def left(self) -> int:
        """How many jobs were not handed out yet."""
        return len(self._left) + len(self._ended)

    @property
    def held(self) -> dict[int, str]:
        """The awaited jobs that are Held, each with the reason, in order of the id."""
        return dict(sorted(self._held.items()))

    @property
    def only_held(self) -> bool:
        """Whether nothing that is awaited can end by itself."""
        return not self._through_held and 0 < self.left == len(self._held)

    def ids(self) -> list[int]:
        """Return the ids that are awaited, in order."""
        return sorted(self._left)

    def ended(self) -> Iterator[int]:
        """Hand out the jobs that have ended, each once, in the order in which this became known."""
        while self._ended:
            yield self._ended.popleft()

    def hear(self, event: Event) -> None:
        """Take an event."""
        if event.job is not None and event.state is not None:
            self._take(event.job, event.state, event.reason)

    def see(self, view: JobView) -> None:
        """Take a job that was read."""
        self._take(view.id, view.state, view.reason)

    def see_none(self, ids: Iterable[int]) -> list[int]:
        """Take ids for which the central has no job; return those that it has never shown.

        The central removes only jobs that have ended, so the others have ended.
        """
        absent = sorted(self._left.intersection(ids))
        for job in absent:
            if job in self._known:
                self._end(job)
        return [job for job in absent if job not in self._known]

    def _take(self, job: int, state: JobState, reason: str) -> None:
        if job not in self._left:
            return
        self._known.add(job)
        if state is JobState.HELD:
            is_new = job not in self._held
            self._held[job] = reason
            if is_new and self._on_held is not None:
                self._on_held(job, reason)
            return
        self._held.pop(job, None)
        if state in FINAL:
            self._end(job)

    def _end(self, job: int) -> None:
        self._left.discard(job)
        self._held.pop(job, None)
        self._ended.append(job)
