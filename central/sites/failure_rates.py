"""Counts how often attempts fail because of their site's infrastructure, site by site. Pure.

Counts are halved every half hour. A site whose failure rate is above five times the rate of all
other sites together is reported once. Then its count starts again from zero.
"""

from dataclasses import dataclass
from typing import Final

from pilotage.proto.failures import FailureClass

from ..bounded_cache import BoundedCache

INFRA: Final = frozenset({FailureClass.NODE, FailureClass.STORAGE, FailureClass.DATA})
HALF_LIFE_S: Final = 1_800.0
AGED_EVERY_S: Final = 1.0  # between two decays of a count: thousands of attempts may end within it
WORSE: Final = 5.0  # times the failure rate of all other sites together
USUAL_MIN: Final = 0.02  # least rate of the others: five times a rate of zero has no meaning
ENDS_MIN: Final = 20.0  # ended attempts that the site, and the others together, must have
SITES_MAX: Final = 2_000


@dataclass
class _Rate:
    at: float
    ends: float = 0.0
    bad: float = 0.0

    def age(self, now: float) -> None:
        if now - self.at < AGED_EVERY_S:
            return
        left = 0.5 ** (max(0.0, now - self.at) / HALF_LIFE_S)
        self.ends, self.bad, self.at = self.ends * left, self.bad * left, max(now, self.at)


class SiteRates:
    """The failure rates of all sites."""

    def __init__(self) -> None:
        self._sites = BoundedCache[str, _Rate](SITES_MAX)

    def ended(self, site: str, *, is_infra: bool, now: float) -> str:
        """Count an ended attempt. Return why its site should get no jobs for a while, or ''."""
        rate = self._sites.get(site)
        if rate is None:
            rate = self._sites[site] = _Rate(now)
        rate.age(now)
        rate.ends += 1
        if not is_infra:
            return ""
        rate.bad += 1
        return self._judged(site, rate, now)

    def _judged(self, site: str, rate: _Rate, now: float) -> str:
        if rate.ends < ENDS_MIN:
            return ""
        ends = bad = 0.0
        for name, other in self._sites.items():
            if name != site:
                other.age(now)
                ends, bad = ends + other.ends, bad + other.bad
        if ends < ENDS_MIN:
            return ""
        mine, usual = rate.bad / rate.ends, max(USUAL_MIN, bad / ends)
        if mine <= WORSE * usual:
            return ""
        rate.ends = rate.bad = 0.0
        return f"{mine:.0%} of its attempts fail because of the site, elsewhere {bad / ends:.0%}"
