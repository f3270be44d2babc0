"""What is known of each pilot beside its attempts: session, asks, last beat. Pure."""

from dataclasses import dataclass

from pilotage.matcher.types import LiveOffer
from pilotage.proto.messages import Node, Offer
from pilotage.proto.pilot_states import PilotState

from ..auth.callers import PilotCaller


@dataclass(eq=False)
class Presence:
    """One pilot that has registered."""

    pilot: str
    community: str
    site: str
    element: str
    session: int
    state: PilotState
    node: Node
    registered_at: float
    heard: float  # monotonic
    ask: int = 0  # the last ask that was taken up
    beat: int = 0
    drain: bool = False
    offer: Offer | None = None

    @property
    def host(self) -> str:
        return self.node.host

    def live_offer(
        self, offer: Offer, *, cores_taken: int, memory_taken_mb: int, scratch_taken_mb: int
    ) -> LiveOffer:
        """Return what the pilot says is free, less what it was given and does not know of yet."""
        return LiveOffer(
            pilot=self.pilot,
            community=self.community,
            site=self.site,
            element=self.element,
            os=self.node.os,
            architecture=self.node.architecture,
            cores=offer.cores,
            cores_free=max(0, offer.cores_free - cores_taken),
            memory_free_mb=max(0, offer.memory_free_mb - memory_taken_mb),
            wall_left_s=offer.wall_left_s,
            scratch_free_mb=max(0, offer.scratch_free_mb - scratch_taken_mb),
            tags=frozenset(offer.tags),
            required_tags=frozenset(offer.required_tags),
            groups=frozenset(offer.groups),
            owners=frozenset(offer.owners),
        )


class Pilots:
    """All pilots whose session may still speak."""

    def __init__(self) -> None:
        self._pilots: dict[str, Presence] = {}

    def put(self, presence: Presence) -> None:
        self._pilots[presence.pilot] = presence

    def find(self, pilot: str) -> Presence | None:
        return self._pilots.get(pilot)

    def caller(self, pilot: str) -> PilotCaller | None:
        """Return what this pilot's token says, where the bus has checked who it is."""
        presence = self._pilots.get(pilot)
        if presence is None:
            return None
        return PilotCaller(
            pilot=pilot,
            community=presence.community,
            site=presence.site,
            element=presence.element,
        )

    def forget(self, pilot: str) -> None:
        self._pilots.pop(pilot, None)

    def all(self) -> list[Presence]:
        return list(self._pilots.values())
