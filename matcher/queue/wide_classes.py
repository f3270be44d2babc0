"""Wide classes with waiting jobs: since when, who was served longest ago, and whose they are.

A class is wide if it asks for more of any amount than one core.

A class is *hungry* once its jobs have waited for long without a break. The index has the rows of
those that are as one set; here is when the others become so. Communities know nothing of each
other.
"""

from collections import OrderedDict
from heapq import heappop, heappush
from itertools import islice
from typing import Final

from ..limits.fair_shares import ShareNode
from .job_classes import JobClass

OWNERS_MAX: Final = 64  # that are looked at together

Owners = OrderedDict[ShareNode, int]  # how many classes each of them has


class WideClasses:
    """The wide classes of all communities."""

    __slots__ = ("_last", "_of", "_ripening")

    def __init__(self) -> None:
        self._of: dict[str, Owners] = {}
        self._last = 0
        # When a class that is not hungry began to wait: a heap, each class once.
        self._ripening: list[tuple[float, int, JobClass]] = []

    def __contains__(self, community: str) -> bool:
        """Whether a community has any."""
        return community in self._of

    def add(self, cls: JobClass, now: float) -> None:
        """Take up a class that has waiting jobs now, as the last."""
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
        """Leave a class out that has none any more."""
        owners = self._of[cls.spec.community]
        owners[cls.owner] -= 1
        if not owners[cls.owner]:
            del owners[cls.owner]
        if not owners:
            del self._of[cls.spec.community]

    def put_last(self, cls: JobClass) -> None:
        """A class has had its turn."""
        self._last = cls.wide_order = self._last + 1

    def ripen(self, before: float) -> None:
        """Classes that have waited since then, or for longer, are hungry."""
        ripening = self._ripening
        while ripening and ripening[0][0] <= before:
            cls = heappop(ripening)[2]
            if cls.waiting and cls.waits_since > before:  # it began once more
                heappush(ripening, (cls.waits_since, cls.wide_order, cls))
                continue
            cls.ripens = False
            if cls.waiting:
                cls.hunger(True)

    def next_owners(self, community: str, rows: int, most: int) -> list[ShareNode]:
        """Return a few owners of some of these rows: others the next time.

        Of very many owners some are looked at each time.
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
        """Return how many classes each owner has: for checks."""
        return dict(self._of.get(community, {}))
