"""Groups of what waits: of few inputs at once; of many aside, kept until they have gone.

A rule looks at all inputs that wait. Of a million that takes seconds: it is done on a thread, what
it has found goes chunk by chunk without another look, and the next look waits its time.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ...ports import Clock
from ..grouping import Group, GroupingRule, GroupingSpec, WaitingInput, grouped

ASIDE_FROM: Final = 5_000  # inputs; to group less takes some milliseconds
IDLE_SHARE: Final = 10  # a look that takes a second is made again after so many


@dataclass
class GroupingCache:
    """What the last look at many inputs has found, and when the next one may be made."""

    groups: list[Group] = field(default_factory=list[Group])  # that have not gone yet
    pool: object = None  # in which they were found: in another one they may be no groups
    not_before: float = 0.0  # monotonic

    def take(self, pool: object) -> list[Group]:
        """Return the groups that are left of the last look at this pool, and forget them."""
        groups, self.groups = self.groups, []
        return groups if self.pool is pool else []


class GroupingRequest(NamedTuple):
    """What is grouped, and how."""

    rule: GroupingRule
    files: Sequence[WaitingInput]
    plan: GroupingSpec
    held: frozenset[WaitingInput]  # that are not to be in any group now
    now: float
    closing: bool


class GroupingResult(NamedTuple):
    """Groups, and since when the oldest of the files waits that are in none; None: there is none,
    or nobody asks."""

    groups: list[Group]
    oldest: float | None


def look(asked: GroupingRequest) -> GroupingResult:
    """Group all files. Pure."""
    files = asked.files
    if asked.held:
        files = [one for one in files if one not in asked.held]
    groups = grouped(asked.rule, files, asked.plan, now=asked.now, closing=asked.closing)
    if asked.plan.grouping.partial != "after":
        return GroupingResult(groups, None)
    left = set(files).difference(*groups)
    return GroupingResult(groups, min((one.since for one in left), default=None))


class Regrouping:
    """Looks at inputs that wait."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def look(self, asked: GroupingRequest, kept: GroupingCache) -> GroupingResult:
        """Group all files; of many on a thread, and the time until the next look is set."""
        if len(asked.files) < ASIDE_FROM:
            return look(asked)
        began = self._clock.monotonic()
        found = await asyncio.to_thread(look, asked)
        ended = self._clock.monotonic()
        kept.not_before = ended + IDLE_SHARE * (ended - began)
        return found

    def rest_s(self, kept: GroupingCache) -> float:
        """Return for how long no look is made; 0: one may be made now, or groups are left."""
        return 0.0 if kept.groups else max(0.0, kept.not_before - self._clock.monotonic())
