"""Amounts: resources of an offer that jobs take and that can run out.

Four are built in, as rows of a table. They come first, then the named amounts of the offer in its
order.
"""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec

from pilotage.proto.amounts import is_pool
from pilotage.proto.documents.job import Need

from ..types import NO_AMOUNTS, CountedAmounts, Grant, LiveOffer

AmountVector = tuple[int, ...]  # in the order of the table, then of the offer's names


class CountedResource(NamedTuple):
    """One built-in amount."""

    free: str  # field of an offer
    given: str  # field of a grant
    due: Callable[[Need, int], int]  # the least that a job takes, with this many cores


def least_memory_mb(need: Need) -> int:
    """Return the memory that the job takes with its smallest number of cores."""
    return memory_due_mb(need, need.cores_min)


def memory_due_mb(need: Need, cores: int) -> int:
    """Return the memory that the job takes with this number of cores."""
    return need.memory_mb + need.memory_per_core_mb * cores


def offered(need: Need) -> CountedAmounts:
    """Return the named amounts that a pilot can offer, without pools, which limits provide."""
    if not need.amounts:
        return ()
    return tuple(
        sorted((name, it) for name, it in need.amounts.items() if it and not is_pool(name))
    )


def lacking(wanted: CountedAmounts, had: CountedAmounts | None) -> CountedAmounts:
    """Return the wanted amounts that exceed those of an offer."""
    free = dict(had or ())
    return tuple((name, it) for name, it in wanted if it > free.get(name, 0))


def _cores(need: Need, cores: int) -> int:
    return cores


def _scratch_mb(need: Need, cores: int) -> int:
    return need.scratch_mb


def _gpus(need: Need, cores: int) -> int:
    return need.gpus_min


AMOUNTS: Final = (
    CountedResource("cores_free", "cores", _cores),
    CountedResource("memory_free_mb", "memory_mb", memory_due_mb),
    CountedResource("scratch_free_mb", "scratch_mb", _scratch_mb),
    CountedResource("gpus_free", "gpus", _gpus),
)

_FREE: Final = tuple([one.free for one in AMOUNTS])
_DUE: Final = tuple([one.due for one in AMOUNTS])
_free_of: Final = attrgetter(*_FREE)
_given_by: Final = attrgetter(*[one.given for one in AMOUNTS])


def free_of(offer: LiveOffer) -> AmountVector:
    """Return the free amounts of an offer."""
    found: AmountVector = _free_of(offer)
    return (*found, *offer.amounts_free.values()) if offer.amounts_free else found


def given_by(grant: Grant, offer: LiveOffer) -> AmountVector:
    """Return the amounts of an offer that a grant takes."""
    found: AmountVector = _given_by(grant)
    return (*found, *_named(grant.amounts, offer)) if offer.amounts_free else found


def due(need: Need, offer: LiveOffer) -> AmountVector:
    """Return the least amounts of an offer that a job takes."""
    cores = offer.cores if need.whole_node else need.cores_min
    found = tuple([amount(need, cores) for amount in _DUE])
    return (*found, *_named(need.amounts, offer)) if offer.amounts_free else found


def with_free(offer: LiveOffer, free: Iterable[int]) -> LiveOffer:
    """Return the offer with these free amounts."""
    numbers = list(free)
    named = dict(zip(offer.amounts_free, numbers[len(_FREE) :], strict=True)) or NO_AMOUNTS
    built_in = dict(zip(_FREE, numbers, strict=False))
    return msgspec.structs.replace(offer, amounts_free=named, **built_in)


def _named(amounts: Mapping[str, int], offer: LiveOffer) -> list[int]:
    return [amounts.get(name, 0) for name in offer.amounts_free]
