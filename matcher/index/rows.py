"""The rows that accept an offer, without a check of every class.

A row is one alternative need of one class, and a set of rows is an integer with a bit for each. For
each clause the index knows which rows accept a fact. A handful of ANDs gives the rows that accept
all facts.

One shortcut returns too many rows: numbers with very many different demands (`thresholds`). The
picked class is therefore checked itself.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, Final

from pilotage.proto.documents.job import Need

from ..clauses.clause import Clause, Clauses
from ..clauses.clause_kinds import joint, numbers, of_kinds
from ..clauses.facets import Facet
from ..clauses.key_sizes import KeySizes
from ..clauses.word_bits import WordRows, selected
from ..limits.running_limits import Kinds, LimitKind, LimitTable, Shut, is_shut
from ..queue.backlog import Backlog
from ..queue.job_classes import JobClass
from ..rules import Rules
from ..types import LiveOffer
from .exact_fit import accepts
from .limit_use import RowsByUse
from .representative_offers import RepresentativeOffer, RepresentativeOffers
from .scarce_demands import is_scarce
from .thresholds import Thresholds

KINDS_MAX: Final = 16_384
KINDS_BYTES_MAX: Final = 64 << 20  # of the rows of all kinds of offers
WORDS_BYTES_MAX: Final = 16 << 20  # of the words in the kinds, which pilots choose

_NO_KINDS: Final[Kinds] = {}


class Rows:
    """The rows of one community's classes."""

    def __init__(
        self,
        backlog: Backlog,
        clauses: Clauses,
        limits: LimitTable,
        rules: Rules,
    ) -> None:
        self._backlog, self._limits, self._rules = backlog, limits, rules
        # Words, then rare facts: together they make up a kind of offers.
        its_kind, its_joint = of_kinds(clauses), joint(clauses)
        self._numbers = numbers(clauses)
        # Those that refuse most come first.
        self._clauses: Clauses = (*self._numbers, *its_joint, *its_kind)
        self._words = [it.facet() for it in its_kind if not it.is_rare]
        self._rare = [it.facet() for it in its_kind if it.is_rare]
        self._joint = [it.facet() for it in its_joint]
        self._facets = [*self._words, *self._rare, *self._joint]
        self._jointly = [0 for _ in its_joint]  # for each joint clause, the rows that it may refuse
        self._words_of = self._rare_of = _getter([])
        self._stand_ins = RepresentativeOffers()
        self._steps = [Thresholds() for _ in self._numbers]
        self._by_name = dict(zip([it.name for it in self._numbers], self._steps, strict=True))
        self._counting: list[Thresholds] = []  # the numbers that may refuse anything
        self._counted = _getter([])
        self._asked: list[
            tuple[int, Facet]
        ] = []  # the facets that may refuse an offer's words, with the place of the word
        self._unsure: list[
            tuple[int, Thresholds]
        ] = []  # the numbers that must be checked when a row is picked, by place
        self._amounts: tuple[Any, ...] = ()  # the amounts of the last offer
        self._looked = 0  # number of rows when these were computed
        # First rows of classes that are not in the index yet.
        self._entered: dict[JobClass, int] = {}
        self._row_class: list[JobClass] = []
        self._row_need: list[Need] = []
        self._kinds: dict[
            tuple[tuple[Any, ...], RepresentativeOffer], int
        ] = {}  # kind → rows that accept it
        self._keys = KeySizes()  # of the words in the kinds
        self.live: int = 0  # rows of classes with waiting jobs
        self._liking = WordRows()  # rows that prefer a site
        self._liked: dict[str, int] = {}  # the same as bits, for sites that were asked for
        self._questions = 0  # number of rows that were checked one by one
        self._scarce = 0  # rows with a scarce demand
        self._on_gpus = 0  # rows that ask for GPUs
        self._several, self._first_of_several = 0, 0  # rows of classes with several needs
        self._limited: dict[LimitKind, RowsByUse] = {}  # rows that a limit or a ban counts
        self._row_kinds: dict[int, Kinds] = {}  # of the rows with any

    def enter(self, cls: JobClass) -> None:
        """Give a class its rows, one for each need. The class does not know them yet."""
        first = self._entered[cls] = len(self._row_class)
        needs = cls.spec.needs
        for need in needs:
            self._add_row(cls, need)
        if len(needs) > 1:  # one more row, which stays empty, for the carry of sums
            self._add_row(cls, needs[-1])
            self._several |= cls.needs << first
            self._first_of_several |= 1 << first
        if cls.arrivals is not None and cls.spec.preference is not None:
            for site in dict.fromkeys(cls.spec.preference.sites):
                for row in range(first, first + len(needs)):
                    self._liking.add(site, row)

    def class_at(self, row: int) -> tuple[JobClass, int]:
        """Return the class of a first row, and the first row of the next class."""
        cls = self._row_class[row]
        count = len(cls.spec.needs)
        return cls, row + count + (count > 1)

    def _add_row(self, cls: JobClass, need: Need) -> None:
        row = len(self._row_class)
        self._row_class.append(cls)
        self._row_need.append(need)
        for its in self._facets:
            its.add(its.clause.wants(need, cls.spec))
        for at, its in enumerate(self._joint):
            if its.clause.asks(its.wants[row]):
                self._jointly[at] |= 1 << row
        for steps, clause in zip(self._steps, self._numbers, strict=True):
            steps.add(clause.wants(need, cls.spec))
        if is_scarce(need, self._rules):
            self._scarce |= 1 << row
        if need.gpus_min:
            self._on_gpus |= 1 << row
        self._add_kinds(row, cls, need)

    def _add_kinds(self, row: int, cls: JobClass, need: Need) -> None:
        kinds = self._limits.kinds_of(cls.spec, need)
        if kinds:
            self._row_kinds[row] = kinds
            self._limits.note(kinds)
            for kind, takes in kinds.items():
                takings = self._limited.get(kind)
                if takings is None:
                    takings = self._limited[kind] = RowsByUse()
                takings.add(row, takes)

    def limits_changed(self) -> None:
        """Adapt to changed limits: find the rows that they count."""
        self._limited.clear()
        self._row_kinds.clear()
        for row, (cls, need) in enumerate(zip(self._row_class, self._row_need, strict=True)):
            self._add_kinds(row, cls, need)

    def _look_at_short_cuts(self) -> None:
        """Find the numbers and words that may refuse anything, after rows were added."""
        self._looked = len(self._row_class)
        self._forget_kinds()
        self._liked.clear()
        facts, self._asked = _asking(self._words)
        self._words_of = _getter(facts)
        facts, rare = _asking(self._rare)
        self._rare_of = _getter(facts)
        self._stand_ins.ask(rare)
        for steps in self._steps:
            steps.take_up()
        counting = [
            (steps, clause)
            for steps, clause in zip(self._steps, self._numbers, strict=True)
            if steps.top > 0.0
        ]
        if len(counting) != len(self._counting):
            self._counting = [steps for steps, _ in counting]
            facts = [clause.fact for _, clause in counting]
            self._counted = _getter(facts)
        its = enumerate(self._counting)
        self._unsure = [(at, steps) for at, steps in its if not steps.is_exact]

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self._row_class)

    @property
    def questions(self) -> int:
        """The number of rows that were checked one by one, as a measure of cost."""
        return self._questions + sum([its.questions for its in self._facets])

    def liking(self, site: str) -> int:
        """Return the rows that prefer a site, as bits."""
        rows = self._liked.get(site)
        if rows is None:
            rows = self._liked[site] = self._liking.rows(site, self.size)
        return rows

    def kinds_of(self, cls: JobClass, place: int) -> Kinds:
        """Return the kinds with limits to which one need of a class belongs."""
        return self._row_kinds.get(cls.first_row + place, _NO_KINDS)

    def classes_of(self, rows: int) -> list[JobClass]:
        """Return the classes of some rows, each once, in the order of their slots."""
        return list(dict.fromkeys(self._spread(rows)))

    def _spread(self, rows: int) -> Iterator[JobClass]:
        """Yield the class of each row of these bits."""
        if rows.bit_count() * 32 > rows.bit_length():
            yield from selected(self._row_class, rows)
            return
        bits = bin(rows)[:1:-1]
        at = bits.find("1")
        while at >= 0:
            yield self._row_class[at]
            at = bits.find("1", at + 1)

    def kind_rows(self, offer: LiveOffer) -> int:
        """Return the rows that accept this kind of offer, without the numbers, as bits."""
        if self._looked != len(self._row_class):
            self._look_at_short_cuts()
        words, rare = self._words_of(offer), self._rare_of(offer)
        stand_in = self._stand_ins.known.get(rare) or self._stand_ins.of(rare)
        key = (words, stand_in)
        rows = self._kinds.get(key)
        if rows is None:
            rows = (1 << self._looked) - 1 & stand_in.rows
            for at, its in self._asked:
                rows &= its.accepting(words[at])
            self._keep_kind(key, rows)
        return rows

    def _keep_kind(self, key: tuple[tuple[Any, ...], RepresentativeOffer], rows: int) -> None:
        """Cache the rows that accept a kind of offer, unless its words are too large."""
        most = min(KINDS_MAX, KINDS_BYTES_MAX // (self.size // 8 + 1))
        if len(self._kinds) >= most or self._keys.bytes > WORDS_BYTES_MAX:
            self._forget_kinds()
        words = self._keys.key(key[0])
        if words:
            self._kinds[words, key[1]] = rows

    def _forget_kinds(self) -> None:
        self._kinds.clear()
        self._keys.clear()

    def _accepting(self, offer: LiveOffer) -> int:
        """Return the rows with waiting jobs that may accept an offer, without limits, as bits."""
        rows = self.kind_rows(offer)
        rows &= self.live
        self._amounts = self._counted(offer)
        for steps, had in zip(self._counting, self._amounts, strict=False):
            if had < steps.top:
                rows &= steps.below[bisect_right(steps.bounds, had)]
        for its, asking in zip(self._joint, self._jointly, strict=True):
            asked = rows & asking
            if asked:
                had = its.clause.has(offer)
                # None: it refuses all rows with such a demand, without a check of each.
                rows = rows ^ asked if had is None else rows & its.accepting(had)
        return rows

    def _surely_with_room(self, offer: LiveOffer) -> int:
        """Return rows, perhaps not all, whose numbers an offer surely meets, as bits."""
        rows = self.live
        for asking in self._jointly:
            rows &= ~asking
        for steps, had in zip(self._counting, self._counted(offer), strict=False):
            if had < steps.top:
                rows &= steps.surely_doing(had)
        return rows

    def _closed(self, offer: LiveOffer) -> int:
        """Return the rows that may not start where an offer is, as bits."""
        place = self._limits.place(offer.community, offer.site, offer.element)
        rows = 0
        for kind, room in place.look(self._backlog.now) if place is not None else ():
            takings = self._limited.get(kind)
            if takings is not None:
                rows |= takings.above(room)
        return rows

    def closed_needs(self, closed: tuple[Shut, ...], cls: JobClass) -> int:
        """Return which needs of a class may not start while these kinds are closed, as bits."""
        needs = 0
        for place in range(len(cls.spec.needs)):
            if is_shut(self.kinds_of(cls, place), closed):
                needs |= 1 << place
        return needs

    def startable(self, offer: LiveOffer, *, closed: bool = False) -> int:
        """Return exactly the rows with waiting jobs that accept an offer and may start there now.

        With `closed`, include the rows that limits block.
        """
        rows = self._accepting(offer)
        if not closed and self._limits.any:
            rows &= ~self._closed(offer)
        if self._unsure:
            for cls in self.classes_of(rows):
                for place in range(len(cls.spec.needs)):
                    row = 1 << cls.first_row + place
                    if rows & row and not self._accepts(cls.first_row + place):
                        rows ^= row
        return rows

    def place_for(self, cls: JobClass, offer: LiveOffer) -> int | None:
        """Return the index of the first need of a class that fits and may start; else None."""
        closed = self._closed(offer) if self._limits.any else 0
        for place, need in enumerate(cls.spec.needs):
            if not closed >> cls.first_row + place & 1:
                if accepts(need, cls.spec, offer, self._clauses):
                    return place
        return None

    def by_clause(self, offer: LiveOffer) -> list[tuple[str, int]]:
        """Return for each clause the rows that it accepts for an offer."""
        if self._looked != len(self._row_class):
            self._look_at_short_cuts()
        found = [(its.clause.name, its.accepting(its.clause.has(offer))) for its in self._facets]
        for clause, steps in zip(self._numbers, self._steps, strict=True):
            rows = steps.doing(clause.has(offer))
            found.append(
                (clause.name, rows if steps.is_exact else self._asked_all(rows, clause, offer))
            )
        return found

    def _asked_all(self, rows: int, clause: Clause[Any, Any], offer: LiveOffer) -> int:
        """Return those of some rows with waiting jobs whose needs a clause really accepts."""
        had, rows = clause.has(offer), rows & self.live
        octets = bytearray(rows.to_bytes(self.size // 8 + 1, "little"))
        for row, cls in enumerate(self._row_class):
            if octets[row >> 3] >> (row & 7) & 1:
                if clause.denies(clause.wants(self._row_need[row], cls.spec), had):
                    octets[row >> 3] ^= 1 << (row & 7)
        return int.from_bytes(octets, "little")

    def _accepts(self, row: int) -> bool:
        """Check a row for the numbers that the sets of rows left open, with the last offer."""
        self._questions += 1
        return all(steps.demands[row] <= self._amounts[at] for at, steps in self._unsure)

    def fade(self, most: int) -> bool:
        """Free this many rows and answers; return false when none is left.

        The index is not used again.
        """
        rows: list[list[Any]] = [
            self._row_class,
            self._row_need,
            *[it.wants for it in self._facets],
        ]
        answers: list[dict[Any, Any]] = [self._kinds, self._row_kinds, *self._stand_ins.answers]
        answers += [its.answers for its in self._facets]
        for row in rows:
            del row[-most:]
        for some in answers:
            for _ in range(min(most, len(some))):
                some.popitem()
        return any(rows) or any(answers)

    def check_rows(self) -> None:
        """Raise AssertionError if a cached answer differs from the rule's. For checks only."""
        for its in self._facets:
            its.check()
        for steps in self._steps:
            steps.check()
        if self._looked == len(self._row_class):
            self._stand_ins.check()
            for (words, stand_in), rows in self._kinds.items():
                every = (1 << self.size) - 1 & stand_in.rows
                for at, its in self._asked:
                    every &= its.accepting(words[at])
                assert rows == every, f"rows of the kind {words}"


def _asking(facets: list[Facet]) -> tuple[list[str], list[tuple[int, Facet]]]:
    """Return the facts of an offer that may be refused, each once, and the facets that use them."""
    asking = [its for its in facets if its.asks]
    facts = list(dict.fromkeys([its.clause.fact for its in asking]))
    return facts, [(facts.index(its.clause.fact), its) for its in asking]


def _getter(facts: list[str]) -> Callable[[LiveOffer], tuple[Any, ...]]:
    """Return a getter of these facts. It always gets several, so that it returns a tuple."""
    padding = ["community"] * (2 - len(facts))
    getter: Callable[[LiveOffer], tuple[Any, ...]] = attrgetter(*facts, *padding)
    return getter
