"""Limits that submissions bring: at most so many of their jobs at once, at all sites together.

A cap counts the jobs that are pending, kept or running. While it is used up, its classes are shut:
they count as if none of their jobs waited, so they also save no turns up.
"""

from typing import Protocol


class Gate(Protocol):
    """Who shuts and opens classes."""

    def turned(self, cap: "Cap") -> None: ...


class Cap:
    """The limit of one submission."""

    __slots__ = ("gate", "is_used_up", "most", "out", "slots")

    def __init__(self, most: int, gate: Gate) -> None:
        self.most, self.gate = most, gate
        self.out = 0  # jobs that count
        self.slots: list[int] = []  # of its classes
        self.is_used_up = False

    @property
    def room(self) -> int:
        """Return how many more may start."""
        return max(0, self.most - self.out)

    def count(self, by: int) -> None:
        """Count jobs that come out. A negative number counts jobs that are back or have ended."""
        self.out += by
        if self.is_used_up != (self.out >= self.most):
            self.is_used_up = not self.is_used_up
            self.gate.turned(self)
