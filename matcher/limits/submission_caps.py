"""Limits from submissions: at most this many of their jobs run at once, at all sites together.

A cap counts pending, kept and running jobs. While it is used up, its classes are shut: they count
as if they had no waiting jobs, so they save no turns up either.
"""

from typing import Protocol


class ClassSwitch(Protocol):
    """The object that shuts and opens classes."""

    def turned(self, cap: "SubmissionCap") -> None: ...


class SubmissionCap:
    """The limit of one submission."""

    __slots__ = ("gate", "is_used_up", "most", "out", "slots")

    def __init__(self, most: int, gate: ClassSwitch) -> None:
        self.most, self.gate = most, gate
        self.out = 0  # jobs that count
        self.slots: list[int] = []  # of its classes
        self.is_used_up = False

    @property
    def room(self) -> int:
        """Return how many more jobs may start."""
        return max(0, self.most - self.out)

    def count(self, by: int) -> None:
        """Count jobs that become active.

        A negative number counts jobs that are returned or have ended.
        """
        self.out += by
        if self.is_used_up != (self.out >= self.most):
            self.is_used_up = not self.is_used_up
            self.gate.turned(self)
