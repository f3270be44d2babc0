"""Rebuilds memory from the store at the start: classes, queue, leases, pilots and counters."""

import math
from collections.abc import Mapping, Sequence

import msgspec

from pilotage.proto.job_states import JobState
from pilotage.proto.messages import Node
from pilotage.proto.pilot_states import SPEAKING

from ..accounts import record_quotas as quota_records
from ..identity.scope import CountKey
from ..jobs import (
    record as job_records,
    record_dependencies as dependency_records,
    record_search as job_search,
    record_submissions as submission_records,
)
from ..jobs.definition.rendering import exit_codes_of
from ..jobs.leases import Lease, LeasePhase
from ..jobs.record_search import ZONE_BITS, ZONES_WAITING
from ..jobs.record_types import JobStanding, LiveAttempt
from ..pilots import record as pilot_records
from ..pilots.presence import Presence, presence_of
from ..pilots.record_types import PilotRow
from ..ports import Clock
from ..settings import LeaseSettings
from ..sites import record as mark_records
from ..store.engine import Store
from ..store.errors import StoreFull
from . import record_arrivals as arrival_records
from .follow_up import counted
from .memory import Memory
from .submissions.remote_arrivals import learn_classes
from .used_shares import UsedShares

PAGE = 1_000


class MemoryRecovery:
    """Reads the store into the memory of a starting dispatch."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        clock: Clock,
        settings: LeaseSettings,
        used: UsedShares,
    ) -> None:
        self._store, self._queue, self._leases = store, memory.queue, memory.leases
        self._pilots, self._owners, self._counters = memory.pilots, memory.owners, memory.counters
        self._classes, self._clock, self._settings = memory.classes, clock, settings
        self._places, self._memory = memory.places, memory
        self.moment = ""  # up to here all submissions are read; `ArrivalPoller` reads newer ones
        self._used = used
        self._waiting = job_search.waiting(store)
        self._is_whole = False
        self._doubtful: list[int] = []  # jobs that changed while they were read

    async def run(self) -> None:
        """Rebuild everything. Call once, before the central answers requests."""
        await self.first(math.inf)

    async def first(self, jobs_s: float) -> bool:
        """Rebuild all but the waiting jobs, then queue waiting jobs for `jobs_s` seconds.

        Call once; the central may answer pilots afterwards. Return False if jobs are left for
        `rest`.
        """
        await self._owners.learn_all()
        try:
            await self._store.write(quota_records.recount)
        except StoreFull:  # the leader continues with a full store
            self._counters.recount_due = True
        rows = await self._store.read(submission_records.live_classes)
        # Other processes may have stored owners since `learn_all`.
        await self._owners.meet(row.owner_id for row in rows)
        for row in rows:
            self._queue.learn(self._classes.learn(row))
        await self._used.restore()
        for mark in await self._store.read(mark_records.marks):
            self._places.put(mark)
        await self._pilots_again()
        await self._attempts_again()
        await self._count_again()
        self._queue.begin_loading()
        await self._watch(await self._store.read(dependency_records.dependent_zones))
        until = self._clock.monotonic() + jobs_s
        async for slice_ in self._waiting:
            await self._queue_again(slice_)
            if self._clock.monotonic() >= until:
                return False
        await self._all_queued()
        return True

    async def rest(self) -> None:
        """Queue the remaining waiting jobs, while the central answers pilots."""
        if self._is_whole:
            return
        async for slice_ in self._waiting:
            await self._queue_again(slice_)
        await self._all_queued()

    async def _queue_again(self, slice_: list[tuple[int, int, int, int, float | None]]) -> None:
        # Other processes may have stored classes since the live ones were read.
        await learn_classes(self._memory, {class_id for class_id, *_ in slice_})
        if self.moment:  # the same for jobs that wait for others
            zones = sorted({job >> ZONE_BITS for _, _, job, _, _ in slice_})
            await self._watch([(zone << ZONE_BITS, 1 << ZONE_BITS) for zone in zones])
        runs: dict[tuple[int, int], list[int]] = {}
        for class_id, priority, job, epoch, until in slice_:
            if job in self._queue.touched:  # the slice may be older than the job's last change
                self._doubtful.append(job)
                continue
            if epoch:
                self._queue.put(job, class_id, priority, epoch)
            else:
                runs.setdefault((class_id, priority), []).append(job)
            if until is not None:
                self._queue.limit(job, until)
        for (class_id, priority), jobs in runs.items():
            self._queue.add(class_id, priority, jobs)

    async def _watch(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Watch the parents of the jobs in these ranges, before the jobs are queued."""
        for start in range(0, len(ranges), ZONES_WAITING):
            some = ranges[start : start + ZONES_WAITING]
            found = await self._store.read(dependency_records.dependents, some)
            self._queue.dependencies.add(found)

    async def _all_queued(self) -> None:
        for start in range(0, len(self._doubtful), PAGE):
            jobs = self._doubtful[start : start + PAGE]
            with self._queue.reading():
                self._queue_standing(await self._store.write(job_records.standing, jobs))
        self._queue.begin()
        self._queue.wake()
        self._is_whole = True

    def _queue_standing(self, standings: Mapping[int, JobStanding]) -> None:
        for job, standing in standings.items():
            if standing.state is JobState.WAITING and not standing.live:
                self._queue.put(job, standing.class_id, standing.priority, standing.epoch)
            if standing.queue_until is not None:
                self._queue.limit(job, standing.queue_until)

    async def _attempts_again(self) -> None:
        """Restore leases. Each gets its full time, since beats are not stored (PROTOCOL C4)."""
        rows = await self._store.read(job_records.live_attempts)
        for start in range(0, len(rows), PAGE):
            page = rows[start : start + PAGE]
            bodies = await self._store.read(job_records.bodies, [row.job_id for row in page])
            for row in page:
                lease = self._lease(row)
                body = bodies[row.job_id]
                codes = exit_codes_of(body.template, body.body)
                lease.success_codes, lease.retry_codes = codes.success_codes, codes.retry_codes
                self._leases.put(lease)
                if row.live:
                    age_s = max(0.0, self._clock.wall() - row.matched_at)
                    self._queue.running(lease, age_s=age_s)
                if row.queue_until is not None:
                    self._queue.limit(row.job_id, row.queue_until)
                presence = self._pilots.find(row.pilot)
                if presence is not None and presence.session == row.session:
                    presence.ask = max(presence.ask, row.ask)

    def _lease(self, row: LiveAttempt) -> Lease:
        now = self._clock.monotonic()
        return Lease(
            attempt_id=row.attempt_id,
            job=row.job_id,
            epoch=row.epoch,
            class_id=row.class_id,
            priority=row.priority,
            kind=self._queue.classes[row.class_id].kind,
            pilot=row.pilot,
            session=row.session,
            ask=row.ask,
            site=row.site,
            element=row.element,
            grant=row.grant,
            matched=now - max(0.0, self._clock.wall() - row.matched_at),
            retries=row.retries,
            failures=row.failures,
            losses=row.losses,
            started=row.started,
            wanted=row.wanted,
            wanted_reason=row.reason if row.wanted is not None else "",
            wanted_since=now,
            lease_s=row.lease_s or self._settings.lease_s,
            deadline=now + (row.lease_s or self._settings.lease_s),
            renewed=now,
            phase=LeasePhase.LIVE if row.live else LeasePhase.OPEN,
        )

    async def _pilots_again(self) -> None:
        after = ""
        while True:
            rows = await self._store.read(
                pilot_records.pilots, None, states=SPEAKING, after=after, limit=PAGE
            )
            now = self._clock.monotonic()
            for row in rows:
                presence = self._presence(row)
                self._pilots.put(presence)
                self._memory.hosts.saw(presence.site, presence.element, presence.host, now)
            if len(rows) < PAGE:
                return
            after = rows[-1].pilot

    def _presence(self, row: PilotRow) -> Presence:
        node = msgspec.json.decode(row.node, type=Node) if row.node else Node(host=row.host)
        heard, wall = self._clock.monotonic(), self._clock.wall()
        return presence_of(row, node, self._places, heard=heard, wall=wall)

    async def _count_again(self) -> None:
        rows, self.moment = await self._store.read(arrival_records.counted)
        await self._owners.meet([row.owner_id for row in rows])
        for row in rows:
            kind = CountKey(row.community, row.group, self._owners.by_id(row.owner_id), row.type)
            site, state = counted(row.state, row.site)
            self._counters.add(kind, site, state, row.count)
