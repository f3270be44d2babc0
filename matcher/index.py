"""The index: for an offer, the best waiting job that it could run, without asking every class.

Offers that no clause can tell apart share a *shortlist*: the rows that accept them, and a heap of
the best jobs of those rows' classes. Heaps are not corrected when a job leaves a class: its entry
is then seen to be old when it comes to the top. When a class gets a better job than it had, each
shortlist hears of it from the notes of the backlog, when it is next used.
"""

from heapq import heapify, heappop, heappush, heapreplace
from itertools import compress
from typing import Any, Final

from .backlog import Backlog
from .classes import Entry, JobClass
from .clauses import Clauses
from .facets import Facet
from .types import LiveOffer

SHORTLISTS_MAX: Final = 8192
SLACK: Final = 64

_AS_BYTES: Final = bytes.maketrans(b"01", b"\0\1")


class Shortlist:
    """The classes that a kind of offer could run, best job first."""

    __slots__ = ("heap", "noted", "rows", "rows_known", "size")

    def __init__(self) -> None:
        self.rows = 0  # bits
        self.rows_known = 0
        self.noted = 0  # number of the next note to read
        self.heap: list[Entry] = []
        self.size = 0  # of the heap when it was made


class Index:
    """Finds classes for offers."""

    def __init__(self, backlog: Backlog, clauses: Clauses) -> None:
        self._backlog = backlog
        # Numbers last: what stands for them in a key has to be looked up.
        self._clauses = tuple(sorted(clauses, key=lambda clause: clause.is_number))
        self._words = [clause.has for clause in self._clauses if not clause.is_number]
        self._facets: list[Facet] = []
        self._numbers: list[Facet] = []
        self._row_class: list[JobClass] = []
        self._first_row: list[int] = []  # by slot
        self._shortlists: dict[tuple[Any, ...], Shortlist] = {}
        self.rebuild()

    def rebuild(self) -> None:
        """Take up all classes of the backlog anew: their slots have changed."""
        self._facets = [Facet(clause) for clause in self._clauses]
        self._numbers = [facet for facet in self._facets if facet.is_number]
        self._row_class, self._first_row, self._shortlists = [], [], {}
        for cls in self._backlog.classes.by_slot:
            self.add(cls)

    def add(self, cls: JobClass) -> None:
        """Take up a class: one row for each alternative."""
        assert cls.slot == len(self._first_row), "classes come in the order of their slots"
        self._first_row.append(len(self._row_class))
        for need in cls.spec.needs:
            self._row_class.append(cls)
            for facet, clause in zip(self._facets, self._clauses, strict=True):
                facet.add(clause.wants(need, cls.spec))

    @property
    def size(self) -> int:
        """The number of rows."""
        return len(self._row_class)

    def best(self, offer: LiveOffer) -> JobClass | None:
        """Return the class of the best waiting job that fits, or None."""
        shortlist = self._shortlist(offer)
        by_slot, heap = self._backlog.classes.by_slot, shortlist.heap
        while heap:
            top = heap[0]
            present = by_slot[top[1]].entry
            if present is top or present == top:
                return by_slot[top[1]]
            if present is None:
                heappop(heap)
            else:
                heapreplace(heap, present)
        return None

    def accepting(self, key: tuple[Any, ...]) -> int:
        """Return the rows that accept offers with this key, as bits."""
        return self._accepting(self._facets, key)

    def shortlists(self) -> list[tuple[tuple[Any, ...], Shortlist]]:
        """Return all shortlists with their keys: for checks."""
        return list(self._shortlists.items())

    def classes_of(self, rows: int) -> list[JobClass]:
        """Return the classes of some rows, each once, in the order of their slots."""
        return list(dict.fromkeys(self._spread(rows)))

    def kind(self, offer: LiveOffer) -> tuple[Any, ...]:
        """Return what the clauses see of an offer, numbers aside."""
        return tuple([has(offer) for has in self._words])

    def accepting_kind(self, kind: tuple[Any, ...]) -> int:
        """Return the rows that accept such a kind of offer, numbers aside, as bits."""
        return self._accepting(self._facets[: len(kind)], kind)

    def needs_among(self, rows: int, cls: JobClass) -> int:
        """Return which needs of a class are among some rows, as bits."""
        return rows >> self._first_row[cls.slot] & (1 << len(cls.spec.needs)) - 1

    def key(self, offer: LiveOffer) -> tuple[Any, ...]:
        """Return what stands for an offer: no clause can tell offers with the same key apart."""
        words = [has(offer) for has in self._words]
        return (*words, *[facet.key(offer) for facet in self._numbers])

    def _accepting(self, facets: list[Facet], key: tuple[Any, ...]) -> int:
        rows = (1 << self.size) - 1
        for facet, had in zip(facets, key, strict=True):
            rows &= facet.accepting(had)
        return rows

    def _shortlist(self, offer: LiveOffer) -> Shortlist:
        """Return the shortlist for an offer, brought up to date."""
        key = self.key(offer)
        shortlist = self._shortlists.get(key)
        if shortlist is None:
            if len(self._shortlists) >= SHORTLISTS_MAX:
                del self._shortlists[next(iter(self._shortlists))]
            shortlist = self._shortlists[key] = Shortlist()
        if shortlist.rows_known != self.size:
            is_new = not shortlist.rows_known
            shortlist.rows, shortlist.rows_known = self.accepting(key), self.size
            if is_new:
                self._fill(shortlist)
        if shortlist.noted != self._backlog.improved.end:
            self._hear(shortlist)
        return shortlist

    def _fill(self, shortlist: Shortlist) -> None:
        heap = [cls.entry for cls in self._spread(shortlist.rows) if cls.entry is not None]
        heapify(heap)
        shortlist.heap[:] = heap
        shortlist.size = len(heap)
        shortlist.noted = self._backlog.improved.end

    def _hear(self, shortlist: Shortlist) -> None:
        """Take up the classes that got a better job since."""
        improved = self._backlog.improved
        slots = improved.since(shortlist.noted)
        if slots is None or len(shortlist.heap) > 2 * shortlist.size + SLACK:
            self._fill(shortlist)
            return
        for slot in set(slots):
            cls = self._backlog.classes.by_slot[slot]
            if cls.entry is not None and self.needs_among(shortlist.rows, cls):
                heappush(shortlist.heap, cls.entry)
        shortlist.noted = improved.end

    def _spread(self, rows: int) -> "compress[JobClass]":
        """Yield the class of each row of these bits."""
        return compress(self._row_class, bin(rows)[:1:-1].encode().translate(_AS_BYTES))
