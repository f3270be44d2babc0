"""The jobs that are still awaited. Events and pages of jobs update them. Pure."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from pilotage.proto.api.jobs import Event, JobView
from pilotage.proto.job_states import FINAL, JobState

_EARLY_MAX: Final = 10_000
OnHeld = Callable[[int, str], None]  # a job, and the reason why it is Held


class Outstanding:
    """Jobs whose end has not been handed out.

    A job stays here until `ended` hands it out, so no end is lost if a read fails or the caller
    stops iterating.

    With `submission`, `ids` are all jobs of it; reading a submission is cheaper than many single
    ids. A Held job continues only after a person releases it: `on_held` is called for each at once.
    If only Held jobs are left, the waiting is over (`only_held`), unless `through_held` is set.
    """

    def __init__(
        self,
        ids: Iterable[int],
        submission: int | None = None,
        *,
        through_held: bool = False,
        on_held: OnHeld | None = None,
        on_running: Callable[[int], None] | None = None,
    ) -> None:
        self.submission, self._through_held = submission, through_held
        self._on_held, self._on_running = on_held, on_running
        self._left = set(ids)
        self._held: dict[int, str] = {}
        self._ended: deque[int] = deque()
        self._known: set[int] = set()  # jobs that the central has shown
        self.total = len(self._left)
        self._early: deque[int] = deque(maxlen=_EARLY_MAX)  # ends of jobs that nobody awaits yet

    def add(self, ids: Iterable[int]) -> None:
        """Await more jobs. Some may have ended while their submission was answered."""
        early = set(self._early)
        for job in ids:
            self._left.add(job)
            self.total += 1
            if job in early:
                self._end(job)

    def drop(self, ids: Iterable[int]) -> None:
        """Await these jobs no longer."""
        for job in ids:
            self._left.discard(job)
            self._held.pop(job, None)

    @property
    def left(self) -> int:
        """The number of jobs that were not handed out yet."""
        return len(self._left) + len(self._ended)

    @property
    def held(self) -> dict[int, str]:
        """The awaited jobs that are Held, with the reasons, in order of the id."""
        return dict(sorted(self._held.items()))

    @property
    def only_held(self) -> bool:
        """Whether all awaited jobs are Held, so that none can end by itself."""
        return not self._through_held and 0 < self.left == len(self._held)

    def ids(self) -> list[int]:
        """Return the awaited ids, in order."""
        return sorted(self._left)

    def ended(self) -> Iterator[int]:
        """Hand out the ended jobs, each once, in the order in which their ends became known."""
        while self._ended:
            yield self._ended.popleft()

    def hear(self, event: Event) -> None:
        """Update the jobs from an event."""
        if event.job is not None and event.state is not None:
            self._take(event.job, event.state, event.reason)

    def see(self, view: JobView) -> None:
        """Update a job that was read."""
        self._take(view.id, view.state, view.reason)

    def see_none(self, ids: Iterable[int]) -> list[int]:
        """Take ids without a job at the central; return those that it has never shown.

        The central removes only ended jobs, so the other ids have ended.
        """
        absent = sorted(self._left.intersection(ids))
        for job in absent:
            if job in self._known:
                self._end(job)
        return [job for job in absent if job not in self._known]

    def _take(self, job: int, state: JobState, reason: str) -> None:
        if job not in self._left:
            if state in FINAL:
                self._early.append(job)
            return
        self._known.add(job)
        if state is JobState.HELD:
            is_new = job not in self._held
            self._held[job] = reason
            if is_new and self._on_held is not None:
                self._on_held(job, reason)
            return
        self._held.pop(job, None)
        if state is JobState.RUNNING and self._on_running is not None:
            self._on_running(job)
        if state in FINAL:
            self._end(job)

    def _end(self, job: int) -> None:
        self._left.discard(job)
        self._held.pop(job, None)
        self._ended.append(job)
