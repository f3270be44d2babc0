"""Finds the rows that take more of one limited kind than is left, as bits."""

from bisect import bisect_right


class RowsByUse:
    """All rows that take from one kind: usually one each, or any number of an amount."""

    __slots__ = ("_above", "_amounts", "_rows", "is_known")

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}  # number → rows that take it
        self._amounts: list[int] = []  # the same numbers, rising
        self._above: list[int] = []  # rows that take each of these numbers or more
        self.is_known = True

    def add(self, row: int, takes: int) -> None:
        """Add a row."""
        self._rows[takes] = self._rows.get(takes, 0) | 1 << row
        self.is_known = False

    def above(self, room: float) -> int:
        """Return the rows that take more than this."""
        if not self.is_known:
            self._look()
        at = bisect_right(self._amounts, room)
        return self._above[at] if at < len(self._above) else 0

    def _look(self) -> None:
        self._amounts = sorted(self._rows)
        self._above = [0] * len(self._amounts)
        rows = 0
        for at in range(len(self._amounts) - 1, -1, -1):
            rows |= self._rows[self._amounts[at]]
            self._above[at] = rows
        self.is_known = True
