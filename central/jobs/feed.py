"""The stream of events that submitters and the portal follow. Hints: nothing depends on them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator

from pilotage.proto.api import Event
from pilotage.proto.job_states import JobState

from ..auth.callers import Caller
from ..auth.policy import Action
from ..observe.times import shown
from ..ports import Clock
from ..store.protocol import Store
from .scope import Owners, scope

KEPT = 10_000  # events that a follower who was cut off can catch up with
BEHIND_MAX = 10_000  # events that a slow follower may be behind before it sees a gap


class Feed:
    """Publishes to any number of followers without ever waiting for one."""

    def __init__(self, clock: Clock, store: Store, owners: Owners) -> None:
        self._clock, self._store, self._owners = clock, store, owners
        self._seq = 0
        self._kept: deque[tuple[str, str, str, Event]] = deque(maxlen=KEPT)
        self._followers: set[_Follower] = set()

    def job(
        self,
        *,
        community: str,
        owner: str,
        group: str,
        job: int,
        state: JobState,
        submission: int | None = None,
        site: str = "",
        pilot: str = "",
        reason: str = "",
    ) -> None:
        """Say that a job has moved."""
        self._publish(
            community,
            owner,
            group,
            Event(
                seq=self._next(),
                at=shown(self._clock.wall()),
                kind="job",
                job=job,
                state=state,
                submission=submission,
                site=site,
                pilot=pilot,
                reason=reason,
            ),
        )

    def pilot(self, *, community: str, pilot: str, site: str, reason: str) -> None:
        """Say that something happened to a pilot."""
        event = Event(
            seq=self._next(),
            at=shown(self._clock.wall()),
            kind="pilot",
            site=site,
            pilot=pilot,
            reason=reason,
        )
        self._publish(community, "", "", event)

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def _publish(self, community: str, owner: str, group: str, event: Event) -> None:
        entry = (community, owner, group, event)
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
            if self._kept and self._kept[0][3].seq > after + 1:
                follower.missed = True
            for entry in self._kept:
                if entry[3].seq > after:
                    follower.offer(entry)
        self._followers.add(follower)
        try:
            while True:
                await follower.ready.wait()
                if follower.missed:
                    follower.missed = False
                    yield Event(seq=self._seq, at=shown(self._clock.wall()), kind="gap")
                while follower.queue:
                    yield follower.queue.popleft()
                follower.ready.clear()
        finally:
            self._followers.discard(follower)


def _within(job: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= job < first + count for first, count in ranges)


class _Follower:
    """One subscription, with what its caller may see."""

    def __init__(self, community: str, owner: str | None, groups: frozenset[str] | None) -> None:
        self._community, self._owner, self._groups = community, owner, groups
        self.queue: deque[Event] = deque(maxlen=BEHIND_MAX)
        self.missed = False
        self.ready = asyncio.Event()

    def offer(self, entry: tuple[str, str, str, Event]) -> None:
        community, owner, group, event = entry
        if self._community and community != self._community:
            return
        if event.kind == "job":
            if self._owner is not None and owner != self._owner:
                return
            if self._groups is not None and group not in self._groups:
                return
        self.missed = self.missed or len(self.queue) == BEHIND_MAX
        self.queue.append(event)
        self.ready.set()
