"""What waits, for those who plan pilots."""

from collections.abc import Iterable

from pilotage.matcher.clause import Clauses
from pilotage.matcher.types import ClassSpec

from .queue import Queue


class WaitingWork:
    """The matcher's waiting jobs by class."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def waiting(self) -> Iterable[tuple[ClassSpec, int]]:
        """Return each class of which jobs wait, and how many."""
        return self._queue.matcher.waiting()

    def clauses(self) -> Clauses:
        """Return the matcher's table."""
        return self._queue.matcher.clauses

    def is_banned(self, site: str, element: str) -> bool:
        """Whether only jobs of the type Test run there."""
        banned = self._queue.matcher.rules.banned
        return site in banned or f"{site}/{element}" in banned
