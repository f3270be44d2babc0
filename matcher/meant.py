"""The word that was meant: a demand for what no live offer has, but nearly."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Final

from pilotage.proto.job import Need

from .offer_bits import Miss
from .tagexpr import parse
from .types import LiveOffer

_CUTOFF: Final = 0.7  # as near as "pic", "PIC " or "PICC" are to "PIC"
KNOWN_MAX: Final = 2_000  # words that are compared
_Words = Callable[[Need], Iterable[str]]
_Had = Callable[[LiveOffer], Iterable[str]]

# The clauses of words: what a need says, what an offer has, and what one of them is called.
_CLAUSES: Final[dict[str, tuple[_Words, _Had, str]]] = {
    "sites": (lambda need: need.sites, lambda offer: (offer.site,), "site"),
    "element": (lambda need: (need.element,), lambda offer: (offer.element,), "element"),
    "os": (lambda need: (need.os,), lambda offer: (offer.os,), "operating system"),
    "architecture": (
        lambda need: (need.architecture,),
        lambda offer: (offer.architecture,),
        "architecture",
    ),
    "gpu_vendor": (
        lambda need: (need.gpu_vendor,),
        lambda offer: (offer.node.gpu_vendor,),
        "GPU vendor",
    ),
    "tags": (lambda need: parse(need.tags).named, lambda offer: offer.tags_had, "tag"),
}


def meant(need: Need, misses: Iterable[Miss], offers: Sequence[LiveOffer]) -> Iterator[str]:
    """Yield what was probably meant by words that no offer has."""
    for miss in misses:
        found = _CLAUSES.get(miss.clause.name)
        if found is None:
            continue
        wanted, had, what = found
        known = {word for offer in offers for word in had(offer) if word}
        for word in sorted(wanted(need)):
            near = nearest(word, known)
            if near:
                yield f"no live offer has the {what} {word}: did you mean {near}?"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that a strange one is nearest to; empty where none is near."""
    words = set(known)
    if not word or word in words:
        return ""
    lowered = {one.lower(): one for one in sorted(words)[:KNOWN_MAX]}
    close = get_close_matches(word.lower(), lowered, n=1, cutoff=_CUTOFF)
    return lowered[close[0]] if close else ""
