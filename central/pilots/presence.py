"""What is known of each pilot beside its attempts: session, asks, last beat. Pure."""

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
from ..jobs.leases import EPOCH_BITS, Lease, LeasePhase, Name
from ..offers import NOTHING, OfferTerms, common_of, live_offer, said_by, total
from .record_types import PilotRow


def taken_by(leases: Iterable[Lease], known: Set[Name]) -> Grant:
    """Return what a pilot was given and did not know of when it said what is free (PROTOCOL C2)."""
    return total(
        lease.grant
        for lease in leases
        if lease.phase is LeasePhase.LIVE
        and lease.settling is None
        and lease.job << EPOCH_BITS | lease.epoch not in known
    )


class PlaceMarks(Protocol):
    """What operators have said of sites and elements, as it concerns their pilots."""

    @property
    def isolating(self) -> frozenset[str]:
        """Sites that ask for isolation."""
        ...

    def is_draining(self, site: str, element: str) -> bool: ...
    def is_banned_by_mark(self, site: str, element: str) -> bool: ...


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
    hurry: bool = False  # it ends without waiting for what it holds
    told: str = ""  # who has told it to end now, and why
    tests_only: bool = False  # an operator has banned its place
    is_shut: bool = False  # its site requires isolation, and it has none
    # A use of the renewal secret that a full store could not take: its number, and the mark.
    unwritten: tuple[int, str] | None = None
    strays: int = 0  # reports of attempts that it never had, or that are gone, kept in this life
    offer: Offer | None = None
    known: frozenset[Name] = frozenset()  # the attempts that the offer allows for
    # The offer, what it is as the pilot said it, and what it would be without jobs.
    _made: tuple[Offer, LiveOffer, LiveOffer] | None = None
    _common: OfferTerms | None = None  # of the last offer

    def __post_init__(self) -> None:
        self.community, self.site = sys.intern(self.community), sys.intern(self.site)
        self.element = sys.intern(self.element)

    @property
    def host(self) -> str:
        return self.node.host

    def restrict(self, places: PlaceMarks) -> bool:
        """Let what holds at its place count for what it takes; return whether that is new."""
        tests_only = places.is_banned_by_mark(self.site, self.element)
        is_shut = self.site in places.isolating and not self.node.namespaces
        if (tests_only, is_shut) == self.restricted:
            return False
        self.tests_only, self.is_shut, self._made, self._common = tests_only, is_shut, None, None
        return True

    @property
    def restricted(self) -> tuple[bool, bool]:
        """Whether it takes jobs of the type Test alone, and whether it takes none."""
        return self.tests_only, self.is_shut

    def live_offer(self, offer: Offer, taken: Grant = NOTHING) -> LiveOffer:
        """Return what the pilot says is free, less what it was given and does not know of yet."""
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
        """Return what changes hardly ever from one offer of this pilot to the next."""
        said = said_by(offer)
        if self._common is None or self._common.said != said:
            self._common = common_of(
                said, self.node, tests_only=self.tests_only, is_shut=self.is_shut
            )
        return self._common

    def free_offer(self, leases: Iterable[Lease]) -> LiveOffer | None:
        """Return what is free now: the pilot's word, less what it was given and did not list.

        None if it never asked. `leases`: its own.
        """
        if self.offer is None:
            return None
        taken = taken_by(leases, self.known)
        return (
            self._as_said(self.offer)[0] if taken is NOTHING else self.live_offer(self.offer, taken)
        )

    def empty_offer(self) -> LiveOffer | None:
        """Return what the pilot could offer if no job ran in it; None if it never asked."""
        return self._as_said(self.offer)[1] if self.offer is not None else None

    def _as_said(self, said: Offer) -> tuple[LiveOffer, LiveOffer]:
        """Return an offer as it was said and as it would be without jobs, made once an ask.

        Both are one where nothing is on it.
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
    """Return a pilot's next session as its row has it, with the orders that it was given before.

    `places`: None where no marks are known. `heard`: by the monotonic clock. `wall`: now, if it is
    not known when it registered.
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
    """All pilots whose session may still speak."""

    def __init__(self) -> None:
        self._pilots: dict[str, Presence] = {}
        self.states: Counter[PilotState] = Counter()  # how many stand where
        self._running_at: Counter[tuple[str, str]] = Counter()  # how many run on a host of a site

    def put(self, presence: Presence) -> None:
        self.forget(presence.pilot)
        self._pilots[presence.pilot] = presence
        self._count(presence, presence.state, 1)

    def moved(self, presence: Presence, new: PilotState) -> None:
        """Take note of a pilot's new state. A presence that was replaced is nobody's any more."""
        if self._pilots.get(presence.pilot) is presence:
            self._count(presence, presence.state, -1)
            self._count(presence, new, 1)
        presence.state = new
        presence.drain |= new is PilotState.DRAINING  # for good, as the store has it

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
        gone = self._pilots.pop(pilot, None)
        if gone is not None:
            self._count(gone, gone.state, -1)

    def run_at(self, site: str, host: str) -> bool:
        """Whether a pilot on this host takes jobs."""
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
        """Return what each pilot could offer if no job ran in it, of those that have asked."""
        offers = (one.empty_offer() for one in self.all())
        return [one for one in offers if one is not None]
