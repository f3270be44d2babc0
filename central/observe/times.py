"""Wall-clock times as they are shown: RFC 3339, UTC, milliseconds."""

from datetime import UTC, datetime


def shown(at: float | None) -> str:
    """Return seconds since 1970 as text; None as an empty string."""
    if at is None:
        return ""
    text = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
