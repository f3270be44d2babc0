"""Reads a pilot's offer into the terms of the matcher. Pure.

The dispatch reads the offers of live pilots. The planner reads in the same way the offer that a
future pilot will make. So both see the same facts.
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
COMMON_MAX: Final = 1_024  # cached kinds of pilots
_of_node, _of_offer = attrgetter(*OF_NODE), attrgetter(*OF_OFFER)
_TEST = frozenset({"Test"})
_NO_TYPE = frozenset({"(none: banned)"})  # no job type looks like this
_SHUT = frozenset({"(none: its site requires isolation: namespaces)"})


def total(grants: Iterable[Grant]) -> Grant:
    """Return the sum of several grants, with the longest of their times."""
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
    """Return the rest of named amounts, at least 0 each."""
    return {name: max(0, it - taken.amounts.get(name, 0)) for name, it in amounts.items()}


def core_work_left_hs23_s(offer: Offer, node: Node) -> float:
    """Return the CPU work that each core can still do: the lowest known figure, or 0 if unknown."""
    known: list[float] = []
    if offer.cpu_work_left_hs23_s and offer.cores:
        known.append(offer.cpu_work_left_hs23_s / offer.cores)
    if node.hs23_per_core:
        known.append(offer.wall_left_s * node.hs23_per_core)
    return min(known, default=0.0)


class OfferTerms(NamedTuple):
    """Parts of an offer that seldom change, in the terms of the matcher."""

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
    """The same parts as the pilot wrote them."""

    tags: tuple[str, ...]
    required_tags: tuple[str, ...]
    groups: tuple[str, ...]
    owners: tuple[str, ...]
    types: tuple[str, ...]
    facts: tuple[Any, ...]  # in the order of OF_OFFER


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
    """Return one shared object for all pilots that are alike, as most pilots of a site are.

    `facts`: those of the node, in the order of OF_NODE. The matcher then compares these parts by
    identity, and they share the processor's cache.
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
    """Return a fact in the terms of the matcher: versions as numbers, words in lower case."""
    if name in VERSIONS:
        return version(said)
    return said.lower() if isinstance(said, str) else said


def _types(said: Iterable[str], *, tests_only: bool, is_shut: bool) -> frozenset[str]:
    if is_shut:
        return _SHUT
    return _tests_of(said) if tests_only else frozenset(said)


def _tests_of(types: Iterable[str]) -> frozenset[str]:
    """Return the types that the pilot takes if only jobs of type Test may run there."""
    types = frozenset(types)
    return _TEST if not types or types >= _TEST else _NO_TYPE


def said_by(offer: Offer) -> PilotOfferTerms:
    """Return the parts of an offer that seldom change."""
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
    """Return these parts in the terms of the matcher.

    `tests_only`: the place is banned. `is_shut`: the site requires isolation, and the pilot has
    none.
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
    """Return the free capacity of an offer, less the capacity given away since (`taken`).

    `common`: the common parts of this offer.
    """
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
