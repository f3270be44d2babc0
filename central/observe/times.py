"""Formats times: moments as RFC 3339 in UTC with milliseconds, spans in words."""

from datetime import datetime, timezone
from functools import lru_cache
from typing import Annotated, Final

from msgspec import Meta

_DAY_S: Final = 86_400.0
_HOUR_S: Final = 3_600.0

# Seconds since 1970 in a request. The year 9999 is the last one that a date can hold.
Moment = Annotated[float, Meta(ge=0, le=253_402_128_000)]


@lru_cache(maxsize=4_096)  # jobs of one submission and their attempts share many times
def shown(at: float | None) -> str:
    """Return seconds since 1970 as text. None gives an empty string."""
    if at is None:
        return ""
    text = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def span(seconds: float) -> str:
    """Return a span in words, such as "2 days"."""
    if seconds >= _DAY_S:
        return f"{seconds / _DAY_S:g} days"
    return f"{seconds / _HOUR_S:g} hours" if seconds >= _HOUR_S else f"{seconds:g} seconds"
