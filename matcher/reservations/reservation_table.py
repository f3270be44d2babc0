"""The existing reservations, and how many of them an owner and a community have."""

from collections import Counter
from typing import Final

from ..limits.fair_shares import ShareNode
from ..limits.running_limits import ElementLimits
from ..queue.job_classes import JobClass

OF_A_COMMUNITY_MAX: Final = 256
OF_AN_OWNER_MAX: Final = 64


class Reservation:
    """One offer that is kept from long jobs for a class."""

    __slots__ = (
        "at",
        "class_id",
        "idle_since",
        "made",
        "need",
        "owner",
        "pilot",
        "place",
        "until",
    )

    def __init__(
        self,
        cls: JobClass,
        need: int,
        pilot: str,
        place: ElementLimits | None,
        *,
        until: float,
        made: float,
    ) -> None:
        self.class_id = cls.spec.class_id
        self.owner = cls.owner
        self.need = need  # index of the class's need
        self.pilot = pilot
        self.place = place  # of the offer, if there are limits
        self.until = until
        self.made = made
        self.idle_since: float | None = None  # since when no job has run on the pilot


class ReservationIndex:
    """All reservations, by pilot and by class, and their numbers."""

    def __init__(self) -> None:
        self.by_pilot: dict[str, Reservation] = {}
        self.by_class: dict[int, list[Reservation]] = {}
        self.counts: Counter[ShareNode] = Counter()  # of owners and communities

    def add(self, made: Reservation) -> None:
        self.by_pilot[made.pilot] = made
        self.by_class.setdefault(made.class_id, []).append(made)
        self.counts.update(counted(made.owner))

    def remove(self, held: Reservation) -> None:
        del self.by_pilot[held.pilot]
        its = self.by_class[held.class_id]
        its.remove(held)
        if not its:
            del self.by_class[held.class_id]
        for node in counted(held.owner):
            self.counts[node] -= 1
            if not self.counts[node]:
                del self.counts[node]

    def is_all(self, community: ShareNode) -> bool:
        """Return whether a community has as many reservations as it may."""
        return self.counts[community] >= OF_A_COMMUNITY_MAX

    def is_full(self, owner: ShareNode) -> bool:
        """Return whether an owner or its community has as many reservations as it may."""
        _, community = counted(owner)
        return self.counts[owner] >= OF_AN_OWNER_MAX or self.counts[community] >= OF_A_COMMUNITY_MAX


def counted(owner: ShareNode) -> tuple[ShareNode, ShareNode]:
    """Return an owner and its community."""
    group = owner.parent
    assert group is not None and group.parent is not None, "an owner is of a community's group"
    return owner, group.parent
