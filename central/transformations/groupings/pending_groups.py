"""Groups waiting inputs: few at once, many on a thread with cached results.

A rule gets all waiting inputs. With a million of them it takes seconds, so it runs on a thread. Its
groups are used chunk by chunk without another run, and the next run waits.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ...ports import Clock
from ..grouping import Group, GroupingRule, GroupingSpec, WaitingInput, grouped

ASIDE_FROM: Final = 5_000  # inputs; grouping fewer takes a few milliseconds
IDLE_SHARE: Final = 10  # after a run of one second, the next may start this many seconds later


@dataclass
class GroupingCache:
    """The groups from the last run over many inputs, and the time of the next run."""

    groups: list[Group] = field(default_factory=list[Group])  # not used yet
    pool: object = None  # the inputs of that run: for others, the groups may be wrong
    not_before: float = 0.0  # monotonic

    def take(self, pool: object) -> list[Group]:
        """Return the remaining groups of this pool, and forget them."""
        groups, self.groups = self.groups, []
        return groups if self.pool is pool else []


class GroupingRequest(NamedTuple):
    """The arguments of a run."""

    rule: GroupingRule
    files: Sequence[WaitingInput]
    plan: GroupingSpec
    held: frozenset[WaitingInput]  # in no group now
    now: float
    closing: bool


class GroupingResult(NamedTuple):
    """The groups, and when the oldest file outside of them came; None: no file, or not asked."""

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
    """Groups waiting inputs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def look(self, asked: GroupingRequest, kept: GroupingCache) -> GroupingResult:
        """Group all files; many of them on a thread, and then set the time of the next run."""
        if len(asked.files) < ASIDE_FROM:
            return look(asked)
        began = self._clock.monotonic()
        found = await asyncio.to_thread(look, asked)
        ended = self._clock.monotonic()
        kept.not_before = ended + IDLE_SHARE * (ended - began)
        return found

    def rest_s(self, kept: GroupingCache) -> float:
        """Return the seconds until the next run; 0: it may start now, or groups are left."""
        return 0.0 if kept.groups else max(0.0, kept.not_before - self._clock.monotonic())
