"""Wide classes with waiting jobs: since when they wait, their owners, and who was served last.

A class is wide if it asks for more than one core, or for any other amount. A class is *hungry* once
its jobs have waited for long without a break. The index holds the rows of hungry classes as a set;
this module finds the other classes that become hungry. Communities are independent of each other.
"""

from collections import OrderedDict
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from ..limits.fair_shares import ShareNode
from .job_classes import JobClass

OWNERS_MAX: Final = 64  # owners that are checked together

OwnerOrder = OrderedDict[ShareNode, int]  # owner → number of its classes


class WideClasses:
    """The wide classes of all communities."""

    __slots__ = ("_last", "_of", "_ripening")

    def __init__(self) -> None:
        self._of: dict[str, OwnerOrder] = {}
        self._last = 0
        # When a class that is not hungry began to wait: a heap, with each class once.
        self._ripening: list[tuple[float, int, JobClass]] = []

    def __contains__(self, community: str) -> bool:
        """Return whether a community has any."""
        return community in self._of

    def add(self, cls: JobClass, now: float) -> None:
        """Add a class that has waiting jobs now, as the last."""
        owners = self._of.setdefault(cls.spec.community, OrderedDict())
        owners[cls.owner] = owners.get(cls.owner, 0) + 1
        self.put_last(cls)
        cls.waits_since = now
        if cls.is_hungry:
            cls.hunger(False)
        if not cls.ripens:
            cls.ripens = True
            heappush(self._ripening, (now, cls.wide_order, cls))

    def remove(self, cls: JobClass) -> None:
        """Remove a class without waiting jobs."""
        owners = self._of[cls.spec.community]
        owners[cls.owner] -= 1
        if not owners[cls.owner]:
            del owners[cls.owner]
        if not owners:
            del self._of[cls.spec.community]

    def put_last(self, cls: JobClass) -> None:
        """Put a class last, because it has had its turn."""
        self._last = cls.wide_order = self._last + 1

    def ripen(self, before: float) -> None:
        """Make the classes hungry that have waited since this time or longer."""
        ripening = self._ripening
        while ripening and ripening[0][0] <= before:
            cls = heappop(ripening)[2]
            if cls.waiting and cls.waits_since > before:  # its wait has started again
                heappush(ripening, (cls.waits_since, cls.wide_order, cls))
                continue
            cls.ripens = False
            if cls.waiting:
                cls.hunger(True)

    def next_owners(self, community: str, rows: int, most: int) -> list[ShareNode]:
        """Return a few owners of some of these rows: other ones the next time.

        If there are very many owners, only some are checked each time.
        """
        owners = self._of[community]
        found: list[ShareNode] = []
        for owner in list(islice(owners, OWNERS_MAX)):
            owners.move_to_end(owner)
            if rows & owner.live:
                found.append(owner)
                if len(found) == most:
                    break
        return found

    def owners(self, community: str) -> dict[ShareNode, int]:
        """Return the number of classes of each owner. For checks only."""
        return dict(self._of.get(community, {}))
