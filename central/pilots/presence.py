"""The live state of each pilot, apart from its attempts: session, asks and last beat. Pure."""

import sys
from collections import Counter
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Protocol

import msgspec

from pilotage.matcher.types import NO_AMOUNTS, Grant, LiveOffer
from pilotage.proto.messages import Node, Offer
from pilotage.proto.pilot_states import PilotState

from ..identity.callers import PilotCaller
from ..jobs.leases import EPOCH_BITS, AttemptKey, Lease, LeasePhase
from ..offers import NOTHING, OfferTerms, common_of, live_offer, said_by, total
from .record_types import PilotRow


def taken_by(leases: Iterable[Lease], known: Set[AttemptKey]) -> Grant:
    """Return the resources of attempts that a pilot's offer does not allow for (PROTOCOL C2).

    The pilot did not know these attempts when it made the offer.
    """
    return total(
        lease.grant
        for lease in leases
        if lease.phase is LeasePhase.LIVE
        and lease.settling is None
        and lease.job << EPOCH_BITS | lease.epoch not in known
    )


class PlaceMarks(Protocol):
    """The restrictions of sites and elements that concern their pilots."""

    @property
    def isolating(self) -> frozenset[str]:
        """Sites that require isolation."""
        ...

    def is_draining(self, site: str, element: str) -> bool: ...
    def is_banned_by_mark(self, site: str, element: str) -> bool: ...


@dataclass(eq=False)
class Presence:
    """A registered pilot."""

    pilot: str
    community: str
    site: str
    element: str
    session: int
    state: PilotState
    node: Node
    registered_at: float
    heard: float  # monotonic
    ask: int = 0  # number of the newest ask
    beat: int = 0
    drain: bool = False
    hurry: bool = False  # it ends without waiting for its attempts
    told: str = ""  # author and reason of the order to end now
    is_disowned: bool = False  # it is of the store before a restore, and was told so: it ends
    tests_only: bool = False  # an operator has banned its place
    is_shut: bool = False  # its site requires isolation, and it has none
    # A use of the renewal secret that a full store could not write: its number and mark.
    unwritten: tuple[int, str] | None = None
    strays: int = 0  # stored reports of attempts that it never had or that are deleted
    offer: Offer | None = None
    known: frozenset[AttemptKey] = frozenset()  # the attempts that the offer allows for
    # A cache: the offer, its live offer as the pilot made it, and the one without jobs.
    _made: tuple[Offer, LiveOffer, LiveOffer] | None = None
    _common: OfferTerms | None = None  # a cache: terms of the last offer

    def __post_init__(self) -> None:
        self.community, self.site = sys.intern(self.community), sys.intern(self.site)
        self.element = sys.intern(self.element)

    @property
    def host(self) -> str:
        return self.node.host

    def restrict(self, places: PlaceMarks) -> bool:
        """Apply the restrictions of the pilot's place. Return whether they have changed."""
        tests_only = places.is_banned_by_mark(self.site, self.element)
        is_shut = self.site in places.isolating and not self.node.namespaces
        if (tests_only, is_shut) == self.restricted:
            return False
        self.tests_only, self.is_shut, self._made, self._common = tests_only, is_shut, None, None
        return True

    @property
    def restricted(self) -> tuple[bool, bool]:
        """Whether it accepts only jobs of the type Test, and whether it accepts none."""
        return self.tests_only, self.is_shut

    def live_offer(self, offer: Offer, taken: Grant = NOTHING) -> LiveOffer:
        """Return an offer for the matcher: the pilot's offer without the `taken` resources."""
        return live_offer(
            offer,
            self.node,
            self._common_of(offer),
            pilot=self.pilot,
            community=self.community,
            site=self.site,
            element=self.element,
            taken=taken,
        )

    def _common_of(self, offer: Offer) -> OfferTerms:
        """Return the terms of an offer, which rarely change from one offer to the next."""
        said = said_by(offer)
        if self._common is None or self._common.said != said:
            self._common = common_of(
                said, self.node, tests_only=self.tests_only, is_shut=self.is_shut
            )
        return self._common

    def free_offer(self, leases: Iterable[Lease]) -> LiveOffer | None:
        """Return the free resources now: the last offer without newer attempts.

        Return None if the pilot has never asked. `leases`: those of this pilot.
        """
        if self.offer is None:
            return None
        taken = taken_by(leases, self.known)
        return (
            self._as_said(self.offer)[0] if taken is NOTHING else self.live_offer(self.offer, taken)
        )

    def empty_offer(self) -> LiveOffer | None:
        """Return the pilot's offer as if no job ran in it, None if it has never asked."""
        return self._as_said(self.offer)[1] if self.offer is not None else None

    def _as_said(self, said: Offer) -> tuple[LiveOffer, LiveOffer]:
        """Return the live offer as the pilot made it, and as it would be without jobs.

        Both are cached until the next ask, and are the same object if no job runs.
        """
        if self._made is None or self._made[0] is not said:
            live = self.live_offer(said)
            empty = msgspec.structs.replace(
                live,
                cores_free=said.cores,
                memory_free_mb=said.memory_mb,
                scratch_free_mb=max(said.scratch_mb, said.scratch_free_mb),
                gpus_free=max(said.gpus, said.gpus_free),
                amounts_free=(said.amounts_free | said.amounts) or NO_AMOUNTS,
            )
            self._made = said, live, live if empty == live else empty
        return self._made[1], self._made[2]


