"""`Matcher`: the only class of this room that outsiders use."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from pilotage.proto.api import Explanation
from pilotage.proto.job import PRIORITY_DEFAULT, Need

from . import clauses, explain, fit
from .backlog import Backlog
from .classes import JobClass
from .index import Index
from .ledger import ABSENT, PENDING
from .parked import ParkedOffers
from .tagexpr import parse
from .types import ClassSpec, LiveOffer, Match, Parked
from .wakes import Wakes

SLACK: Final = 64  # forgotten classes that are not worth a new index


class Matcher:
    """The queue of waiting jobs and the parked offers.

    `now` is a reading of the caller's monotonic clock, in seconds. Jobs are integers; a job is in
    one of three places: waiting, pending (matched, its row not known to be written), or not here.
    """

    def __init__(
        self, *, compatible: dict[str, tuple[str, ...]] | None = None, keep_s: float = 2.0
    ):
        """`compatible`: platform of an offer → platforms whose jobs it also runs."""
        self.clauses = clauses.table(compatible or {})
        self.backlog = Backlog()
        self.index = Index(self.backlog, self.clauses)
        self.parked = ParkedOffers(self.index, self.clauses)
        self.wakes = Wakes(self.backlog, self.index, self.parked, keep_s=keep_s)

    # -- jobs -----------------------------------------------------------------------------------

    def add_class(self, spec: ClassSpec) -> None:
        """Make a class known. Idempotent. Raises BadTags."""
        if spec.class_id not in self.backlog.classes:
            for need in spec.needs:
                parse(need.tags)
            self.index.add(self.backlog.classes.add(spec))

    def forget_class(self, class_id: int) -> bool:
        """Forget a class of which no job waits or is pending; False if some is.

        It may be added again. Its room is given back once there are more such than others.
        """
        classes = self.backlog.classes
        if not classes.forget(class_id):
            return False
        if classes.empty_slots > len(classes) + SLACK:
            self.compact()
        return True

    def compact(self) -> None:
        """Give back the room of forgotten classes."""
        self.backlog.renumber()
        self.index.rebuild()
        self.parked.renumber()

    def is_idle(self, class_id: int) -> bool:
        """Whether no job of the class waits or is pending here."""
        classes = self.backlog.classes
        return class_id not in classes or not classes.get(class_id).here

    def add(self, class_id: int, priority: int, jobs: Iterable[int]) -> None:
        """Queue jobs. They take the place that their ids give them: older first.

        Jobs that wait or are pending here already are left alone. Raises UnknownClass.
        """
        self.backlog.add(class_id, priority, jobs)

    def remove(self, job: int) -> bool:
        """Take a waiting job out; False if it does not wait here (a pending one is not touched)."""
        if self.backlog.state(job) in (ABSENT, PENDING):
            return False
        self.wakes.job_gone(job)
        self.backlog.forget(job)
        return True

    def set_priority(self, job: int, priority: int) -> bool:
        """Change the priority; False if the job is not here. A pending one comes back with it."""
        if self.backlog.state(job) == ABSENT:
            return False
        self.backlog.set_priority(job, priority)
        return True

    def __contains__(self, job: int) -> bool:
        """Whether the job waits or is pending here."""
        return self.backlog.state(job) != ABSENT

    def __len__(self) -> int:
        """The number of waiting jobs."""
        return self.backlog.waiting

    # -- matching -------------------------------------------------------------------------------

    def match(self, offer: LiveOffer, jobs_max: int, now: float) -> list[Match]:
        """Hand out at most `jobs_max` jobs that fit together into what is free.

        They are pending until they are confirmed, dropped or put back.
        """
        self.wakes.expire(now)
        self.wakes.answered(offer.pilot)
        matches: list[Match] = []
        while len(matches) < jobs_max and (cls := self.index.best(offer)) is not None:
            match = self._hand_out(cls, offer)
            matches.append(match)
            offer = msgspec.structs.replace(
                offer,
                cores_free=offer.cores_free - match.cores,
                memory_free_mb=offer.memory_free_mb - match.memory_mb,
                scratch_free_mb=offer.scratch_free_mb - match.scratch_mb,
            )
        return matches

    def confirm(self, job: int) -> None:
        """The match is written. A job that is not pending is left alone."""
        if self.backlog.state(job) == PENDING:
            self.backlog.forget(job)

    def drop(self, job: int) -> None:
        """The job was not to be had: forget it; the caller reads it again."""
        self.confirm(job)

    def put_back(self, job: int) -> None:
        """The match was not written: the job waits again, in its old place.

        A job that is not pending is left alone.
        """
        if self.backlog.state(job) == PENDING:
            self.backlog.put_back(job)

    def _hand_out(self, cls: JobClass, offer: LiveOffer) -> Match:
        """Take the best job of a class that fits."""
        needs = cls.spec.needs
        place = 0
        if len(needs) > 1:
            found = fit.first_fitting(cls.spec, offer, clauses=self.clauses)
            assert found is not None, "the index and the rule disagree"
            place = found
        need = needs[place]
        grant = fit.grant(need, offer)
        job = self.backlog.take(cls)
        return Match(
            job=job,
            class_id=cls.spec.class_id,
            priority=self.backlog.priority(job),
            cores=grant.cores,
            memory_mb=grant.memory_mb,
            wall_s=need.wall_s,
            scratch_mb=need.scratch_mb,
        )

    # -- parked offers --------------------------------------------------------------------------

    def park(self, offer: LiveOffer, ask: int, now: float) -> None:
        """Keep an offer that found nothing. Replaces the pilot's older one."""
        self.wakes.expire(now)
        self.withdraw(offer.pilot)
        self.parked.add(offer, ask)

    def withdraw(self, pilot: str) -> None:
        """The offer stands no more: a newer ask, drain, or silence."""
        self.wakes.answered(pilot)
        self.parked.remove(pilot)

    def parked_ask(self, pilot: str) -> int:
        """Return the number of the ask that is parked for this pilot, 0 for none."""
        parked = self.parked.by_pilot.get(pilot)
        return 0 if parked is None else parked.ask

    def wake(self, now: float) -> list[Parked]:
        """Return the parked pilots to wake for jobs that wait, best fit first, one pilot per job.

        The job is kept for that pilot for `keep_s`; it is not pending. A pilot that was woken is
        not woken again within that time, nor within twice the time when it did not come, and so on.
        """
        return self.wakes.wake(now)

    def has_work(self, pilot: str, now: float) -> bool:
        """Whether a waiting job would fit this pilot's parked offer."""
        self.wakes.expire(now)
        parked = self.parked.by_pilot.get(pilot)
        if parked is None:
            return False
        return pilot in self.wakes.by_pilot or self.index.best(parked.offer) is not None

    # -- explaining -----------------------------------------------------------------------------

    def explain(
        self,
        job: int | None,
        spec: ClassSpec,
        offers: Sequence[LiveOffer],
        now: float,
        *,
        priority: int = PRIORITY_DEFAULT,
    ) -> Explanation:
        """Say clause by clause how many of `offers` exclude the job, and the nearest miss.

        `priority` counts for a job that does not wait here.
        """
        self.wakes.expire(now)
        return explain.explain(
            job,
            spec,
            offers,
            priority=priority,
            clauses=self.clauses,
            backlog=self.backlog,
            index=self.index,
        )

    def misfits(self, need: Need, offer: LiveOffer) -> list[str]:
        """Return the names of the clauses that refuse; the exact rule."""
        return fit.misfits(need, offer, clauses=self.clauses)
