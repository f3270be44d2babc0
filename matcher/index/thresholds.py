"""Thresholds of one number: the rows for which some amount is enough, as bits.

The rows below each threshold are known, so one AND gives the answer. There is a threshold for each
different demand, up to a few dozen. With more demands, the answer includes rows just above the
amount, so the caller must check the clause of the row that it picks. To keep such rows few, the
thresholds follow the demands: a step with many rows is split, and two with few rows are joined.
"""

from array import array
from bisect import bisect_right
from typing import Final

from ..clauses.word_bits import bits, each

STEPS_MAX: Final = 64
CHUNK: Final = 1_024  # rows that are processed at a time
LOOSE_MAX: Final = 64  # rows above the lower end of a step that are not worth a split
SPLIT_MAX: Final = 8_192  # rows that are checked for splits each time


class Thresholds:
    """The thresholds of one number for all rows."""

    __slots__ = ("_loose", "_rows", "below", "bounds", "demands", "is_exact", "top")

    def __init__(self) -> None:
        self.bounds: list[float] = []  # thresholds, rising
        self.below: list[int] = [0]  # rows with a demand below each threshold, and all rows
        self._loose: list[int] = [0]  # rows in each step with a demand above its lower end
        self.demands = array("d")  # by row
        self._rows = 0  # number of rows in `below`
        self.top = float("-inf")  # the highest demand
        self.is_exact = True

    def add(self, demand: float) -> None:
        """Add the next row."""
        self.demands.append(demand)
        if demand > self.top:
            self.top = demand

    def doing(self, amount: float) -> int:
        """Return the rows for which this amount is enough, perhaps with a few others."""
        return self.below[bisect_right(self.bounds, amount)]

    def surely_doing(self, amount: float) -> int:
        """Return rows, perhaps not all, for which this amount is surely enough."""
        at = bisect_right(self.bounds, amount)
        return self.below[at if self.is_exact else max(0, at - 1)]

    def take_up(self) -> None:
        """Process the newest rows, all at once. Call this before the next question."""
        if self._rows == len(self.demands):
            return
        new = self.demands[self._rows :]
        self._add_bounds(sorted(set(new).difference(self.bounds)))
        for start in range(0, len(new), CHUNK):
            self._place(new[start : start + CHUNK])
        self.is_exact = not any(self._loose)
        if not self.is_exact:
            self._even_out()

    def _add_bounds(self, demands: list[float]) -> None:
        """Make these demands thresholds, or an even selection if there are too many."""
        room = STEPS_MAX - len(self.bounds)
        if len(demands) > room:
            demands = [demands[at * len(demands) // room] for at in range(room)]
        for demand in demands:  # there was room until now, so no row lies between two thresholds
            at = bisect_right(self.bounds, demand)
            self.bounds.insert(at, demand)
            self.below.insert(at, self.below[at])
            self._loose.insert(at + 1, 0)

    def _place(self, part: "array[float]") -> None:
        bounds, below = self.bounds, self.below
        places: list[int] = [0] * len(below)
        for place, demand in enumerate(part):
            at = bisect_right(bounds, demand)
            places[at] |= 1 << place
            if not at or bounds[at - 1] != demand:
                self._loose[at] += 1
        gathered = 0
        for at, its in enumerate(places):
            gathered |= its
            if gathered:
                below[at] |= gathered << self._rows
        self._rows += len(part)

    def _even_out(self) -> None:
        """Split the steps with the most rows inside, as long as other steps can be joined."""
        left = SPLIT_MAX
        while left > 0:
            at = max(range(len(self._loose)), key=self._loose.__getitem__)
            if self._loose[at] <= max(LOOSE_MAX, 2 * self._rows // STEPS_MAX):
                return
            goes = self._least_missed(at)
            if goes is None:
                return
            left -= self._split(at)
            self._unite(goes + 1 if goes > at else goes)

    def _least_missed(self, at: int) -> int | None:
        """Return the threshold that separates the fewest rows, far fewer than a split would."""
        found, fewest = None, self._loose[at] // 2
        for place in range(len(self.bounds)):
            if place not in (at - 1, at) and (missed := self._missed(place)) < fewest:
                found, fewest = place, missed
        return found

    def _missed(self, place: int) -> int:
        """Return how many rows a step would have inside without this threshold."""
        return self._loose[place] + (self.below[place + 1] ^ self.below[place]).bit_count()

    def _split(self, at: int) -> int:
        """Add a threshold in the middle of a step; return the number of rows that were checked."""
        inside = self.below[at] ^ (self.below[at - 1] if at else 0)
        lower = self.bounds[at - 1] if at else float("-inf")
        rows = [(demand, row) for row in each(inside) if (demand := self.demands[row]) > lower]
        middle = sorted(rows)[len(rows) // 2][0]
        above = bits([row for demand, row in rows if demand >= middle], self._rows)
        self.bounds.insert(at, middle)
        self.below.insert(at, self.below[at] & ~above)
        self._loose[at : at + 1] = [
            sum(demand < middle for demand, _ in rows),
            sum(demand > middle for demand, _ in rows),
        ]
        return len(rows)

    def _unite(self, place: int) -> None:
        """Remove a threshold."""
        self._loose[place : place + 2] = [self._missed(place)]
        del self.bounds[place], self.below[place]

    def check(self) -> None:
        """Raise AssertionError if rows are not where their demands are. For checks only."""
        rows = self.demands[: self._rows]
        for bound, below in zip(self.bounds, self.below, strict=False):
            exact = sum(1 << row for row, demand in enumerate(rows) if demand < bound)
            assert below == exact, f"below {bound}"
        assert self.below[-1] == (1 << len(rows)) - 1, "all rows"
        loose = [0] * len(self.below)
        for demand in rows:
            at = bisect_right(self.bounds, demand)
            loose[at] += not at or self.bounds[at - 1] != demand
        assert loose == self._loose, "rows between two bounds"
