"""Safe texts for a report, which payloads may choose. Pure."""

import re
from collections.abc import Sequence

from pilotage.proto.limits import TEXT_MAX

NAMES_SHOWN = 3
NAME_SHOWN_MAX = 200
_REST = "..."
# Characters that a central refuses, and control characters, which would spoil a terminal.
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def fit(text: str) -> str:
    """Return the text in a form for reports: unfit characters as escapes, cut to the limit."""
    fitting = _UNFIT.sub(lambda found: ascii(found.group())[1:-1], text[: TEXT_MAX + 1])
    if len(fitting) <= TEXT_MAX:
        return fitting
    return fitting[: TEXT_MAX - len(_REST)] + _REST


def names(several: Sequence[str]) -> str:
    """Return the first of some names, quoted, and the number of the others."""
    shown = [
        repr(one if len(one) <= NAME_SHOWN_MAX else one[:NAME_SHOWN_MAX] + _REST)
        for one in several[:NAMES_SHOWN]
    ]
    more = len(several) - len(shown)
    if more:
        return ", ".join(shown) + f" and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)
