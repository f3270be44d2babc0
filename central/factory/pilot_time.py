"""The time that pilots have run, to compare it with pledges and shares. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping

from .element_watch import WatchedElement

LONGEST_S = 900.0  # a longer interval between looks counts as this


class PilotTime:
    """Adds up the time between two looks. An element without a new answer counts as before."""

    def __init__(self) -> None:
        self.by_site: Counter[str] = Counter()  # seconds, rounded
        self.by_community: Counter[tuple[str, str]] = Counter()  # site, community
        self._at: float | None = None
        self._pilots: dict[tuple[str, str], Mapping[str, int]] = {}

    def note(self, watched: Iterable[WatchedElement], now: float) -> None:
        """Add the time since the last look, and note the pilots that are there now."""
        if self._at is not None:
            passed_s = min(LONGEST_S, max(0.0, now - self._at))
            for (site, _), pilots in self._pilots.items():
                self.by_site[site] += round(sum(pilots.values()) * passed_s)
                for community, count in pilots.items():
                    self.by_community[site, community] += round(count * passed_s)
        self._at = now
        known = {one.key: one.found.pilots_of for one in watched if one.found is not None}
        kept = {one.key: self._pilots.get(one.key, {}) for one in watched}
        self._pilots = {**kept, **known}
