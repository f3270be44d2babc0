"""Reservations: wide jobs that have waited long get an offer that the other jobs then leave.

A job is wide if it asks for more than one core, or for any memory, scratch, GPU or named amount.
With several smaller jobs on an offer, one is always running, so the offer never becomes free enough
by itself.

When jobs of a wide class have waited without a break for `reserve_after_s`, the next few offers
that would be large enough after some of their jobs are reserved for it. The reservation lasts until
these jobs must have ended. Until then, other jobs use what the wide job will not need, and also the
rest if they end before. An offer that could serve the class earlier takes over a reservation. A
class of one core that fits after the first end needs no reservation: it waits for its turn.

Reservations do not bypass the shares: as with scarce demands, an owner who is too far ahead gets
none. The permitted lead is larger, because wide jobs are few and large. No reservation is made if
limits block the job, or for jobs of the lowest priority. Each community has its own reservations,
and an owner only a few. After a failed reservation, its owner gets none for the time that it
lasted.
"""

from collections.abc import Iterator
from operator import attrgetter
from typing import Final

import msgspec

from ..clauses.amounts import due, free_of, with_free
from ..clauses.clause import Clauses
from ..clauses.clause_kinds import joint, numbers
from ..index.class_index import ClassIndex
from ..index.community_indexes import Indexes
from ..index.exact_fit import accepts
from ..limits.attempts import Attempts
from ..limits.fair_shares import ShareNode, Shares
from ..limits.running_limits import ElementLimits, LimitTable
from ..queue.backlog import Backlog
from ..queue.job_classes import JobClass
from ..rules import Rules
from ..types import LiveOffer
from .expected_ends import ExpectedEnds, after
from .reservation_table import Reservation, ReservationIndex, counted

OF_A_CLASS_MAX: Final = 3  # with one, a class whose jobs come in bursts falls behind
UNTIL_MAX_S: Final = 4 * 86_400.0  # a job that must wait longer gets no reservation
ALL_MAX: Final = 64  # if there are no more rows of hungry classes, all are checked for an offer
SOME: Final = 8  # otherwise this many
TURNS_MAX: Final = 4_096
ASKED_MAX: Final = 4  # classes that are checked by the exact rule at one ask
SOONER_S: Final = 60.0  # another offer must be earlier by this much to take over
GONE_S: Final = 60.0  # an idle pilot that does not ask for this time is gone
LATE_S: Final = 60.0  # jobs may end later than they should by this much
# To reserve, an owner may be this much further ahead than with a scarce demand.
AHEAD_TIMES: Final = 3.0
DUE_TIMES: Final = 6.0  # the same, to be given the reserved offer
OF_OUT: Final = 0.04  # of the charges of all running jobs: leads grow with the installation
REVIEW_S: Final = 1.0
CONSIDER_S: Final = 0.1  # between two offers that are considered, because the next will do as well
SELDOM_S: Final = 1.0  # the same, if a community has all its reservations

_wide_order = attrgetter("wide_order")


