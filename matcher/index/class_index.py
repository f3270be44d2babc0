"""The index: it finds the first waiting job for an offer without a check of every class.

`rows` finds the rows that accept the offer. The shares choose the next owner among those rows. An
owner's classes are sorted by their best jobs, and the first one among the rows is the answer.
"""

from collections.abc import Mapping
from heapq import heapify, heappop, heappush
from itertools import islice
from typing import Final

from pilotage.proto.documents.job import PRIORITY_MIN

from ..clauses.clause import Clauses
from ..clauses.word_bits import each
from ..limits.fair_shares import ShareNode, Shares
from ..limits.running_limits import LimitTable
from ..queue.backlog import Backlog
from ..queue.job_classes import JobClass, QueueEntry, rank
from ..queue.owner_ranking import OwnerRanking
from ..rules import Rules
from ..types import LiveOffer
from .rows import Rows
from .thresholds import LOOSE_MAX

# An owner's classes that are checked one by one before the set itself is split.
WALK_MAX: Final = 512
EACH: Final = 32  # classes that can be checked in the time in which one row is taken out of a set

_LAST_RANK: Final = rank(PRIORITY_MIN, 0)  # of the first job with the lowest priority

FoundClass = tuple[JobClass, int]  # a class and the index of its need


class ClassIndex(Rows):
    """The index of one community's classes."""

    def __init__(
        self,
        backlog: Backlog,
        clauses: Clauses,
        limits: LimitTable,
        rules: Rules,
        shares: Shares,
        community: ShareNode,
    ) -> None:
        super().__init__(backlog, clauses, limits, rules)
        self._shares, self.community = shares, community
        self.known = 0  # classes in this index
        self.forgotten = 0  # forgotten classes whose rows are still here
        self._ranked: dict[ShareNode, OwnerRanking] = {}
        self.heir: ClassIndex | None = None  # the new index that will replace this one
        self._to_be: dict[ShareNode, int] | None = (
            None  # share node → live rows, until this index is in service
        )
        self._last = 0  # rows of classes whose best job has the lowest priority
        self._choosy = 0  # rows of classes whose best job prefers some sites
        # Rows of classes that have waited for long, perhaps without waiting jobs now.
        self._hungry = 0
        # Ends of preferences, and the slots of their classes.
        self._timers: list[tuple[float, int]] = []
        # Whether the owner of the last result of `best` was next in turn. With a scarce demand it
        # may not be.
        self.in_turn = True

    # -- classes ----------------------------------------------------------------------------------

    def add(self, cls: JobClass) -> None:
        """Add a class."""
        self.enter(cls)
        cls.first_row = self._entered.pop(cls)
        cls.watcher, cls.timer = self, 0.0
        self.known += 1
        if cls.owner not in self._ranked:
            self._ranked[cls.owner] = OwnerRanking()
        if cls.entry is not None:
            self.changed(cls, None)

    def changed(self, cls: JobClass, old: QueueEntry | None) -> None:
        """Update the index after the best job of a class has changed."""
        self._change(cls, cls.first_row, old)
        if cls.arrivals is not None and cls.entry is not None:
            self._note_preference(cls, cls.needs << cls.first_row)
        if self.heir is not None and (row := self.heir.row_of(cls)) is not None:
            self.heir._change(cls, row, old)

    def hungers(self, cls: JobClass) -> None:
        """Record whether a class has waited for long."""
        self._note_hunger(cls, cls.first_row)
        if self.heir is not None and (row := self.heir.row_of(cls)) is not None:
            self.heir._note_hunger(cls, row)

    def _change(self, cls: JobClass, row: int, old: QueueEntry | None) -> None:
        """Update the order and the sets of rows after the best job of a class has changed."""
        rows, new, ranked = cls.needs << row, cls.entry, self._ranked[cls.owner]
        if old is not None:
            ranked.remove(old[0])
        if new is not None:
            ranked.add(new[0], row if cls.needs == 1 else ~row)
            if new[0] >= _LAST_RANK:
                self._last |= rows
            elif self._last:
                self._last &= ~rows
        if old is None or new is None:
            group = cls.owner.parent
            assert group is not None, "an owner has a group"
            self.live ^= rows
            if self._to_be is None:
                group.live ^= rows
                cls.owner.live ^= rows
            else:
                self._to_be[group] = self._to_be.get(group, 0) ^ rows
                self._to_be[cls.owner] = self._to_be.get(cls.owner, 0) ^ rows

    def _note_hunger(self, cls: JobClass, row: int) -> None:
        rows = cls.needs << row
        self._hungry = self._hungry | rows if cls.is_hungry else self._hungry & ~rows

    # -- replacement by a new index ---------------------------------------------------------------

    def inherit(self, cls: JobClass) -> None:
        """Add a class that another index still holds; that index forwards the class's changes."""
        if self._to_be is None:
            self._to_be = {}
        self.enter(cls)
        if cls.owner not in self._ranked:
            self._ranked[cls.owner] = OwnerRanking()
        row = self._entered[cls]
        if cls.entry is not None:
            self._change(cls, row, None)
        if cls.is_hungry:
            self._note_hunger(cls, row)

    def row_of(self, cls: JobClass) -> int | None:
        """Return the first row of an inherited class; None if it was not inherited."""
        return self._entered.get(cls)

    def take_over(self, known: Mapping[int, JobClass]) -> None:
        """Replace another index for the classes that were inherited from it."""
        for cls, first in self._entered.items():
            if known.get(cls.spec.class_id) is not cls:  # it was forgotten since
                self.forgotten += 1
                continue
            self.known += 1
            cls.first_row, cls.watcher, cls.timer = first, self, 0.0
            if cls.arrivals is not None and cls.entry is not None:
                self._note_preference(cls, cls.needs << first)
        to_be = self._to_be or {}
        for group in self.community.children.values():
            group.live = to_be.get(group, 0)
            for owner in group.children.values():
                owner.live = to_be.get(owner, 0)
        self._entered.clear()
        self._to_be = None

    def _note_preference(self, cls: JobClass, rows: int) -> None:
        if cls.prefers_until <= self._backlog.now:
            self._choosy &= ~rows
            return
        self._choosy |= rows
        # An early timer does no harm, and a timer for each change would be too many.
        if not cls.timer or cls.prefers_until < cls.timer:
            cls.timer = cls.prefers_until
            heappush(self._timers, (cls.timer, cls.slot))

    def _end_preferences(self) -> None:
        """Clear the preference of classes whose best job may now run anywhere."""
        now = self._backlog.now
        while self._timers and self._timers[0][0] <= now:
            at, slot = heappop(self._timers)
            cls = self._backlog.classes.by_slot[slot]
            if cls.watcher is self and cls.timer == at:
                cls.timer = 0.0
                self._note_preference(cls, cls.needs << cls.first_row)

    def ranked(self) -> dict[ShareNode, OwnerRanking]:
        """Return the classes with waiting jobs by owner. For checks only."""
        return self._ranked

    @property
    def timers(self) -> int:
        """Return the number of pending ends of preferences. For checks only."""
        return len(self._timers)

    def check_class(self, cls: JobClass) -> None:
        """Raise AssertionError if a set of rows does not agree with a class. For checks only."""
        rows = cls.needs << cls.first_row
        is_last = cls.entry is not None and cls.entry[0] >= _LAST_RANK
        assert self._last & rows == (rows if is_last else 0), "priority 0"
        assert self._hungry & rows == (rows if cls.is_hungry else 0), "hunger"
        if cls.arrivals is not None:
            ends = any(at == cls.timer and slot == cls.slot for at, slot in self._timers)
            assert not self._choosy & rows or ends, "a preference that nobody ends"
            assert self._choosy & rows or cls.prefers_until <= self._backlog.now, "preference"

    def rows_of_owner(self, owner: ShareNode) -> int:
        """Return the rows of an owner's classes with waiting jobs, as bits."""
        return owner.live

    def hungry_for(self, offer: LiveOffer, soon: LiveOffer) -> int:
        """Return the rows of hungry classes that may accept an offer, without limits, as bits.

        Jobs of one core that fit into `soon` only wait for their turn. Jobs of the lowest priority
        are not hungry, because they come after all others anyway.
        """
        rows = self._accepting(offer) & self._hungry & ~self._last
        if rows:
            rows &= ~(self._surely_with_room(soon) & self._by_name["cores"].doing(1))
        return rows

    def hungry_for_gpus(self, offer: LiveOffer) -> int:
        """Return the hungry rows that ask for GPUs and may accept this kind of offer."""
        rows = self._hungry & self.live & self._on_gpus
        if not rows:
            return 0
        rows &= self.kind_rows(offer) & ~self._last
        cores, gpus = self._by_name["cores"], self._by_name["gpus"]
        rows &= cores.doing(offer.cores) & gpus.doing(offer.gpus)
        if cores.is_exact and gpus.is_exact:
            return rows
        needs = [(row, self._row_need[row]) for row in islice(each(rows), LOOSE_MAX)]
        its = [row for row, need in needs if need.gpus_min <= offer.gpus]
        return rows if its else 0

    # -- the best job -----------------------------------------------------------------------------

    def best(self, offer: LiveOffer) -> FoundClass | None:
        """Return the class of the first job and the index of its need; None if there is none."""
        if self._timers and self._timers[0][0] <= self._backlog.now:
            self._end_preferences()
        self.in_turn = True
        rows = self._accepting(offer)
        if rows and self._limits.any:
            rows ^= rows & self._closed(offer)
        if not rows:
            return None
        if self._several and not self._unsure:
            rows = self._firsts(rows)
        if self._last or self._choosy or self._unsure:
            return self._by_tiers(rows, offer)
        return self._first_by_turn(rows)

    def _firsts(self, rows: int) -> int:
        """Return only the first of these rows of each class.

        For each class with several rows, add one at its first row to the complement of the set: the
        carry stops at the first row in the set.
        """
        several = rows & self._several
        if not several:
            return rows
        carried = (self._several ^ several) + self._first_of_several
        return rows ^ several ^ several & carried

    def _by_tiers(self, rows: int, offer: LiveOffer) -> FoundClass | None:
        """Return the first job by tiers.

        The tiers are scarce demands, other jobs, jobs that prefer other sites, and the lowest
        priority. A scarce demand goes first, unless that brings its owner too far ahead.
        """
        last = rows & self._last
        main = rows ^ last
        elsewhere = 0
        if self._choosy:
            elsewhere = main & self._choosy
            elsewhere ^= elsewhere & self.liking(offer.site)
            main ^= elsewhere
        if self._unsure:  # the need that fits may be another than the first row suggests
            those = main & self._scarce
            scarce = self._first(those, rows)
            main ^= those
            if scarce is not None and self._surely_precedes(scarce[0].owner, main):
                return scarce
            first = self._first(main, rows)
            if scarce is not None:
                if first is None or self._may_precede(scarce[0].owner, first[0].owner):
                    self.in_turn = first is None
                    return scarce
                self.in_turn = True
                return first
        else:
            first = self._first_by_turn(main) if main else None
        return first or self._first(elsewhere, rows) or self._first(last, rows)

    def _first_by_turn(self, rows: int) -> FoundClass | None:
        """Return the first job of some rows, with scarce demands as far ahead as they may be."""
        owner = self._owner_of(rows)
        scarce = rows & self._scarce
        if scarce and scarce != rows:
            if scarce & owner.live:
                rows = scarce
            else:
                with_scarce = self._owner_of(scarce)
                if self._may_precede(with_scarce, owner):
                    rows, owner = scarce, with_scarce
                    self.in_turn = False
        return self._pick(owner, rows & owner.live, rows)

    def _owner_of(self, rows: int) -> ShareNode:
        """Return the next owner among those with some rows."""
        group = self.community.order.first(rows)
        assert group is not None, "the rows of an offer are of its community"
        owner = group.order.first(rows)
        assert owner is not None, "a group has the rows of its owners"
        return owner

    def _surely_precedes(self, scarce: ShareNode, rows: int) -> bool:
        """Return whether an owner's scarce demand precedes all of these rows that may fit."""
        if not rows:
            return True
        group = scarce.parent
        assert group is not None, "an owner has a group"
        self.in_turn, ahead = False, self._ahead()
        above_groups = group.level - self.community.order.lowest()
        if above_groups <= ahead:
            above_owners = scarce.level - group.order.lowest()
            if above_owners <= ahead:  # it precedes everybody who waits
                self.in_turn = above_groups <= 0.0 and above_owners <= 0.0
                return True
        plain = self._owner_of(rows)
        if plain.parent is not group and rows & group.live:
            return False  # the first that fits may belong to its own group
        return self._may_precede(scarce, plain)

    def _ahead(self) -> float:
        """Return how far ahead of others a scarce demand may bring its owner."""
        return self._rules.ahead_core_s * self._shares.weight(self._backlog.now)

    def _may_precede(self, scarce: ShareNode, plain: ShareNode) -> bool:
        """Return whether an owner's scarce demand precedes the turn of another owner.

        It does unless the owner or its group is too far above the other's level.
        """
        if scarce is plain:
            return True
        mine, others = _rivals(scarce, plain)
        return mine.level - others.level <= self._ahead()

    def _first(self, rows: int, all_rows: int) -> FoundClass | None:
        """Return the first class of some rows, by the shares and its best job."""
        if not rows:
            return None
        while True:
            group = self.community.order.first(rows)
            if group is None:
                return None
            owner = group.order.first(rows)
            assert owner is not None, "a group has the rows of its owners"
            found = self._pick(owner, rows & owner.live, all_rows)
            if found is not None:
                return found
            rows ^= rows & owner.live  # none of them really fits

    def _pick(self, owner: ShareNode, rows: int, all_rows: int) -> FoundClass | None:
        """Return an owner's first class among some rows."""
        walked, octets = 0, rows.to_bytes(self.size // 8 + 1, "little")
        for codes in self._ranked[owner].codes:
            for code in codes:
                if code >= 0:
                    if octets[code >> 3] >> (code & 7) & 1 == 0:
                        continue
                    if not self._unsure:
                        return self._row_class[code], 0
                elif not rows >> ~code & self._row_class[~code].needs:
                    continue
                cls = self.class_of(code)
                place = self._sure_place(cls, rows, all_rows)
                if place is not None:
                    return cls, place
            walked += len(codes)
            if walked >= WALK_MAX and owner.busy - walked > EACH * rows.bit_count():
                return self._pick_of_few(rows, all_rows)
        return None

    def _pick_of_few(self, rows: int, all_rows: int) -> FoundClass | None:
        """Return an owner's first class among a few rows, which are all checked."""
        left, found = rows, list[tuple[int, int]]()
        while left:
            row = left.bit_length() - 1
            left ^= 1 << row
            found.append((_rank(self._row_class[row]), row))
        heapify(found)
        while found:
            cls = self._row_class[heappop(found)[1]]
            place = self._sure_place(cls, rows, all_rows)
            if place is not None:
                return cls, place
        return None

    def _sure_place(self, cls: JobClass, rows: int, all_rows: int) -> int | None:
        """Return the first need of a class that really fits, if its row is among some rows."""
        needs = all_rows >> cls.first_row & cls.needs
        for place in range(needs.bit_length()):
            row = cls.first_row + place
            if needs >> place & 1 and (not self._unsure or self._accepts(row)):
                return place if rows >> row & 1 else None
        return None

    def class_of(self, code: int) -> JobClass:
        """Return the class with a code."""
        return self._row_class[code if code >= 0 else ~code]


def _rivals(mine: ShareNode, others: ShareNode) -> tuple[ShareNode, ShareNode]:
    """Return the nodes that compete for two owners: their groups, or themselves within a group."""
    if mine.parent is others.parent or mine.parent is None or others.parent is None:
        return mine, others
    return mine.parent, others.parent


def _rank(cls: JobClass) -> int:
    assert cls.entry is not None, "only classes with waiting jobs are live"
    return cls.entry[0]
