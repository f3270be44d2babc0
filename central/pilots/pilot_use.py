"""Which pilots had a job, and which went without one: what becomes of those that were sent. Pure.

Only of pilots whose first ask came while this central lives: of the others nobody knows.
"""

from dataclasses import dataclass, field
from typing import Final

PILOTS_MAX: Final = 200_000


@dataclass
class PilotNews:
    """News of pilots, until somebody takes them."""

    without: dict[str, None] = field(default_factory=dict[str, None])  # that had no job yet
    worked: dict[str, None] = field(default_factory=dict[str, None])  # had their first one since
    empty: dict[str, None] = field(default_factory=dict[str, None])  # left without one since

    def came(self, pilot: str) -> None:
        """A pilot asks for the first time."""
        _put(self.without, pilot)

    def works(self, pilot: str) -> None:
        """A pilot was given a job."""
        if pilot in self.without:
            del self.without[pilot]
            _put(self.worked, pilot)

    def left(self, pilot: str, *, is_excused: bool) -> None:
        """A pilot has said good-bye.

        Nothing follows of one that was told to go, or whose host gets no jobs for now: its
        element may have others that would get some.
        """
        if pilot in self.without:
            del self.without[pilot]
            if not is_excused:
                _put(self.empty, pilot)

    def news(self) -> tuple[list[str], list[str]]:
        """Return the pilots that had their first job, and those that left without one, once."""
        found = list(self.worked), list(self.empty)
        self.worked.clear()
        self.empty.clear()
        return found


def _put(pilots: dict[str, None], pilot: str) -> None:
    pilots[pilot] = None
    if len(pilots) > PILOTS_MAX:
        del pilots[next(iter(pilots))]