class Reservations:
    """The reservations of all communities, and the rules for making and ending them."""

    def __init__(
        self,
        backlog: Backlog,
        indexes: Indexes,
        attempts: Attempts,
        clauses: Clauses,
        limits: LimitTable,
        shares: Shares,
        rules: Rules,
    ) -> None:
        self._backlog, self._indexes = backlog, indexes
        self._attempts, self._clauses, self._limits = attempts, clauses, limits
        self._shares = shares
        self._capacities: Clauses = (*numbers(clauses), *joint(clauses))
        self._after_s, self._ahead_core_s = rules.reserve_after_s, rules.ahead_core_s
        self.claims = ReservationIndex()
        self.by_pilot, self.by_class = self.claims.by_pilot, self.claims.by_class
        self.ended: list[str] = []  # pilots whose reservations have ended since the last check
        self._rests: dict[ShareNode, float] = {}  # owners who get no reservation until then
        # Owners with many rows: the row at which to continue.
        self._turns: dict[ShareNode, int] = {}
        self._reviewed = 0.0
        self._considered: dict[str, float] = {}  # when an offer of a community was last considered

    # -- making -----------------------------------------------------------------------------------

    def is_time(self, community: str) -> bool:
        """Return whether wide classes wait, and it is time to check an offer for them."""
        if community not in self._backlog.wide:
            return False
        now, at = self._backlog.now, self._considered.get(community, -SELDOM_S)
        if 0.0 <= now - at < CONSIDER_S:
            return False
        if 0.0 <= now - at < SELDOM_S and self.claims.is_all(self._shares.root.children[community]):
            return False
        self._considered[community] = now
        return True

    def consider(self, offer: LiveOffer) -> None:
        """Reserve an offer, given by its free capacity, for a wide class that has waited long."""
        if offer.pilot in self.by_pilot or offer.cores_free >= offer.cores:
            return
        now = self._backlog.now
        ends = ExpectedEnds(offer, self._attempts.of_pilot(offer.pilot), now)
        if not ends.outs:
            return
        at = self._limits.place(offer.community, offer.site, offer.element)
        asked: list[JobClass] = []
        ahead: set[ShareNode] = set()  # owners who are too far ahead
        for cls in self._hungry(offer, ends):
            its = self.by_class.get(cls.spec.class_id, [])
            latest, last = now + UNTIL_MAX_S, None
            if len(its) >= min(OF_A_CLASS_MAX, cls.waiting):
                last = max(its, key=lambda held: held.until)
                latest = min(latest, last.until - SOONER_S)
            elif self.claims.is_full(cls.owner):
                continue
            for need, number in self._moments(cls, offer, ends, latest):
                if cls.owner in ahead or self._is_shut(cls, need, at, ends.until(number)):
                    continue
                if len(asked) == ASKED_MAX:
                    for one in asked:
                        self._backlog.wide.put_last(one)
                    return
                asked.append(cls)
                later = ends.after(number)
                if not self._may_precede(cls.owner, later, AHEAD_TIMES):
                    ahead.add(cls.owner)
                elif self._is_accepted(cls, need, later):
                    if last is not None:
                        self.end(last)
                    self._reserve(cls, need, offer, ends.until(number))
                    return

    def _hungry(self, offer: LiveOffer, ends: ExpectedEnds) -> list[JobClass]:
        """Return hungry classes that an offer may serve after some of its jobs have ended.

        The class that was served longest ago comes first. Offers with GPUs are for classes that ask
        for GPUs, but not for too many. Other classes usually find wide offers elsewhere.
        """
        index = self._indexes.of(offer.community)
        if index is None:
            return []
        now = self._backlog.now
        self._backlog.wide.ripen(now - self._after_s)
        rows = index.hungry_for(ends.most(), ends.soon())
        if not rows:
            return []
        on_gpus = index.hungry_for_gpus(offer) if offer.gpus else 0
        for owner, until in self._rests.items():
            if until > now and counted(owner)[1] is index.community:
                rows &= ~owner.live
                on_gpus &= ~owner.live
        if not on_gpus:
            return sorted(self._few(index, rows, offer.community), key=_wide_order)
        found = self._few(index, rows & on_gpus, offer.community)
        others = self._few(index, rows & ~on_gpus, offer.community)
        # A class that has waited longer than all jobs here run has found no other wide offer.
        before = 2 * now - ends.until(len(ends.outs))
        found += [cls for cls in others if max(cls.waits_since, cls.served_at) < before]
        return sorted(found, key=_wide_order)

    def _few(self, index: ClassIndex, rows: int, community: str) -> list[JobClass]:
        """Return the classes of some rows, or a few of them."""
        if rows.bit_count() > ALL_MAX:
            rows = self._some(rows, community)
        return index.classes_of(rows) if rows else []

    def _some(self, rows: int, community: str) -> int:
        """Return a few of some rows: equally many of each owner, and other rows the next time."""
        if len(self._turns) > TURNS_MAX:
            self._turns.clear()
        those = self._backlog.wide.next_owners(community, rows, SOME)
        found, most = 0, SOME // len(those) if those else 0
        for owner in those:
            its, row = rows & owner.live, self._turns.get(owner, 0)
            its, left = its & (1 << row) - 1 or its, most
            while its and left:
                row = its.bit_length() - 1
                its ^= 1 << row
                found |= 1 << row
                left -= 1
            self._turns[owner] = row
        return found

    def _reserve(self, cls: JobClass, need: int, offer: LiveOffer, until: float) -> None:
        place, now = (
            self._limits.place(offer.community, offer.site, offer.element),
            self._backlog.now,
        )
        self.claims.add(Reservation(cls, need, offer.pilot, place, until=until, made=now))
        self._backlog.wide.put_last(cls)

    # -- precedence -------------------------------------------------------------------------------

    def is_due(self, held: Reservation, offer: LiveOffer) -> bool:
        """Return whether the class may have its offer before the job that is next.

        Its owner may be further ahead now than when it reserved, so that the reserved time is
        seldom wasted.
        """
        return self._may_precede(held.owner, offer, DUE_TIMES)

    def _may_precede(self, owner: ShareNode, offer: LiveOffer, times: float) -> bool:
        """Return whether neither an owner nor its group is too far ahead of the next owner."""
        found = self._indexes.best(offer)
        if found is None or found[0].owner is owner:
            return True
        mine, others = _rivals(owner, found[0].owner)
        return mine.level - others.level <= times * self._lead(offer.community)

    def _lead(self, community: str) -> float:
        """Return how far ahead a scarce demand may be; more in a large installation."""
        groups = self._shares.root.children[community].children.values()
        out = sum(group.out * group.share for group in groups)
        ahead = self._ahead_core_s * self._shares.weight(self._backlog.now)
        return max(ahead, OF_OUT * out)

    def _is_shut(self, cls: JobClass, need: int, place: ElementLimits | None, until: float) -> bool:
        """Return whether limits or a ban block a job at a place now, and also at a later time."""
        closed = place.look(self._backlog.now) if place is not None else ()
        if place is None or not closed:
            return False
        kinds = self._indexes.kinds_of(cls, need)
        return any(kind in kinds for kind in place.without) or any(
            limit.is_short_of(kinds[limit.kind]) and not (limit.is_rate and limit.opens_at <= until)
            for limit in place.limits
            if limit.kind in kinds
        )

    def _moments(
        self, cls: JobClass, offer: LiveOffer, ends: ExpectedEnds, latest: float
    ) -> Iterator[tuple[int, int]]:
        """Yield the indices of the needs for which there will be enough room and time.

        Each comes with the number of jobs that must have ended.
        """
        for place, need in enumerate(cls.spec.needs):
            number = ends.enough(need, latest)
            if number:
                yield place, number

    def _is_accepted(self, cls: JobClass, place: int, offer: LiveOffer) -> bool:
        return accepts(cls.spec.needs[place], cls.spec, offer, self._clauses)

    def _has_room(self, cls: JobClass, place: int, offer: LiveOffer) -> bool:
        """Return whether an offer that a need has accepted has room for it."""
        return accepts(cls.spec.needs[place], cls.spec, offer, self._capacities)

    # -- keeping ----------------------------------------------------------------------------------

    def of(self, offer: LiveOffer) -> Reservation | None:
        """Return the reservation of an offer, brought up to date; None if it has ended."""
        held = self.by_pilot.get(offer.pilot)
        if held is None:
            return None
        if self._end_if_over(held):
            return None
        cls = self._backlog.classes.get(held.class_id)
        ends = ExpectedEnds(offer, self._attempts.of_pilot(offer.pilot), self._backlog.now)
        for place, number in self._moments(cls, offer, ends, held.until):
            later = ends.after(number)
            # The pilot has not changed since it accepted this need: only numbers change.
            accepts = self._has_room if place == held.need else self._is_accepted
            if accepts(cls, place, later):
                held.until, held.need = ends.until(number), place
                break
        return held

    def spare(self, held: Reservation, offer: LiveOffer) -> LiveOffer:
        """Return the part of a reserved offer that the wide job will not need."""
        need = self._backlog.classes.get(held.class_id).spec.needs[held.need]
        ended = [out for out in self._attempts.of_pilot(offer.pilot) if out.ends_at <= held.until]
        later = free_of(after(offer, ended, self._backlog.now))
        left = [
            max(0, min(free, then - takes))
            for free, then, takes in zip(free_of(offer), later, due(need, offer), strict=True)
        ]
        return with_free(offer, left)

    def until(self, held: Reservation, offer: LiveOffer) -> LiveOffer:
        """Return a reserved offer for jobs that end before it is needed."""
        left_s = max(0.0, held.until - self._backlog.now)
        return msgspec.structs.replace(offer, wall_left_s=min(offer.wall_left_s, left_s))

    def review(self) -> None:
        """End reservations that are not needed any more, or whose pilot does not return."""
        now = self._backlog.now
        if not self.by_pilot or now - self._reviewed < REVIEW_S:
            return
        self._reviewed = now
        for held in list(self.by_pilot.values()):
            if next(iter(self._attempts.of_pilot(held.pilot)), None) is not None:
                held.idle_since = None
            elif held.idle_since is None:
                held.idle_since = now
            if held.idle_since is not None and now - held.idle_since >= GONE_S:
                self.end(held)
            else:
                self._end_if_over(held)

    def end(self, held: Reservation, *, in_vain: bool = False) -> None:
        """End a reservation, because its class is served or does not need the offer any more.

        `in_vain`: its owner reserves nothing for the time that the reservation lasted.
        """
        self.claims.remove(held)
        self.ended.append(held.pilot)
        if in_vain:
            now = self._backlog.now
            self._rests = {owner: until for owner, until in self._rests.items() if until > now}
            until = now + (now - held.made)
            self._rests[held.owner] = max(until, self._rests.get(held.owner, until))

    def _end_if_over(self, held: Reservation) -> bool:
        """End a reservation that cannot succeed any more, and return whether it ended."""
        cls = self._backlog.classes.find(held.class_id)
        its = len(self.by_class[held.class_id])
        if cls is not None and cls.is_shut:
            self.end(held)
            return True
        if cls is None or cls.waiting < its:
            is_served = cls is not None and (cls.here >= its or cls.served_at >= held.made)
            self.end(held, in_vain=not is_served)
            return True
        if self._is_shut(cls, held.need, held.place, held.until):
            self.end(held)
            return True
        if self._backlog.now >= held.until + LATE_S:  # the jobs on it should have ended
            self.end(held, in_vain=True)
            return True
        return False


def _rivals(mine: ShareNode, others: ShareNode) -> tuple[ShareNode, ShareNode]:
    """Return the nodes that compete for two owners: their groups, or themselves within a group."""
    if mine.parent is others.parent or mine.parent is None or others.parent is None:
        return mine, others
    return mine.parent, others.parent
