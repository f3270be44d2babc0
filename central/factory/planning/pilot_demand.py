"""What waits, and where pilots for it could be: the matcher's demand in the terms of a plan."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, Protocol

import msgspec

from pilotage.matcher.clauses.amounts import least_memory_mb, offered
from pilotage.matcher.clauses.clause import Clauses
from pilotage.matcher.explanation.offer_bits import OfferBits
from pilotage.matcher.types import Ceiling, ClassSpec, LiveOffer
from pilotage.proto.declarations import STOP_MARGIN_S, margin_s
from pilotage.proto.documents.job import Need
from pilotage.proto.facts import OF_NODE, OF_OFFER
from pilotage.proto.images import tag_of
from pilotage.proto.messages import Node, Offer
from pilotage.proto.storages import TAG as DATA

from ...offers import common_of, live_offer, said_by
from ..element_watch import WatchedElement
from ..site_files.sites import Shape
from .allowances import AllowedJobs
from .communities import CommunityShape, shares, spots
from .plans import ClosedReason, Demand, PlaceBlocker, merged
from .prospects import prospects

START_S: Final = 60.0  # of a pilot's time that pass before it can take a job
BOUNDLESS_MB: Final = 1_000_000_000
_NOT_PROMISED: Final = ("", "auto", "session")  # rungs of which one may have no namespaces
TEST: Final = "Test"  # jobs of this type run where others are banned


class WorkSource(Protocol):
    """What waits, as the matcher knows it."""

    def waiting(self) -> Iterable[tuple[ClassSpec, int]]:
        """Return each class of which jobs wait, and how many."""
        ...

    def ceilings(self, spec: ClassSpec) -> Sequence[Ceiling]:
        """Return how many more jobs of a class the limits let run where."""
        ...

    def clauses(self) -> Clauses:
        """Return the matcher's table: what it is asked, pilots are planned by."""
        ...

    def is_banned(self, site: str, element: str) -> bool:
        """Whether only jobs of the type Test run there."""
        ...

    def is_draining(self, site: str, element: str) -> bool:
        """Whether an operator wants no further pilots there."""
        ...


class Outlook:
    """The places of some elements, each a shape, and what of the work they could do."""

    def __init__(self, work: WorkSource, communities: Sequence[str]) -> None:
        self._work, self._communities = work, communities
        self.places: list[CommunityShape] = []
        self.offers: list[LiveOffer] = []
        self._suits: OfferBits | None = None

    def look(self, watched: Sequence[WatchedElement]) -> None:
        """Look at the elements that are in force."""
        self.places = spots(watched, self._communities)
        offers = [offer(one) for one in self.places]
        if self._suits is None or self.offers != offers:  # it knows what classes want by then
            self._suits, self.offers = OfferBits(self._work.clauses(), offers), offers

    def prospects(
        self, spec: ClassSpec, why_none: Callable[[CommunityShape], ClosedReason | None]
    ) -> list[str]:
        """Return what there is to say of pilots for a job; `why_none`: of a place for this job."""
        if not self.places:
            return []
        mine = [
            (place, offer)
            for place, offer in zip(self.places, self.offers, strict=True)
            if place.community == spec.community and not self._is_left(place)
        ]
        if not mine:
            return [self._no_share(spec.community)]
        places, offers = zip(*mine, strict=True)
        used_up = [one for one in self._work.ceilings(spec) if one.jobs <= 0]

        def why(one: CommunityShape) -> ClosedReason | None:
            site, element = one.element.site, one.element.name
            if any(ceiling.holds_at(site, element) for ceiling in used_up):
                return ClosedReason(
                    PlaceBlocker.LIMIT, "has limits that leave no room for such jobs"
                )
            return why_none(one)

        return prospects(spec, places, offers, self._work.clauses(), why)

    def demands(self) -> list[Demand]:
        """Return what waits. Call `look` before."""
        suits, work = self._suits, list(self._work.waiting())
        assert suits is not None, "nothing was looked at"
        suits.learn(spec for spec, _ in work)
        draining = self._bits(self._work.is_draining) | self._unserved()
        others, tests = ~(draining | self._bits(self._work.is_banned)), ~draining
        asked = [
            (spec, jobs, suits.of(spec) & (tests if spec.type == TEST else others))
            for spec, jobs in work
        ]
        return merged(self._let_run(asked))

    def _let_run(self, asked: list[tuple[ClassSpec, int, int]]) -> Iterator[Demand]:
        """Yield demands for jobs as far as limits let them run, at which places."""
        allowed = AllowedJobs(self._at)
        limited: list[tuple[ClassSpec, int, int, Sequence[Ceiling]]] = []
        for spec, jobs, places in asked:
            if ceilings := self._work.ceilings(spec):
                limited.append((spec, jobs, places, ceilings))
            else:
                yield _demand(spec, jobs, places)
        limited.sort(key=lambda one: one[2].bit_count())
        for spec, jobs, places, ceilings in limited:
            for some, where in allowed.parts(jobs, places, ceilings):
                yield _demand(spec, some, where)

    def _at(self, where: str) -> int:
        return self._bits(lambda site, element: where in ("", site, f"{site}/{element}"))

    def _bits(self, holds: Callable[[str, str], bool]) -> int:
        found = 0
        for at, one in enumerate(self.places):
            if holds(one.element.site, one.element.name):
                found |= 1 << at
        return found

    def _unserved(self) -> int:
        """Return the places that no job brings pilots to: those that wait there are taken back."""
        found = 0
        for at, one in enumerate(self.places):
            if self._is_left(one):
                found |= 1 << at
        return found

    def _is_left(self, place: CommunityShape) -> bool:
        """Whether a place is of a community that has no share there any more."""
        known = self._communities
        return place.community not in shares(place.element.site_entry.communities, known)

    def _no_share(self, community: str) -> str:
        if community in self._communities:
            why = f"no site's file gives the community {community!r} a share of its pilots"
        else:
            names = ", ".join(self._communities)
            why = f"by its settings the central has pilots of {names} alone, not of {community!r}"
        return f"no pilot comes: {why}"


