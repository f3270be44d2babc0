"""What a pilot offers, in the terms of the matcher: one reading of its words for all.

The dispatch reads what pilots say; who plans pilots says what one of a shape will say, and lets it
be read in the same way. So nothing that counts for jobs can be left out of one of the two. Pure.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, NamedTuple

from pilotage.matcher.types import NO_AMOUNTS, Grant, LiveOffer, NodeFacts
from pilotage.matcher.versions import version
from pilotage.proto.facts import OF_NODE, OF_OFFER, VERSIONS
from pilotage.proto.messages import Node, Offer

NOTHING: Final = Grant(0, 0, 0, 0.0)
COMMON_MAX: Final = 1_024  # kinds of pilots of which these parts are kept
_of_node, _of_offer = attrgetter(*OF_NODE), attrgetter(*OF_OFFER)
_TEST = frozenset({"Test"})
_NO_TYPE = frozenset({"(none: banned)"})  # no type of jobs is written so
_SHUT = frozenset({"(none: its site requires isolation: namespaces)"})


def total(grants: Iterable[Grant]) -> Grant:
    """Return what several grants give together, at the longest of their times."""
    found = list(grants)
    if not found:
        return NOTHING
    return Grant(
        cores=sum(one.cores for one in found),
        memory_mb=sum(one.memory_mb for one in found),
        scratch_mb=sum(one.scratch_mb for one in found),
        wall_s=max(one.wall_s for one in found),
        gpus=sum(one.gpus for one in found),
        amounts=sum((Counter(one.amounts) for one in found if one.amounts), Counter[str]()),
    )


def left(amounts: Mapping[str, int], taken: Grant) -> dict[str, int]:
    """Return what is left of named amounts, never less than nothing."""
    return {name: max(0, it - taken.amounts.get(name, 0)) for name, it in amounts.items()}


def core_work_left_hs23_s(offer: Offer, node: Node) -> float:
    """Return the CPU work that each core can still do: the least of what is known, or 0."""
    known: list[float] = []
    if offer.cpu_work_left_hs23_s and offer.cores:
        known.append(offer.cpu_work_left_hs23_s / offer.cores)
    if node.hs23_per_core:
        known.append(offer.wall_left_s * node.hs23_per_core)
    return min(known, default=0.0)


class OfferTerms(NamedTuple):
    """Parts of an offer that few offers change, in the terms of the matcher."""

    said: tuple[object, ...]
    os: str
    architecture: str
    tags: frozenset[str]
    required_tags: frozenset[str]
    groups: frozenset[str]
    owners: frozenset[str]
    types: frozenset[str]
    node: NodeFacts


class PilotOfferTerms(NamedTuple):
    """The same as a pilot says it."""

    tags: tuple[str, ...]
    required_tags: tuple[str, ...]
    groups: tuple[str, ...]
    owners: tuple[str, ...]
    types: tuple[str, ...]
    facts: tuple[Any, ...]  # as OF_OFFER names them


@lru_cache(COMMON_MAX)
def _common(
    said: PilotOfferTerms,
    *,
    os: str,
    architecture: str,
    facts: tuple[Any, ...],
    tests_only: bool,
    is_shut: bool,
) -> OfferTerms:
    """Return one and the same for all pilots that are alike, as most of a site are.

    `facts`: those of the node, as OF_NODE names them.

    The matcher then compares them by their being one, and what one of them has brought into the
    cache of the processor is there for all.
    """
    found = zip((*OF_NODE, *OF_OFFER), (*facts, *said.facts), strict=True)
    node = NodeFacts(**{name: _fact(name, value) for name, value in found})
    return OfferTerms(
        said,
        os,
        architecture,
        frozenset(said.tags),
        frozenset(said.required_tags),
        frozenset(said.groups),
        frozenset(said.owners),
        _types(said.types, tests_only=tests_only, is_shut=is_shut),
        node,
    )


def _fact(name: str, said: Any) -> Any:
    """Return a fact in the terms of the matcher: versions are numbers, words are written small."""
    if name in VERSIONS:
        return version(said)
    return said.lower() if isinstance(said, str) else said


def _types(said: Iterable[str], *, tests_only: bool, is_shut: bool) -> frozenset[str]:
    if is_shut:
        return _SHUT
    return _tests_of(said) if tests_only else frozenset(said)


def _tests_of(types: Iterable[str]) -> frozenset[str]:
    """Return what is left of the types that a pilot takes where only jobs of type Test may run."""
    types = frozenset(types)
    return _TEST if not types or types >= _TEST else _NO_TYPE


def said_by(offer: Offer) -> PilotOfferTerms:
    """Return what an offer says of that which changes hardly ever."""
    return PilotOfferTerms(
        offer.tags,
        offer.required_tags,
        offer.groups,
        offer.owners,
        offer.types,
        _of_offer(offer),
    )


def common_of(
    said: PilotOfferTerms, node: Node, *, tests_only: bool = False, is_shut: bool = False
) -> OfferTerms:
    """Return the same in the terms of the matcher.

    `tests_only`: its place is banned. `is_shut`: its site requires isolation, which it has not.
    """
    return _common(
        said,
        os=node.os,
        architecture=node.architecture,
        facts=_of_node(node),
        tests_only=tests_only,
        is_shut=is_shut,
    )


def live_offer(
    offer: Offer,
    node: Node,
    common: OfferTerms,
    *,
    pilot: str,
    community: str,
    site: str,
    element: str,
    taken: Grant = NOTHING,
) -> LiveOffer:
    """Return what is said to be free, less what was given away since. `common`: of this offer."""
    return LiveOffer(
        pilot=pilot,
        community=community,
        site=site,
        element=element,
        os=common.os,
        architecture=common.architecture,
        cores=offer.cores,
        cores_free=max(0, offer.cores_free - taken.cores),
        memory_free_mb=max(0, offer.memory_free_mb - taken.memory_mb),
        wall_left_s=offer.wall_left_s,
        scratch_free_mb=max(0, offer.scratch_free_mb - taken.scratch_mb),
        tags=common.tags,
        required_tags=common.required_tags,
        groups=common.groups,
        owners=common.owners,
        types=common.types,
        gpus=max(offer.gpus, offer.gpus_free),
        gpus_free=max(0, offer.gpus_free - taken.gpus),
        core_work_left_hs23_s=core_work_left_hs23_s(offer, node),
        node=common.node,
        amounts_free=left(offer.amounts_free, taken) if offer.amounts_free else NO_AMOUNTS,
    )
