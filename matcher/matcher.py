"""`Matcher`: the only class of this room that outsiders use."""

from collections.abc import Iterable, Sequence

from pilotage.proto.api import Explanation
from pilotage.proto.job import Need

from .types import ClassSpec, LiveOffer, Match, Parked


class Matcher:
    """The queue of waiting jobs and the parked offers.

    `now` is a reading of the caller's monotonic clock, in seconds. Jobs are integers; a job is in
    one of three places: waiting, pending (matched, its row not known to be written), or not here.
    """

    def __init__(self, *, compatible: dict[str, tuple[str, ...]] | None = None, keep_s: float = 2.0):
        """`compatible`: platform of an offer → platforms whose jobs it also runs."""
        raise NotImplementedError

    # -- jobs -----------------------------------------------------------------------------------

    def add_class(self, spec: ClassSpec) -> None:
        """Make a class known. Idempotent."""
        raise NotImplementedError

    def knows_class(self, class_id: int) -> bool:
        raise NotImplementedError

    def add(self, class_id: int, priority: int, jobs: Iterable[int]) -> None:
        """Queue jobs. They take the place that their ids give them: older first."""
        raise NotImplementedError

    def remove(self, job: int) -> bool:
        """Take a waiting job out; False if it does not wait here (a pending one is not touched)."""
        raise NotImplementedError

    def set_priority(self, job: int, priority: int) -> bool:
        raise NotImplementedError

    def __contains__(self, job: int) -> bool:
        """Whether the job waits or is pending here."""
        raise NotImplementedError

    def __len__(self) -> int:
        """The number of waiting jobs."""
        raise NotImplementedError

    # -- matching -------------------------------------------------------------------------------

    def match(self, offer: LiveOffer, jobs_max: int, now: float) -> list[Match]:
        """Hand out at most `jobs_max` jobs that fit together into what is free. They are pending."""
        raise NotImplementedError

    def confirm(self, job: int) -> None:
        """The match is written."""
        raise NotImplementedError

    def drop(self, job: int) -> None:
        """The job was not to be had: forget it; the caller reads it again."""
        raise NotImplementedError

    def put_back(self, job: int) -> None:
        """The match was not written: the job waits again, in its old place."""
        raise NotImplementedError

    # -- parked offers --------------------------------------------------------------------------

    def park(self, offer: LiveOffer, ask: int, now: float) -> None:
        """Keep an offer that found nothing. Replaces the pilot's older one."""
        raise NotImplementedError

    def withdraw(self, pilot: str) -> None:
        """The offer stands no more: a newer ask, drain, or silence."""
        raise NotImplementedError

    def parked_ask(self, pilot: str) -> int:
        """Return the number of the ask that is parked for this pilot, 0 for none."""
        raise NotImplementedError

    def wake(self, now: float) -> list[Parked]:
        """Return the parked pilots to wake for jobs that wait, best fit first, one pilot per job.

        The job is kept for that pilot for `keep_s`; it is not pending. A pilot that was woken is
        not woken again within that time.
        """
        raise NotImplementedError

    def has_work(self, pilot: str, now: float) -> bool:
        """Whether a waiting job would fit this pilot's parked offer."""
        raise NotImplementedError

    # -- explaining -----------------------------------------------------------------------------

    def explain(
        self, job: int | None, spec: ClassSpec, offers: Sequence[LiveOffer], now: float
    ) -> Explanation:
        """Say clause by clause how many of `offers` exclude the job, and the nearest miss."""
        raise NotImplementedError

    def misfits(self, need: Need, offer: LiveOffer) -> list[str]:
        """Return the names of the clauses that refuse; the exact rule."""
        raise NotImplementedError
