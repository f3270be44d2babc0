"""Times as people type them: so long ago, or as they are."""

import re
from datetime import datetime, timezone
from typing import Final

from .exit_codes import UsageError

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def moment(text: str) -> float:
    """Return a time, given as so long ago or as it is, in seconds since 1970."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        past = datetime.now(timezone.utc).timestamp() - float(ago[1]) * _UNITS_S[ago[2]]
        return max(0.0, past)
    try:
        return max(0.0, time_of(text).timestamp())
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {text!r}: expected so long ago, as 30m, 6h or 2d, "
            "or a time, as 2026-11-25T18:00 (here) or 2026-11-25T18:00Z"
        ) from None


def time_of(text: str) -> datetime:
    """Return a time in ISO 8601. Python 3.10 does not read the Z. Raises ValueError."""
    return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
