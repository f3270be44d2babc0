"""Siblings sorted by level, with a search for the first one that has any of some rows.

A few siblings are searched one by one; more are kept sorted.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .fair_shares import ShareNode

FEW: Final = 24

OrderKey = tuple[float, int, "ShareNode"]  # level, serial (which separates equal levels), node


class SiblingOrder:
    """Some children of one node. Call `moved` when a level changes."""

    __slots__ = ("_nodes", "places")

    def __init__(self) -> None:
        self._nodes: dict[int, ShareNode] = {}  # by serial
        self.places: list[OrderKey] = []  # empty while there are few

    def __len__(self) -> int:
        return len(self._nodes)

    def __iter__(self) -> "Iterator[ShareNode]":
        """Yield all children, the lowest level first."""
        places = self.places or sorted(map(_place, self._nodes.values()))
        return (place[2] for place in places)

    def first(self, rows: int) -> "ShareNode | None":
        """Return the lowest child that has any of these rows; None if none does."""
        if self.places:
            for place in self.places:
                if rows & place[2].live:
                    return place[2]
            return None
        best, lowest = None, float("inf")
        for node in self._nodes.values():  # sorted by serial, which separates equal levels
            if node.level < lowest and rows & node.live:
                best, lowest = node, node.level
        return best

    def lowest(self) -> float:
        """Return the lowest level."""
        if self.places:
            return self.places[0][0]
        return min([node.level for node in self._nodes.values()])

    def first_served_since(self, when: int) -> "ShareNode | None":
        """Return the lowest child that was served after the `when`-th service; None if none was."""
        if self.places:
            return next((place[2] for place in self.places if place[2].served_at > when), None)
        best, lowest = None, float("inf")
        for node in self._nodes.values():
            if node.level < lowest and node.served_at > when:
                best, lowest = node, node.level
        return best

    def add(self, node: "ShareNode") -> None:
        is_last = not self._nodes or node.serial > next(reversed(self._nodes))
        self._nodes[node.serial] = node
        if self.places:
            insort(self.places, _place(node))
        elif not is_last or len(self._nodes) > FEW:
            self.rebuild()

    def remove(self, node: "ShareNode") -> None:
        del self._nodes[node.serial]
        if self.places:
            self._take(node, node.level)
            if len(self._nodes) <= FEW // 2:
                self.rebuild()

    def moved(self, node: "ShareNode", old: float) -> None:
        """Record a changed level; the child need not be here. A few children are not sorted."""
        if node.serial in self._nodes:
            self._take(node, old)
            insort(self.places, _place(node))

    def rebuild(self) -> None:
        """Sort again, after levels and serials have changed."""
        nodes = sorted(self._nodes.values(), key=_serial)
        self._nodes = {node.serial: node for node in nodes}
        self.places = sorted(map(_place, self._nodes.values())) if len(self._nodes) > FEW else []

    def _take(self, node: "ShareNode", level: float) -> None:
        del self.places[bisect_left(self.places, (level, node.serial, node))]


def _place(node: "ShareNode") -> OrderKey:
    return (node.level, node.serial, node)


def _serial(node: "ShareNode") -> int:
    return node.serial