def _demand(spec: ClassSpec, jobs: int, places: int) -> Demand:
    asked = list(map(_asked, spec.needs))
    cores, memory_mb, scratch_mb, gpus, whole = map(min, zip(*asked, strict=True))
    named = offered(spec.needs[0]) if len(spec.needs) == 1 else ()
    return Demand(places, jobs, cores, memory_mb, scratch_mb, gpus, bool(whole), named)


def _asked(need: Need) -> tuple[int, int, int, int, bool]:
    """Return what a job takes of a pilot: cores, memory, scratch, GPUs, and whether all of it."""
    memory_mb = least_memory_mb(need)
    return need.cores_min, memory_mb, need.scratch_mb, need.gpus_min, need.whole_node


def offer(place: CommunityShape) -> LiveOffer:
    """Return what a pilot of a place will offer, as far as the operator has said."""
    element, shape = place.element, place.element.entry.shapes[place.shape]
    node, said = _node(element), _said(element, shape)
    return live_offer(
        said,
        node,
        common_of(said_by(said), node),
        pilot="",
        community=place.community,
        site=element.site,
        element=element.name,
    )


def _node(element: WatchedElement) -> Node:
    """Return the word of a pilot on its node: what is not said of one is not there."""
    pilot, nodes = element.entry.pilot, msgspec.structs.asdict(element.entry.nodes)
    return Node(
        host="",
        os=pilot.os or "any",
        architecture=pilot.architecture,
        namespaces=rung(element) not in _NOT_PROMISED,
        cvmfs=pilot.cvmfs,
        hs23_per_core=pilot.hs23_per_core,
        **{name: nodes[name] for name in nodes.keys() & OF_NODE},
    )


def rung(element: WatchedElement) -> str:
    """Return the isolation that pilots of an element are told: the site's, or their own rung."""
    site, pilot = element.site_entry.isolation, element.entry.pilot.isolation
    return site if site and pilot in _NOT_PROMISED else pilot


def _said(element: WatchedElement, shape: Shape) -> Offer:
    """Return the first offer of a pilot. Of memory and scratch, unsaid is no bound."""
    pilot, nodes = element.entry.pilot, msgspec.structs.asdict(element.entry.nodes)
    memory_mb, scratch_mb = shape.memory_mb or BOUNDLESS_MB, shape.scratch_mb or BOUNDLESS_MB
    images = map(tag_of, nodes["images"])
    margin = margin_s(pilot.stop_margin_s or STOP_MARGIN_S, shape.wall_s)
    return Offer(
        cores=shape.cores,
        cores_free=shape.cores,
        memory_mb=memory_mb,
        memory_free_mb=memory_mb,
        wall_left_s=shape.wall_s - margin - START_S,
        scratch_free_mb=scratch_mb,
        scratch_mb=scratch_mb,
        tags=(*pilot.tags, *(f"cvmfs:{one}" for one in pilot.cvmfs), *images, DATA),
        required_tags=pilot.required_tags,
        groups=pilot.groups,
        owners=pilot.owners,
        types=pilot.types,
        gpus=shape.gpus,
        gpus_free=shape.gpus,
        amounts=pilot.amounts,
        amounts_free=pilot.amounts,
        **{name: nodes[name] for name in nodes.keys() & OF_OFFER},
    )
