"""`Matcher`: the only class of this room for other rooms."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from pilotage.proto.api.explanations import Explanation, OfferExplanation
from pilotage.proto.documents.job import PRIORITY_DEFAULT

from .clauses import clause_table
from .clauses.tag_expressions import parse
from .explanation import job_explanation, offer_explanation
from .explanation.free_capacity import Free
from .explanation.matcher_view import MatcherState
from .index import exact_fit
from .index.community_indexes import Indexes
from .limits.active_job import ActiveJob
from .limits.attempts import Attempts
from .limits.fair_shares import ShareNode, Shares
from .limits.running_limits import Limit, LimitTable
from .parked_offers.offers import ParkedOffers
from .parked_offers.wake_ups import WakeUps
from .queue.backlog import Backlog
from .queue.job_classes import JobClass
from .queue.ledger import ABSENT, PENDING
from .reservations.reservations import Reservations
from .rules import DEFAULT_RULES, Rules
from .types import Ceiling, ClassSpec, Grant, LiveOffer, Match, ParkedWake, RunningAttempt

_NO_LIMITS: Final[tuple[Limit, ...]] = ()
SLACK: Final = 64  # forgotten classes that are not worth a new index


class Matcher:
    """The queue of waiting jobs, and the parked offers.

    `now` is a reading of the caller's monotonic clock, in seconds. Jobs are integers. A job is in
    one of three states: waiting, pending (matched, but not known to be stored), or unknown.

    Order of calls at the start:

    - `restore`
    - `add_class` for every class
    - `running` for active attempts
    - `add` for waiting jobs
    - `begin`, once

    Calls after that:

    - `add_class` before the first `add` of a class
    - after `match`, for each job, one of `confirm`, `drop` and `put_back`
    - after `confirm`, when the attempt has ended, `ended`
    - `park` for an offer without a match, until `withdraw` or the pilot's next `park`
    - `wake` when jobs have arrived, and each second, because it ends what has expired
    - `forget_class` when `is_idle` says so

    All calls may be repeated: a call that no longer applies changes nothing.
    """

    def __init__(self, rules: Rules = DEFAULT_RULES) -> None:
        self.rules = rules
        self.clauses = clause_table.table(rules.compatible)
        self.shares = Shares(rules.shares, rules.half_life_s, rules.ahead_core_s, rules.ahead)
        self.limits = LimitTable(rules)
        self.attempts = Attempts(self.shares, self.limits)
        self.backlog = Backlog(self.shares)
        self.index = Indexes(self.backlog, self.clauses, self.shares, self.limits, rules)
        self._forgotten = 0  # classes since owners were last pruned
        self.parked = ParkedOffers(self.index, self.limits, self.clauses)
        self.reservations = Reservations(
            self.backlog,
            self.index,
            self.attempts,
            self.clauses,
            self.limits,
            self.shares,
            rules,
        )
        self.wakes = WakeUps(
            self.backlog, self.index, self.parked, self.limits, keep_s=rules.keep_s
        )

    # -- jobs -------------------------------------------------------------------------------------

    def add_class(self, spec: ClassSpec) -> None:
        """Make a class known. Idempotent. Raises BadTags."""
        if spec.class_id not in self.backlog.classes:
            for need in spec.needs:
                parse(need.tags)
            self.index.add(self.backlog.add_class(spec))
            if self.limits.has_begun:
                self.limits.has_begun = False
                self.parked.limits_changed()

    def forget_class(self, class_id: int) -> bool:
        """Forget a class without waiting or pending jobs; return False if it has some.

        It may be added again. Its memory is freed once forgotten classes outnumber the others.
        """
        cls = self.backlog.forget_class(class_id)
        if cls is None:
            return False
        self.index.forget(cls)
        self._forgotten += 1
        if self._forgotten > len(self.backlog.classes) + SLACK:
            self._prune()
        return True

    def compact(self) -> None:
        """Free the memory of forgotten classes at once."""
        self._prune()
        self.index.compact()

    def _prune(self) -> None:
        """Forget owners without jobs and classes."""
        self._forgotten = 0
        self.shares.prune()

    def is_idle(self, class_id: int) -> bool:
        """Return whether no job of the class waits or is pending."""
        classes = self.backlog.classes
        return class_id not in classes or not classes.get(class_id).here

    def add(self, class_id: int, priority: int, jobs: Iterable[int]) -> None:
        """Queue jobs in the order of their ids, older first.

        Jobs that wait or are pending already are left alone. Raises UnknownClass.
        """
        self.backlog.add(class_id, priority, jobs)
        self.shares.came(self.backlog.classes.get(class_id).owner, self.backlog.now)

    def remove(self, job: int) -> bool:
        """Remove a waiting job; return False if it does not wait. A pending job is not touched."""
        if self.backlog.state(job) in (ABSENT, PENDING):
            return False
        self.wakes.job_gone(job, self.backlog.now)
        self.backlog.forget(job)
        return True

    def set_priority(self, job: int, priority: int) -> bool:
        """Change the priority; return False for an unknown job.

        A pending job gets it if it returns.
        """
        if self.backlog.state(job) == ABSENT:
            return False
        self.backlog.set_priority(job, priority)
        self.shares.came(self.backlog.class_of(job).owner, self.backlog.now)
        return True

    def __contains__(self, job: int) -> bool:
        """Return whether the job waits or is pending."""
        return self.backlog.state(job) != ABSENT

    def __len__(self) -> int:
        """The number of waiting jobs."""
        return self.backlog.waiting

    # -- matching ---------------------------------------------------------------------------------

    def match(self, offer: LiveOffer, jobs_max: int, now: float) -> list[Match]:
        """Hand out at most `jobs_max` jobs that fit together into the free capacity of an offer.

        They are pending until they are confirmed, dropped or put back.
        """
        self._at(now)
        if self.wakes.by_pilot:
            self.wakes.answered(offer.pilot, now)
        matches: list[Match] = []
        if self.reservations.by_class:
            return self._match_reserved(offer, jobs_max, matches)
        self._fill(offer, jobs_max, matches)
        if self.reservations.is_time(offer.community):
            self.reservations.consider(rest(offer, matches))
        return matches

    def confirm(self, job: int) -> None:
        """Record that a match is stored: the attempt runs until `ended`.

        Ignore jobs that are not pending.
        """
        if self.attempts.confirm(job):
            self.backlog.confirm(job)

    def ended(self, job: int, used_core_s: float | None = None) -> None:
        """Record the end of an attempt: release its limits, and count its real usage, if known.

        A job without a running attempt is ignored.
        """
        self.attempts.end(job, used_core_s, self.backlog.now)

    def running(self, one: RunningAttempt, now: float) -> None:
        """Add an attempt that is active already: after a start, or when a job is taken back.

        It was matched `age_s` seconds ago. Its class must be known. Raises UnknownClass.
        """
        self._at(now)
        cls = self.backlog.classes.get(one.class_id)
        if self.backlog.state(one.job) == PENDING:  # that match is lost: no `drop` will follow
            self.attempts.undo(one.job, now)
            self.backlog.forget(one.job)
        place = self.limits.place(cls.spec.community, one.site, one.element)
        taken: tuple[Limit, ...] = ()
        if place is not None:
            kinds = self.index.all_kinds_of(cls)  # the need that it runs by is unknown
            taken = self.limits.take_running(place, kinds, one.grant.amounts)
        out = ActiveJob(
            owner=cls.owner,
            class_id=one.class_id,
            pilot=one.pilot,
            site=one.site,
            element=one.element,
            grant=one.grant,
            at=now - one.age_s,
            limits=taken,
            cap=cls.cap,
            is_running=True,
        )
        self.attempts.begin(one.job, out)

    def begin(self, now: float) -> None:
        """Finish the restore. Rates begin empty, because earlier starts are unknown."""
        self._at(now)
        self.limits.empty_rates(now)
        self.shares.begin(now)

    def change(self, rules: Rules, now: float) -> None:
        """Apply other shares and limits; the other rules stay.

        Running and kept jobs count at once, even if they exceed a new limit. Call `wake`
        afterwards.
        """
        self._at(now)
        self.rules = msgspec.structs.replace(
            self.rules, shares=rules.shares, running=rules.running, starts=rules.starts
        )
        self.shares.change(rules.shares)
        self.limits.change(rules, now)
        self.index.limits_changed()
        self.parked.limits_changed()
        for out in self.attempts.by_job.values():
            self._count_again(out)
        self.wakes.limits_changed()

    def _count_again(self, out: ActiveJob) -> None:
        """Count an active job for the present limits."""
        spec, taken = self.backlog.classes.find(out.class_id), _NO_LIMITS
        place = self.limits.place(_community_of(out.owner), out.site, out.element)
        if spec is not None and place is not None:
            kinds = self.index.all_kinds_of(spec)
            taken = self.limits.take_running(place, kinds, out.grant.amounts)
        out.limits = (*taken, *self.limits.rates_of(out.limits))

    def levels(self, now: float) -> dict[str, float]:
        """Return the usage levels of groups and owners, without running jobs."""
        return self.shares.settled(now)

    def restore(self, levels: Mapping[str, float], at: float) -> None:
        """Set the levels that `levels` returned at a time, before anything runs or waits."""
        self.shares.restore(levels, at)

    def drop(self, job: int) -> None:
        """Forget a job that could not be taken; the caller reads it again."""
        if self.backlog.state(job) == PENDING:
            self.attempts.undo(job, self.backlog.now)
            self.backlog.forget(job)

    def put_back(self, job: int) -> None:
        """Undo a match that was not stored: the job waits again in its old place.

        Shares and limits are restored too. A job that is not pending is ignored.
        """
        if self.backlog.state(job) == PENDING:
            self.attempts.undo(job, self.backlog.now)
            self.backlog.put_back(job)

    def _at(self, now: float) -> None:
        """Note the caller's clock, and end all expired wake-ups."""
        self.backlog.now = now
        if self.wakes.running or self.wakes.resting:
            self.wakes.expire(now)

    def _fill(self, offer: LiveOffer, jobs_max: int, matches: list[Match]) -> None:
        """Hand out fitting jobs, best first."""
        index = self.index.of(offer.community)
        if index is None:
            return
        while len(matches) < jobs_max and (found := index.best(offer)) is not None:
            match = self._hand_out(*found, offer, in_turn=index.in_turn)
            matches.append(match)
            if len(matches) < jobs_max:
                offer = less(offer, match.grant)

    def _match_reserved(self, offer: LiveOffer, jobs_max: int, matches: list[Match]) -> list[Match]:
        """Match while some offer is reserved, maybe this one."""
        self.reservations.review()
        held = self.reservations.of(offer)
        if held is not None and jobs_max > 0:
            cls = self.backlog.classes.get(held.class_id)
            place = self.index.place_for(cls, offer)
            if place is not None:
                is_due = self.reservations.is_due(held, offer)
                self.reservations.end(held)
                held = None
                if is_due:
                    matches.append(self._hand_out(cls, place, offer, in_turn=False))
                    offer = less(offer, matches[-1].grant)
        if held is not None:
            spare = self.reservations.spare(held, offer)
            before = len(matches)
            if spare.cores_free > 0:
                self._fill(spare, jobs_max, matches)
            offer = rest(offer, matches[before:])
            self._fill(self.reservations.until(held, offer), jobs_max, matches)
        else:
            before = len(matches)
            self._fill(offer, jobs_max, matches)
            if self.reservations.is_time(offer.community):
                self.reservations.consider(rest(offer, matches[before:]))
        if self.reservations.ended:
            self._unreserve()
        return matches

    def _unreserve(self) -> None:
        """Restore the parked offers whose reservations have ended."""
        for pilot in self.reservations.ended:
            self.parked.reshape(pilot, None)
        self.reservations.ended.clear()

    def _hand_out(self, cls: JobClass, place: int, offer: LiveOffer, *, in_turn: bool) -> Match:
        """Hand out the best job of a class for one of its needs, and charge its owner."""
        need, spec = cls.spec.needs[place], cls.spec
        grant = exact_fit.grant(need, offer, self.attempts.held(offer.pilot))
        priority = cls.best_priority
        job = self.backlog.take(cls)
        now, taken = self.backlog.now, _NO_LIMITS
        self.shares.serve(cls.owner, now, in_turn=in_turn)
        if self.limits.any:
            taken = self._take_limits(cls, place, offer)
        out = ActiveJob(
            cls.owner,
            spec.class_id,
            offer.pilot,
            offer.site,
            offer.element,
            grant,
            now,
            taken,
            cap=cls.cap,
        )
        self.attempts.begin(job, out)
        return Match(job=job, class_id=spec.class_id, priority=priority, grant=grant)

    def _take_limits(self, cls: JobClass, need: int, offer: LiveOffer) -> tuple[Limit, ...]:
        place = self.limits.place(offer.community, offer.site, offer.element)
        assert place is not None, "each offer has a place where there are limits"
        return self.limits.take(place, self.index.kinds_of(cls, need), self.backlog.now)

    # -- parked offers ----------------------------------------------------------------------------

    def park(self, offer: LiveOffer, ask: int, now: float) -> None:
        """Keep an offer without a match. It replaces the pilot's older offer."""
        self._at(now)
        self.withdraw(offer.pilot)
        self.parked.add(offer, ask)
        held = self.reservations.by_pilot.get(offer.pilot)
        if held is not None and (spare := self.reservations.spare(held, offer)) != offer:
            until = self.reservations.until(held, offer)
            self.parked.reshape(offer.pilot, until, spare if spare.cores_free > 0 else None)

    def withdraw(self, pilot: str) -> None:
        """Remove an offer, because of a newer ask, a drain or silence."""
        self.wakes.answered(pilot, self.backlog.now)
        self.parked.remove(pilot)

    def parked_pilots(self) -> list[str]:
        """Return the pilots with parked offers."""
        return list(self.parked.by_pilot)

    def parked_ask(self, pilot: str) -> int:
        """Return the number of this pilot's parked ask; 0: none."""
        parked = self.parked.by_pilot.get(pilot)
        return 0 if parked is None else parked.ask

    def wake(self, now: float) -> list[ParkedWake]:
        """Return the parked pilots to wake, best fit first, one for each waiting job.

        The job is kept for that pilot for `keep_s` seconds; it is not pending. A pilot is not woken
        again within that time. If it did not ask, it is not woken within twice that time, and so
        on.
        """
        self._at(now)
        self.reservations.review()
        self._unreserve()
        return self.wakes.wake(now)

    def has_work(self, pilot: str, now: float) -> bool:
        """Return whether a waiting job would fit this pilot's parked offer."""
        self._at(now)
        parked = self.parked.by_pilot.get(pilot)
        if parked is None:
            return False
        return pilot in self.wakes.by_pilot or self.parked.work_for(parked) is not None

    # -- for other rooms --------------------------------------------------------------------------

    def waiting(self) -> list[tuple[ClassSpec, int]]:
        """Return each class with waiting jobs that its submission lets start, and their number."""
        classes = self.backlog.classes.all()
        return [(cls.spec, jobs) for cls in classes if (jobs := _may_start(cls))]

    def ceilings(self, spec: ClassSpec) -> list[Ceiling]:
        """Return how many more jobs of a class each limit lets run, and where it holds."""
        return self.limits.ceilings(spec)

    # -- explanations -----------------------------------------------------------------------------

    def explain(
        self,
        job: int | None,
        spec: ClassSpec,
        offers: Sequence[LiveOffer],
        now: float,
        *,
        priority: int = PRIORITY_DEFAULT,
        free: Free | None = None,
    ) -> Explanation:
        """Return, by clause, how many of `offers` exclude the job, and the nearest miss.

        `priority` counts for a job that does not wait here. If `free` is given, `offers` are the
        offers when empty, and `free` returns the present state of one.
        """
        self._at(now)
        return job_explanation.explain(job, spec, offers, self._known, priority=priority, free=free)

    def explain_offer(
        self, offer: LiveOffer, now: float, *, empty: LiveOffer | None = None
    ) -> OfferExplanation:
        """Return, by clause, how many waiting jobs an offer cannot run, and what holds it.

        `empty`: the offer with no jobs on it.
        """
        self._at(now)
        return offer_explanation.explain_offer(offer, self._known, empty=empty)

    @property
    def _known(self) -> MatcherState:
        return MatcherState(
            clauses=self.clauses,
            backlog=self.backlog,
            indexes=self.index,
            shares=self.shares,
            limits=self.limits,
            reservations=self.reservations,
            kept_for=self.wakes.by_pilot,
        )


def _may_start(cls: JobClass) -> int:
    return cls.waiting if cls.cap is None else min(cls.waiting, cls.cap.room)


def _community_of(owner: ShareNode) -> str:
    group = owner.parent
    assert group is not None and group.parent is not None, "an owner is of a community's group"
    return group.parent.name


def less(offer: LiveOffer, grant: Grant) -> LiveOffer:
    """Return the rest of an offer after a grant."""
    if grant.amounts:
        given, free = grant.amounts, offer.amounts_free.items()
        left = {name: amount - given.get(name, 0) for name, amount in free}
        offer = msgspec.structs.replace(offer, amounts_free=left)
    return msgspec.structs.replace(
        offer,
        cores_free=offer.cores_free - grant.cores,
        memory_free_mb=offer.memory_free_mb - grant.memory_mb,
        scratch_free_mb=offer.scratch_free_mb - grant.scratch_mb,
        gpus_free=offer.gpus_free - grant.gpus,
    )


def rest(offer: LiveOffer, matches: Iterable[Match]) -> LiveOffer:
    """Return the rest of an offer after some matches."""
    for match in matches:
        offer = less(offer, match.grant)
    return offer
