"""The followers of events. Followers that may see the same events share one list of them."""

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from pilotage.proto.api.jobs import Event
from pilotage.proto.job_states import JobState

from ..identity.scope import CountKey
from ..observe.times import shown

BEHIND_MAX = 10_000  # events that a slow follower may be behind before it sees a gap
BATCH_MAX = 256  # events that a follower gets at once
_KINDS_MAX = 10_000  # kinds of jobs whose reaches are cached

Encode = Callable[[Event], bytes]
Bounds = tuple[str, str | None, frozenset[str] | None]  # community, owner, groups, as in a Scope


class EventEntry(msgspec.Struct, gc=False):
    """One stored event. It is encoded only for a follower, because most events have no reader."""

    seq: int
    at: float
    kind: CountKey | None  # of the job; None for an event about a pilot
    community: str
    job: int | None
    state: JobState | None
    site: str
    pilot: str
    reason: str
    line: bytes | None = None  # encoded, the same for all followers

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

    def encoded(self, encode: Encode) -> bytes:
        """Return the encoded event. The first call encodes it."""
        if self.line is None:
            self.line = encode(self.shown())
        return self.line


class EventReach:
    """The events that a set of followers may see, as far as not all have fetched them."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.followers = 0
        self._news: list[EventEntry] = []
        self._base = 0  # entries before the first of `_news`
        self._waiting: set[asyncio.Event] = set()

    @property
    def end(self) -> int:
        """The number of entries since the beginning."""
        return self._base + len(self._news)

    def covers(self, community: str, kind: CountKey | None) -> bool:
        """Return whether the reach covers events of this kind. None means events of pilots."""
        own, owner, groups = self.bounds
        if own and community != own:
            return False
        if kind is None:
            return True
        return (owner is None or kind.owner == owner) and (groups is None or kind.group in groups)

    def put(self, entry: EventEntry) -> None:
        """Add an entry and wake the waiting followers."""
        if len(self._waiting) == self.followers:
            self._forget(len(self._news))  # all followers have fetched everything
        elif len(self._news) >= 2 * BEHIND_MAX:
            self._forget(BEHIND_MAX)
        self._news.append(entry)
        if self._waiting:
            for ready in self._waiting:
                ready.set()
            self._waiting.clear()

    def _forget(self, count: int) -> None:
        del self._news[:count]
        self._base += count

    def first(self, position: int) -> int:
        """Return the position where a follower continues: `position`, or later if it is too far
        behind.
        """
        return max(position, self._base, self.end - BEHIND_MAX)

    def since(self, position: int) -> list[EventEntry]:
        """Return at most BATCH_MAX entries from `position` on."""
        return self._news[position - self._base : position - self._base + BATCH_MAX]

    async def more(self, ready: asyncio.Event) -> None:
        """Wait for the next entry."""
        ready.clear()
        self._waiting.add(ready)
        try:
            await ready.wait()
        finally:
            self._waiting.discard(ready)


class Follower:
    """One subscription. It counts until `leave` is called or the object is collected."""

    def __init__(self, reach: EventReach, left: Callable[[], None]) -> None:
        self.reach, self._position = reach, reach.end
        self._ready = asyncio.Event()
        self.missed = False
        self.past: deque[EventEntry] = deque()  # events before the subscription, delivered first
        reach.followers += 1
        self.leave = weakref.finalize(self, left)
        self.leave.atexit = False

    async def next(self) -> Sequence[EventEntry]:
        """Wait for new events and return them. After a gap, set `missed` and return nothing."""
        if self.past:
            return [self.past.popleft() for _ in range(min(BATCH_MAX, len(self.past)))]
        while True:
            first = self.reach.first(self._position)
            if first > self._position:
                self._position, self.missed = first, True
                return ()
            found = self.reach.since(first)
            if found:
                self._position += len(found)
                return found
            await self.reach.more(self._ready)


class EventReaches:
    """All reaches with followers, found by the kind of an event."""

    def __init__(self) -> None:
        self._all: dict[Bounds, EventReach] = {}
        self._of: dict[tuple[str, CountKey | None], tuple[EventReach, ...]] = {}

    def follow(self, bounds: Bounds, left: Callable[[], None]) -> Follower:
        """Return a new follower. `left` is called once, when the follower leaves."""
        reach = self._all.get(bounds)
        if reach is None:
            reach = self._all[bounds] = EventReach(bounds)
            self._of.clear()

        def gone() -> None:
            self._leave(reach)
            left()

        return Follower(reach, gone)

    def put(self, entry: EventEntry) -> None:
        """Add an entry to all reaches that cover it."""
        if not self._all:
            return
        key = (entry.community, entry.kind)
        seen = self._of.get(key)
        if seen is None:
            if len(self._of) >= _KINDS_MAX:
                self._of.clear()
            seen = self._of[key] = tuple(
                one for one in list(self._all.values()) if one.covers(*key)
            )
        for reach in seen:
            reach.put(entry)

    def _leave(self, reach: EventReach) -> None:
        reach.followers -= 1
        if not reach.followers:
            del self._all[reach.bounds]
            self._of.clear()


def within(job: int, ranges: Sequence[tuple[int, int]]) -> bool:
    """Return whether a job is in one of the ranges (first id, count)."""
    return any(first <= job < first + count for first, count in ranges)
