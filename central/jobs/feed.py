"""The stream of events that submitters and the portal follow. Hints: nothing depends on them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import NamedTuple

from pilotage.proto.api import Event
from pilotage.proto.job_states import JobState

from ..auth.callers import Caller
from ..auth.policy import Action
from ..observe.times import shown
from ..ports import Clock
from ..store.protocol import Store
from .counters import Kind
from .scope import Owners, scope

KEPT = 10_000  # events that a follower who was cut off can catch up with
BEHIND_MAX = 10_000  # events that a slow follower may be behind before it sees a gap


class _Entry(NamedTuple):
    """One event as it is kept: shown only to those who follow, since most events have no reader."""

    seq: int
    at: float
    kind: Kind | None  # of the job; None: about a pilot
    community: str
    job: int | None
    state: JobState | None
    site: str
    pilot: str
    reason: str

    def shown(self) -> Event:
        return Event(
            seq=self.seq,
            at=shown(self.at),
            kind="pilot" if self.kind is None else "job",
            job=self.job,
            state=self.state,
            site=self.site,
            pilot=self.pilot,
            reason=self.reason,
        )


class Feed:
    """Publishes to any number of followers without ever waiting for one."""

    def __init__(self, clock: Clock, store: Store, owners: Owners) -> None:
        self._clock, self._store, self._owners = clock, store, owners
        self._seq = 0
        self._kept: deque[_Entry] = deque(maxlen=KEPT)
        self._followers: set[_Follower] = set()

    def job(
        self,
        kind: Kind,
        job: int,
        state: JobState,
        *,
        site: str = "",
        pilot: str = "",
        reason: str = "",
    ) -> None:
        """Say that a job has moved."""
        at = self._clock.wall()
        self._publish(
            _Entry(self._next(), at, kind, kind.community, job, state, site, pilot, reason)
        )

    def pilot(self, *, community: str, pilot: str, site: str, reason: str) -> None:
        """Say that something happened to a pilot."""
        at = self._clock.wall()
        self._publish(_Entry(self._next(), at, None, community, None, None, site, pilot, reason))

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _publish(self, entry: _Entry) -> None:
        self._kept.append(entry)
        for follower in self._followers:
            follower.offer(entry)

    async def subscribe(
        self, caller: Caller, *, submission: int | None, after: int | None
    ) -> AsyncIterator[Event]:
        """Yield what the caller may see, of one submission or of all."""
        bounds = scope(caller, Action.EVENT_READ, self._owners)
        record = await self._store.submission(submission) if submission is not None else None
        ranges = record.ranges if record is not None else ()
        async for event in self.follow(
            community=bounds.community, owner=bounds.owner, groups=bounds.groups, after=after
        ):
            if submission is None or event.job is None or _within(event.job, ranges):
                yield event

    async def follow(
        self,
        *,
        community: str,
        owner: str | None,
        groups: frozenset[str] | None,
        after: int | None,
    ) -> AsyncIterator[Event]:
        """Yield events as they come, from `after` on; a `gap` event where some were missed."""
        follower = _Follower(community, owner, groups)
        if after is not None:
            if (
                after > self._seq or self._kept and self._kept[0].seq > after + 1
            ):  # of a central that was restarted since
                follower.miss()
            for entry in self._kept:
                if entry.seq > after:
                    follower.offer(entry)
        self._followers.add(follower)
        try:
            while True:
                await follower.ready.wait()
                if follower.missed:
                    follower.missed = False
                    yield Event(seq=self._seq, at=shown(self._clock.wall()), kind="gap")
                while follower.queue:
                    yield follower.queue.popleft().shown()
                follower.ready.clear()
        finally:
            self._followers.discard(follower)


def _within(job: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= job < first + count for first, count in ranges)


class _Follower:
    """One subscription, with what its caller may see."""

    def __init__(self, community: str, owner: str | None, groups: frozenset[str] | None) -> None:
        self._community, self._owner, self._groups = community, owner, groups
        self.queue: deque[_Entry] = deque(maxlen=BEHIND_MAX)
        self.missed = False
        self.ready = asyncio.Event()

    def miss(self) -> None:
        """Some events are gone for this follower."""
        self.missed = True
        self.ready.set()

    def offer(self, entry: _Entry) -> None:
        if self._community and entry.community != self._community:
            return
        if entry.kind is not None:
            if self._owner is not None and entry.kind.owner != self._owner:
                return
            if self._groups is not None and entry.kind.group not in self._groups:
                return
        self.missed = self.missed or len(self.queue) == BEHIND_MAX
        self.queue.append(entry)
        self.ready.set()
