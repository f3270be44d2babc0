"""Who follows which events: one row of news for all followers who may see the same."""

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
BATCH_MAX = 256  # events that a follower is given at once
_KINDS_MAX = 10_000  # of jobs, whose reaches are remembered

Encode = Callable[[Event], bytes]
Bounds = tuple[str, str | None, frozenset[str] | None]  # community, owner, groups; as of a Scope


class EventEntry(msgspec.Struct, gc=False):
    """One event as it is kept: shown only when somebody follows, since most have no reader."""

    seq: int
    at: float
    kind: CountKey | None  # of the job; None: about a pilot
    community: str
    job: int | None
    state: JobState | None
    site: str
    pilot: str
    reason: str
    line: bytes | None = None  # as it goes out, the same for all

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
        """Return the event as bytes, made by whoever asks first."""
        if self.line is None:
            self.line = encode(self.shown())
        return self.line


class EventReach:
    """What may be seen by some followers, and what of it not all of them have fetched yet."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.followers = 0
        self._news: list[EventEntry] = []
        self._base = 0  # entries before the first of `_news`
        self._waiting: set[asyncio.Event] = set()

    @property
    def end(self) -> int:
        """How many entries there were."""
        return self._base + len(self._news)

    def covers(self, community: str, kind: CountKey | None) -> bool:
        """Whether events of this kind are seen; None: of pilots."""
        own, owner, groups = self.bounds
        if own and community != own:
            return False
        if kind is None:
            return True
        return (owner is None or kind.owner == owner) and (groups is None or kind.group in groups)

    def put(self, entry: EventEntry) -> None:
        """Add an entry and wake who waits."""
        if len(self._waiting) == self.followers:
            self._forget(len(self._news))  # all have all of it
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
        """Return where one at `position` goes on: further on where it is too far behind."""
        return max(position, self._base, self.end - BEHIND_MAX)

    def since(self, position: int) -> list[EventEntry]:
        """Return some entries from `position` on."""
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
    """One subscription. It counts from its making until `leave`, or until nobody holds it."""

    def __init__(self, reach: EventReach, left: Callable[[], None]) -> None:
        self.reach, self._position = reach, reach.end
        self._ready = asyncio.Event()
        self.missed = False
        self.past: deque[EventEntry] = deque()  # what it was cut off from, told first
        reach.followers += 1
        self.leave = weakref.finalize(self, left)
        self.leave.atexit = False

    async def next(self) -> Sequence[EventEntry]:
        """Return what is new, once there is something; nothing where `missed` tells of a gap."""
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
    """All reaches that have followers, found by the kind of an event."""

    def __init__(self) -> None:
        self._all: dict[Bounds, EventReach] = {}
        self._of: dict[tuple[str, CountKey | None], tuple[EventReach, ...]] = {}

    def follow(self, bounds: Bounds, left: Callable[[], None]) -> Follower:
        """Return a new follower; `left` is called once when it goes."""
        reach = self._all.get(bounds)
        if reach is None:
            reach = self._all[bounds] = EventReach(bounds)
            self._of.clear()

        def gone() -> None:
            self._leave(reach)
            left()

        return Follower(reach, gone)

    def put(self, entry: EventEntry) -> None:
        """Add an entry wherever it may be seen: nothing is done where nobody may."""
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
    """Whether a job lies in one of the ranges, each a first number and how many."""
    return any(first <= job < first + count for first, count in ranges)
