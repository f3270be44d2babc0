"""The demand for pilots: waiting jobs, and the places where pilots could run them."""

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
from pilotage.proto.images import DOCKER, fetching_tags, tag_of
from pilotage.proto.messages import TOKENS_TAG, Node, Offer
from pilotage.proto.storages import TAG as DATA

from ...offers import common_of, live_offer, said_by
from ..element_watch import WatchedElement
from ..site_files.sites import Shape
from .allowances import AllowedJobs
from .communities import CommunityShape, shares, spots
from .plans import ClosedReason, Demand, PlaceBlocker, merged
from .prospects import prospects

START_S: Final = 60.0  # part of a pilot's time that passes before it can take a job
BOUNDLESS_MB: Final = 1_000_000_000
_NOT_PROMISED: Final = ("", "auto", "session")  # isolation settings that may lack namespaces
TEST: Final = "Test"  # jobs of this type also run at banned places


class WorkSource(Protocol):
    """The waiting jobs, as the matcher knows them."""

    def waiting(self) -> Iterable[tuple[ClassSpec, int]]:
        """Return each class with waiting jobs, and their number."""
        ...

    def ceilings(self, spec: ClassSpec) -> Sequence[Ceiling]:
        """Return how many more jobs of a class the limits allow, and where."""
        ...

    def clauses(self) -> Clauses:
        """Return the clauses of the matcher, so that plans and matches agree."""
        ...

    def is_banned(self, site: str, element: str) -> bool:
        """Return whether only jobs of type Test run there."""
        ...

    def is_draining(self, site: str, element: str) -> bool:
        """Return whether an operator wants no more pilots there."""
        ...


class PilotDemand:
    """The places of some elements, and the waiting jobs that their pilots could run."""

    def __init__(self, work: WorkSource, communities: Sequence[str]) -> None:
        self._work, self._communities = work, communities
        self.places: list[CommunityShape] = []
        self.offers: list[LiveOffer] = []
        self._suits: OfferBits | None = None

    def look(self, watched: Sequence[WatchedElement]) -> None:
        """Look at the elements in use."""
        self.places = spots(watched, self._communities)
        offers = [offer(one) for one in self.places]
        if self._suits is None or self.offers != offers:  # keep the compiled needs of classes
            self._suits, self.offers = OfferBits(self._work.clauses(), offers), offers

    def prospects(
        self, spec: ClassSpec, why_none: Callable[[CommunityShape], ClosedReason | None]
    ) -> list[str]:
        """Return remarks about pilots for a job; `why_none`: why a place gets none for it."""
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
        """Return the demands of the waiting jobs. Call `look` first."""
        suits, work = self._suits, list(self._work.waiting())
        assert suits is not None, "look() must come first"
        suits.learn(spec for spec, _ in work)
        draining = self._bits(self._work.is_draining) | self._unserved()
        others, tests = ~(draining | self._bits(self._work.is_banned)), ~draining
        asked = [
            (spec, jobs, suits.of(spec) & (tests if spec.type == TEST else others))
            for spec, jobs in work
        ]
        return merged(self._let_run(asked))

    def _let_run(self, asked: list[tuple[ClassSpec, int, int]]) -> Iterator[Demand]:
        """Yield demands for the jobs that limits allow, with their places."""
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
        """Return the places whose queued pilots no job needs; these are cancelled."""
        found = 0
        for at, one in enumerate(self.places):
            if self._is_left(one):
                found |= 1 << at
        return found

    def _is_left(self, place: CommunityShape) -> bool:
        """Return whether the community of a place no longer has a share there."""
        known = self._communities
        return place.community not in shares(place.element.site_entry.communities, known)

    def _no_share(self, community: str) -> str:
        if community in self._communities:
            why = f"no site's file gives the community {community!r} a share of its pilots"
        else:
            names = ", ".join(self._communities)
            why = f"the settings allow pilots of {names} only, not of {community!r}"
        return f"no pilot comes: {why}"


def _demand(spec: ClassSpec, jobs: int, places: int) -> Demand:
    asked = list(map(_amounts, spec.needs))
    cores, memory_mb, scratch_mb, gpus, whole = map(min, zip(*asked, strict=True))
    named = offered(spec.needs[0]) if len(spec.needs) == 1 else ()
    return Demand(places, jobs, cores, memory_mb, scratch_mb, gpus, bool(whole), named)


def _amounts(need: Need) -> tuple[int, int, int, int, bool]:
    """Return a job's needs: cores, memory, scratch, GPUs, and whether a whole node."""
    memory_mb = least_memory_mb(need)
    return need.cores_min, memory_mb, need.scratch_mb, need.gpus_min, need.whole_node


def offer(place: CommunityShape) -> LiveOffer:
    """Return the offer that a pilot of a place will make, as far as the operator described it."""
    element, shape = place.element, place.element.entry.shapes[place.shape]
    node, said = _node(element), _first_offer(element, shape)
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
    """Return the node that a pilot will report; features that are not described are absent."""
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
    """Return the isolation that pilots of an element use: the site's, or their own."""
    site, pilot = element.site_entry.isolation, element.entry.pilot.isolation
    return site if site and pilot in _NOT_PROMISED else pilot


def _first_offer(element: WatchedElement, shape: Shape) -> Offer:
    """Return the first offer of a pilot. Memory and scratch without a size are unbounded."""
    pilot, nodes = element.entry.pilot, msgspec.structs.asdict(element.entry.nodes)
    memory_mb, scratch_mb = shape.memory_mb or BOUNDLESS_MB, shape.scratch_mb or BOUNDLESS_MB
    images = [
        tag
        for kind in nodes["images"]
        for tag in (fetching_tags(pilot.registries) if kind == DOCKER else (tag_of(kind),))
    ]
    margin = margin_s(pilot.stop_margin_s or STOP_MARGIN_S, shape.wall_s)
    return Offer(
        cores=shape.cores,
        cores_free=shape.cores,
        memory_mb=memory_mb,
        memory_free_mb=memory_mb,
        wall_left_s=shape.wall_s - margin - START_S,
        scratch_free_mb=scratch_mb,
        scratch_mb=scratch_mb,
        tags=(*pilot.tags, *(f"cvmfs:{one}" for one in pilot.cvmfs), *images, DATA, TOKENS_TAG),
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
