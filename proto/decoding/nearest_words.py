"""The right word for a wrong one."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from typing import Final

from .complaints import short

NAMED_MAX: Final = 12  # of more, the nearest are named: nobody reads a thousand
LOOKED_AT_MAX: Final = 2_000  # names that are compared: it takes milliseconds


def unknown(word: str, known: Iterable[str], *, what: str = "key") -> str:
    """Return a sentence that refuses `word` and names the nearest right one, or all of them."""
    names = sorted(known)
    lowered = {name.lower(): name for name in names[:LOOKED_AT_MAX]}
    said = f"unknown {what} {short(word)!r}"
    wanted = short(word).lower()
    close = get_close_matches(wanted, lowered, n=1, cutoff=0.55)
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
