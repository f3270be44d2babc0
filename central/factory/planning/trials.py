"""Places whose pilots come back empty though jobs wait for them. Pure.

Such a place is in doubt: something there is not as its site's file says. It has a pause, which
doubles with each time, and then one pilot at a time, until one of them takes a job. As long as
pilots are idle there while jobs wait it gets none at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

Key = tuple[str, str, str, str]  # site, element, shape, community

PAUSE_FIRST_S: Final = 60.0
PAUSE_MAX_S: Final = 3_600.0


@dataclass
class PlaceTrial:
    """What is held against a place."""

    empty: int = 0  # pilots that came back so, one after another
    idle: int = 0  # that are there now
    pause_s: float = 0.0
    open_at: float = 0.0

    def why(self, now: float) -> str:
        """Say it to a person."""
        if self.idle:
            return f"{_pilots(self.idle)} idle though jobs wait that they should be able to run"
        left = max(0.0, self.open_at - now)
        when = f"in {left:.0f} s the next" if left else "the next"
        return f"{_pilots(self.empty)} came back without a job though jobs wait; {when}, one alone"


@dataclass
class Trials:
    """All places in doubt."""

    by_place: dict[Key, PlaceTrial] = field(default_factory=dict[Key, PlaceTrial])

    def note(
        self,
        *,
        worked: Iterable[Key],
        empty: Iterable[Key],
        idle: Iterable[Key],
        wanted: set[Key],
        now: float,
    ) -> None:
        """Take note of what pilots of places did, a key for each pilot.

        `wanted`: the places for which jobs wait. Of others it says nothing that a pilot is idle.
        """
        for trial in self.by_place.values():
            trial.idle = 0
        for key in idle:
            if key in wanted:
                self.by_place.setdefault(key, PlaceTrial()).idle += 1
        paused: set[Key] = set()
        for key in empty:
            if key not in wanted:
                continue
            trial = self.by_place.setdefault(key, PlaceTrial())
            trial.empty += 1
            if key not in paused:  # those of one round went together
                paused.add(key)
                trial.pause_s = min(PAUSE_MAX_S, max(PAUSE_FIRST_S, 2 * trial.pause_s))
                trial.open_at = now + trial.pause_s
        for key in worked:
            self.by_place.pop(key, None)
        for key in [key for key, one in self.by_place.items() if not (one.empty or one.idle)]:
            del self.by_place[key]

    def room(self, key: Key, queued: int, now: float) -> int | None:
        """Return how many pilots a place may get now, with some on their way; None: all."""
        trial = self.by_place.get(key)
        if trial is None:
            return None
        return 0 if trial.idle or queued or now < trial.open_at else 1


def _pilots(count: int) -> str:
    return "1 pilot" if count == 1 else f"{count} pilots"
