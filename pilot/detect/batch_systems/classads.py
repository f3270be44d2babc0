"""ClassAds of HTCondor in files of a job: one `Name = value` on each line."""

from typing import Optional

from ..small_files import text
from ..surroundings import Surroundings


class Ad:
    """An ad. Names ignore case; an expression has no value."""

    def __init__(self, source: str, lines: str) -> None:
        self.source = source
        self._values: dict[str, str] = {}
        for line in lines.splitlines():
            name, equals, value = line.partition("=")
            if equals and name.strip():
                self._values[name.strip().lower()] = value.strip()

    def number(self, name: str) -> Optional[float]:
        """Return a number; None if there is none or it is negative."""
        value = self._values.get(name.lower(), "")
        try:
            found = float(value) if value[:1].isdecimal() else -1.0
        except ValueError:
            return None
        return found if 0.0 <= found < 1e18 else None

    def word(self, name: str) -> str:
        """Return a text without its quotes; empty if it is not a text."""
        value = self._values.get(name.lower(), "")
        if len(value) >= 2 and value[0] == value[-1] == '"':
            return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        return ""


def ad(around: Surroundings, variable: str) -> Ad:
    """Return the ad in the file that a variable names; an empty ad if there is none."""
    path = around.environ.get(variable, "")
    return Ad(f"${variable}", text(around.file(path)) if path.startswith("/") else "")
