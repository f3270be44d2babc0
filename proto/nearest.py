"""The right word for a wrong one."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(word: str, known: Iterable[str], *, what: str = "key") -> str:
    """Return a sentence that refuses `word` and names the nearest right one, or all of them."""
    names = sorted(known)
    lowered = {name.lower(): name for name in names}
    close = get_close_matches(word.lower(), lowered, n=1, cutoff=0.55)
    if close:
        return f"unknown {what} {word!r}: did you mean {lowered[close[0]]!r}?"
    return f"unknown {what} {word!r}: known are {', '.join(names)}"
