"""The stream of events that submitters and the portal follow. Events are hints only.

Publishing an event costs the same for one follower as for a thousand. The event is stored once for
each reach that covers it. Followers fetch new events from their reach, encoded once for all.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterable

from pilotage.proto.api.jobs import Event
from pilotage.proto.job_states import JobState

from ..identity.callers import User
from ..identity.open_per_person import PersonLimiter
from ..identity.policy import Permission
from ..identity.scope import CountKey, Owners, scope
from ..observe.times import shown
from ..ports import Clock
from ..store.engine import Store
from . import record_submissions as submission_records
from .followers import Encode, EventEntry, EventReaches, Follower, within

KEPT = 10_000  # events that a follower can fetch later, after a lost connection
STREAMS_MAX = 8  # streams of one user at once: a portal and some waiting programs


class Feed:
    """Publishes events to any number of followers, and never waits for one."""

    def __init__(self, clock: Clock, store: Store, owners: Owners) -> None:
        self._clock, self._store, self._owners = clock, store, owners
        self._seq = 0
        self._kept: deque[EventEntry] = deque(maxlen=KEPT)
        self._reaches = EventReaches()
        why = f"you already follow {STREAMS_MAX} streams of events, the maximum: end one of them"
        self._streams = PersonLimiter(STREAMS_MAX, why)

    def job(
        self,
        kind: CountKey,
        job: int,
        state: JobState,
        *,
        site: str = "",
        pilot: str = "",
        reason: str = "",
    ) -> None:
        """Publish that a job has changed its state."""
        self._seq += 1
        at, community = self._clock.wall(), kind.community
        self._publish(EventEntry(self._seq, at, kind, community, job, state, site, pilot, reason))

    def jobs(
        self,
        kind: CountKey,
        jobs: Iterable[int],
        state: JobState,
        *,
        site: str = "",
        pilot: str = "",
        reason: str = "",
    ) -> None:
        """Publish that jobs of one kind have changed to one state."""
        at, community = self._clock.wall(), kind.community
        for seq, job in enumerate(jobs, self._seq + 1):
            self._seq = seq
            self._publish(EventEntry(seq, at, kind, community, job, state, site, pilot, reason))

    def pilot(self, *, community: str, pilot: str, site: str, reason: str) -> None:
        """Publish an event about a pilot."""
        self._seq += 1
        at = self._clock.wall()
        self._publish(EventEntry(self._seq, at, None, community, None, None, site, pilot, reason))

    def _publish(self, entry: EventEntry) -> None:
        self._kept.append(entry)
        self._reaches.put(entry)

    def subscribe(
        self, caller: User, *, submission: int | None, after: int | None, encode: Encode
    ) -> AsyncIterator[bytes]:
        """Return the events that the caller may see, from now on or after number `after`.

        `encode` turns an event into bytes, and must be the same for all callers, because its result
        is shared. A part can contain many events. A `gap` event means that some were missed. Raises
        Refused (TOO_MANY).
        """
        bounds = scope(caller, Permission.EVENT_READ, self._owners)
        left = self._streams.enter(caller)
        follower = self._reaches.follow((bounds.community, bounds.owner, bounds.groups), left)
        if after is not None:
            self._catch_up(follower, after)
        return self._events(follower, submission, encode)

    def _catch_up(self, follower: Follower, after: int) -> None:
        # A number above ours comes from before a restart of the central.
        if after > self._seq or (self._kept and self._kept[0].seq > after + 1):
            follower.missed = True
        follower.past.extend(
            entry
            for entry in self._kept
            if entry.seq > after and follower.reach.covers(entry.community, entry.kind)
        )

    async def _events(
        self, follower: Follower, submission: int | None, encode: Encode
    ) -> AsyncIterator[bytes]:
        try:
            ranges = None
            if submission is not None:
                record = await self._store.read(submission_records.submission, submission)
                ranges = record.ranges if record is not None else ()
            while True:
                if follower.missed:
                    follower.missed = False
                    gap = Event(seq=self._seq, at=shown(self._clock.wall()), kind="gap")
                    yield encode(gap)
                lines = [
                    entry.encoded(encode)
                    for entry in await follower.next()
                    if ranges is None or entry.job is None or within(entry.job, ranges)
                ]
                if lines:
                    yield b"".join(lines)
        finally:
            follower.leave()
