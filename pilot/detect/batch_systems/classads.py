"""Ads of HTCondor as the job finds them in files: one `Name = value` a line."""

from typing import Optional

from ..small_files import text
from ..surroundings import Surroundings


class Ad:
    """An ad. Names know no case; what is an expression is no value."""

    def __init__(self, source: str, lines: str) -> None:
        self.source = source
        self._values: dict[str, str] = {}
        for line in lines.splitlines():
            name, equals, value = line.partition("=")
            if equals and name.strip():
                self._values[name.strip().lower()] = value.strip()

    def number(self, name: str) -> Optional[float]:
        """Return a number, None where there is none that is not below zero."""
        value = self._values.get(name.lower(), "")
        try:
            found = float(value) if value[:1].isdecimal() else -1.0
        except ValueError:
            return None
        return found if 0.0 <= found < 1e18 else None

    def word(self, name: str) -> str:
        """Return a text without its quotes, empty where it is none."""
        value = self._values.get(name.lower(), "")
        if len(value) >= 2 and value[0] == value[-1] == '"':
            return value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        return ""


def ad(around: Surroundings, variable: str) -> Ad:
    """Return the ad in the file that a variable names, an empty one where there is none."""
    path = around.environ.get(variable, "")
    return Ad(f"${variable}", text(around.file(path)) if path.startswith("/") else "")
