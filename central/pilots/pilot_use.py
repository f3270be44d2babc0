"""Notes which pilots got a job, and which left without one. Pure.

It covers only pilots whose first ask came after the start of this central.
"""

from dataclasses import dataclass, field
from typing import Final

from ..bounded_cache import BoundedCache

PILOTS_MAX: Final = 200_000


def _pilots() -> BoundedCache[str, None]:
    return BoundedCache(PILOTS_MAX)


@dataclass
class PilotNews:
    """News about pilots, until `news` returns them."""

    without: BoundedCache[str, None] = field(default_factory=_pilots)  # no job yet
    worked: BoundedCache[str, None] = field(default_factory=_pilots)  # news: got their first job
    empty: BoundedCache[str, None] = field(default_factory=_pilots)  # news: left without a job

    def came(self, pilot: str) -> None:
        """Note the first ask of a pilot."""
        self.without[pilot] = None

    def works(self, pilot: str) -> None:
        """Note that a pilot got a job."""
        if pilot in self.without:
            del self.without[pilot]
            self.worked[pilot] = None

    def left(self, pilot: str, *, is_excused: bool) -> None:
        """Note that a pilot has said good-bye.

        `is_excused`: the pilot was drained, or its host is suspended. Then it is no news that it
        left without a job: other pilots of its element may get some.
        """
        if pilot in self.without:
            del self.without[pilot]
            if not is_excused:
                self.empty[pilot] = None

    def news(self) -> tuple[list[str], list[str]]:
        """Return the pilots that got their first job, and those that left without one.

        Each pilot is returned once.
        """
        found = list(self.worked), list(self.empty)
        self.worked.clear()
        self.empty.clear()
        return found