def presence_of(
    row: PilotRow, node: Node, places: PlaceMarks | None, *, heard: float, wall: float
) -> Presence:
    """Return the presence of a pilot's session from its row, with its earlier orders.

    `places`: None if no marks are known. `heard`: on the monotonic clock. `wall`: the time to use
    if the row has no time of registration.
    """
    found = Presence(
        pilot=row.pilot,
        community=row.community,
        site=row.site,
        element=row.element,
        session=row.session,
        state=row.state,
        node=node,
        registered_at=row.registered_at or wall,
        heard=heard,
        drain=row.drain or (places is not None and places.is_draining(row.site, row.element)),
        hurry=bool(row.told),
        told=row.told,
    )
    if places is not None:
        found.restrict(places)
    return found


class Pilots:
    """All pilots whose session may still send messages."""

    def __init__(self) -> None:
        self._pilots: dict[str, Presence] = {}
        self.states: Counter[PilotState] = Counter()  # pilots by state
        self._running_at: Counter[tuple[str, str]] = Counter()  # running pilots by (site, host)

    def put(self, presence: Presence) -> None:
        self.forget(presence.pilot)
        self._pilots[presence.pilot] = presence
        self._count(presence, presence.state, 1)

    def moved(self, presence: Presence, new: PilotState) -> None:
        """Note a pilot's new state. A replaced presence is not counted."""
        if self._pilots.get(presence.pilot) is presence:
            self._count(presence, presence.state, -1)
            self._count(presence, new, 1)
        presence.state = new
        presence.drain |= new is PilotState.DRAINING  # permanent, as in the store

    def find(self, pilot: str) -> Presence | None:
        return self._pilots.get(pilot)

    def caller(self, pilot: str) -> PilotCaller | None:
        """Return the same caller as the pilot's token gives. The bus has checked its identity."""
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
        gone = self._pilots.pop(pilot, None)
        if gone is not None:
            self._count(gone, gone.state, -1)

    def run_at(self, site: str, host: str) -> bool:
        """Return whether a pilot on this host accepts jobs."""
        return self._running_at[site, host] > 0

    def _count(self, presence: Presence, state: PilotState, change: int) -> None:
        self.states[state] += change
        if state is PilotState.RUNNING:
            place = presence.site, presence.host
            self._running_at[place] += change
            if not self._running_at[place]:
                del self._running_at[place]

    def all(self) -> list[Presence]:
        return list(self._pilots.values())

    def empty_offers(self) -> list[LiveOffer]:
        """Return the offer of each pilot that has asked, as if no job ran in it."""
        offers = (one.empty_offer() for one in self.all())
        return [one for one in offers if one is not None]
