"""The word that the user meant: a demand that no live offer meets, but nearly."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Final

from .offer_bits import Miss, OfferBits

_CUTOFF: Final = 0.7  # as near as "pic", "PIC " or "PICC" are to "PIC"
KNOWN_MAX: Final = 2_000  # words that are compared

# The name of a single word of a clause, if it differs from the clause's name.
_CALLED: Final = {
    "sites": "site",
    "os": "operating system",
    "gpu_vendor": "GPU vendor",
    "tags": "tag",
}


def meant(misses: Iterable[Miss], asked: OfferBits) -> Iterator[str]:
    """Yield what the user probably meant by words that no offer has."""
    for miss in misses:
        clause = miss.clause
        wanted = sorted(clause.words(miss.wants))
        if not wanted:
            continue
        facts = set(asked.column(clause).had)
        known = {word for fact in facts for word in clause.words_had(fact) if word}
        what = _CALLED.get(clause.name, clause.name)
        for word in wanted:
            near = nearest(word, known)
            if near:
                yield f"no live offer has the {what} {word}: did you mean {near}?"


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word that is nearest to an unknown one; empty if none is near."""
    words = set(known)
    if not word or word in words:
        return ""
    lowered = {one.lower(): one for one in sorted(words)[:KNOWN_MAX]}
    close = get_close_matches(word.lower(), lowered, n=1, cutoff=_CUTOFF)
    return lowered[close[0]] if close else ""
