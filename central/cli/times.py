"""Times on the command line: an age such as 6h, or a date and time."""

from datetime import datetime, timezone

from pilotage.proto.quantities import BadQuantity, unit_of

from .exit_codes import UsageError

_AGE = unit_of("age_s")


def moment(text: str) -> float:
    """Return a time in seconds since 1970. The text is an age (`1d12h`) or a time in ISO 8601."""
    assert _AGE is not None
    try:
        return max(0.0, datetime.now(timezone.utc).timestamp() - _AGE.read(text))
    except BadQuantity:
        pass  # a date, or wrong
    try:
        return max(0.0, time_of(text).timestamp())
    except (ValueError, OverflowError):
        raise UsageError(
            f"--since {text!r}: expected an age, such as 30m, 6h or 1d12h, "
            "or a time, such as 2026-11-25T18:00 (local) or 2026-11-25T18:00Z"
        ) from None


def time_of(text: str) -> datetime:
    """Parse a time in ISO 8601. Raises ValueError."""
    # Python 3.10 does not accept the Z.
    return datetime.fromisoformat(f"{text[:-1]}+00:00" if text.endswith("Z") else text)
