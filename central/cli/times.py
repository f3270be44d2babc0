"""Times on the command line: an age such as 6h, or a date and time."""

import re
from datetime import datetime, timezone
from typing import Final

from .exit_codes import UsageError

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def moment(text: str) -> float:
    """Return a time in seconds since 1970. The text is an age (`6h`) or a time in ISO 8601."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        past = datetime.now(timezone.utc).timestamp() - float(ago[1]) * _UNITS_S[ago[2]]
        return max(0.0, past)
    try:
        return max(0.0, time_of(text).timestamp())
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {text!r}: expected an age, such as 30m, 6h or 2d, "
            "or a time, such as 2026-11-25T18:00 (local) or 2026-11-25T18:00Z"
        ) from None


def time_of(text: str) -> datetime:
    """Parse a time in ISO 8601. Raises ValueError."""
    # Python 3.10 does not accept the Z.
    return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
