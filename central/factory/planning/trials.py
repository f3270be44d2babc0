"""Places whose pilots end without a job although jobs wait for them. Pure.

Such a place is in doubt: something there is not as the site's file says. The place is paused, each
time twice as long. Then it gets one pilot at a time until one of them takes a job. While pilots are
idle there and jobs wait, it gets none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

TrialKey = tuple[str, str, str, str]  # site, element, shape, community

PAUSE_FIRST_S: Final = 60.0
PAUSE_MAX_S: Final = 3_600.0


@dataclass
class PlaceTrial:
    """The record of a place in doubt."""

    empty: int = 0  # pilots in a row that ended without a job
    idle: int = 0  # idle pilots that are there now
    pause_s: float = 0.0
    open_at: float = 0.0

    def why(self, now: float) -> str:
        """Return the reason in words."""
        if self.idle:
            return f"{_pilots(self.idle)} idle although they should be able to run waiting jobs"
        left = max(0.0, self.open_at - now)
        when = f"the next one comes in {left:.0f} s" if left else "the next one comes soon"
        return f"{_pilots(self.empty)} ended without a job although jobs wait; {when}"


@dataclass
class Trials:
    """All places in doubt."""

    by_place: dict[TrialKey, PlaceTrial] = field(default_factory=dict[TrialKey, PlaceTrial])

    def note(
        self,
        *,
        worked: Iterable[TrialKey],
        empty: Iterable[TrialKey],
        idle: Iterable[TrialKey],
        wanted: set[TrialKey],
        now: float,
    ) -> None:
        """Note the activity of pilots, with the key of the place of each pilot.

        `wanted`: the places for which jobs wait. An idle pilot elsewhere does not count against its
        place.
        """
        for trial in self.by_place.values():
            trial.idle = 0
        for key in idle:
            if key in wanted:
                self.by_place.setdefault(key, PlaceTrial()).idle += 1
        paused: set[TrialKey] = set()
        for key in empty:
            if key not in wanted:
                continue
            trial = self.by_place.setdefault(key, PlaceTrial())
            trial.empty += 1
            if key not in paused:  # pilots of one round ended together
                paused.add(key)
                trial.pause_s = min(PAUSE_MAX_S, max(PAUSE_FIRST_S, 2 * trial.pause_s))
                trial.open_at = now + trial.pause_s
        for key in worked:
            self.by_place.pop(key, None)
        for key in [key for key, one in self.by_place.items() if not (one.empty or one.idle)]:
            del self.by_place[key]

    def room(self, key: TrialKey, queued: int, now: float) -> int | None:
        """Return how many new pilots a place may get, given its queued ones; None: no limit."""
        trial = self.by_place.get(key)
        if trial is None:
            return None
        return 0 if trial.idle or queued or now < trial.open_at else 1


def _pilots(count: int) -> str:
    return "1 pilot" if count == 1 else f"{count} pilots"
