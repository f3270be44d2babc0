"""Messages that suggest the right word for a wrong one."""

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Final

from .complaints import elsewhere, short

NAMED_MAX: Final = 12  # if there are more, only the nearest are named
LOOKED_AT_MAX: Final = 2_000  # names that are compared, which takes milliseconds


def unknown(
    word: str,
    known: Iterable[str],
    *,
    what: str = "key",
    parts: Mapping[str, Iterable[str]] | None = None,
) -> str:
    """Return a message that refuses `word` and names the nearest known word, or all of them.

    `parts` holds the words that are right inside a part of the document, by the name of the part:
    if the word resembles one of them more, the message names that one.
    """
    names = sorted(known)
    lowered = {name.lower(): name for name in names[:LOOKED_AT_MAX]}
    said = f"unknown {what} {short(word)!r}"
    wanted = short(word).lower()
    close = get_close_matches(wanted, lowered, n=1, cutoff=0.55)
    place = elsewhere(word, parts or {}, instead_of=close[0] if close else "")
    if place:
        return f"{said}: {place}"
    if not names:
        return f"{said}: there is none yet"
    if close:
        return f"{said}: did you mean {lowered[close[0]]!r}?"
    if len(names) <= NAMED_MAX:
        return f"{said}: known are {', '.join(map(short, names))}"
    match = SequenceMatcher(b=wanted)

    def nearness(name: str) -> float:
        match.set_seq1(name.lower())
        return -match.ratio()

    nearest = sorted(names[:LOOKED_AT_MAX], key=nearness)[:NAMED_MAX]
    more = len(names) - len(nearest)
    return f"{said}: known are {', '.join(map(short, nearest))} and {more} more"
