"""Notes which pilots got a job, and which left without one. Pure.

It covers only pilots whose first ask came after the start of this central.
"""

from dataclasses import dataclass, field
from typing import Final

PILOTS_MAX: Final = 200_000


@dataclass
class PilotNews:
    """News about pilots, until `news` returns them."""

    without: dict[str, None] = field(default_factory=dict[str, None])  # no job yet
    worked: dict[str, None] = field(default_factory=dict[str, None])  # news: got their first job
    empty: dict[str, None] = field(default_factory=dict[str, None])  # news: left without a job

    def came(self, pilot: str) -> None:
        """Note the first ask of a pilot."""
        _put(self.without, pilot)

    def works(self, pilot: str) -> None:
        """Note that a pilot got a job."""
        if pilot in self.without:
            del self.without[pilot]
            _put(self.worked, pilot)

    def left(self, pilot: str, *, is_excused: bool) -> None:
        """Note that a pilot has said good-bye.

        `is_excused`: the pilot was drained, or its host is suspended. Then it is no news that it
        left without a job: other pilots of its element may get some.
        """
        if pilot in self.without:
            del self.without[pilot]
            if not is_excused:
                _put(self.empty, pilot)

    def news(self) -> tuple[list[str], list[str]]:
        """Return the pilots that got their first job, and those that left without one.

        Each pilot is returned once.
        """
        found = list(self.worked), list(self.empty)
        self.worked.clear()
        self.empty.clear()
        return found


def _put(pilots: dict[str, None], pilot: str) -> None:
    pilots[pilot] = None
    if len(pilots) > PILOTS_MAX:
        del pilots[next(iter(pilots))]
