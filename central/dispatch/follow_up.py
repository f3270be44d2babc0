"""Updates memory after a change is written: queue, leases, counters, feed and log.

The store is the record. `MemoryRecovery` can rebuild everything here from it.
"""

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from typing import Final

import msgspec

from pilotage.matcher.types import LiveOffer
from pilotage.proto.job_states import FINAL, JobEvent, JobState
from pilotage.proto.messages import Usage, Why
from pilotage.proto.pilot_states import (
    FINAL as FINAL_PILOT,
    LIVING,
    SPEAKING,
    TRANSITIONS,
    PilotEvent,
    next_state,
)

from ..identity.pilot_tokens import PilotTokens
from ..identity.scope import CountKey
from ..jobs import record as job_records, record_dependencies as dependency_records
from ..jobs.classes import KnownClass
from ..jobs.failure_class import class_of_change
from ..jobs.leases import Lease, LeasePhase
from ..jobs.record_types import (
    AdriftEnd,
    ApplicationStatus,
    AttemptChange,
    AttemptResult,
    AttemptStart,
    AttemptWant,
    JobBody,
    JobMove,
    JobStanding,
    Requeue,
    TakeBack,
)
from ..jobs.verdicts import state_of, used_core_s
from ..observe.events import Log
from ..pilots import record as pilot_records
from ..pilots.presence import Presence
from ..ports import Bus, Clock
from ..store.engine import Store
from .black_holes import BlackHoleService
from .memory import Memory
from .record_arrivals import Run
from .submissions.intake import ArrivedJobs

# Jobs in these states are counted at their site. Jobs in other states belong to no site.
AT_A_SITE = frozenset(
    {JobState.MATCHED, JobState.RUNNING, JobState.COMPLETING, JobState.DONE, JobState.FAILED}
)


FED_MAX: Final = 1_000  # new jobs of one submission, or of one poll, that enter the feed
LEASE_OVER = "lease_over"  # counted as the end of attempts whose pilots did not report one


def counted(state: JobState, site: str) -> tuple[str, JobState]:
    """Return the site and state under which a job is counted."""
    return (site, state) if state in AT_A_SITE else ("", state)


class FollowUp:
    """Updates memory after each write to the store."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        bus: Bus,
        tokens: PilotTokens,
        clock: Clock,
        log: Log,
    ) -> None:
        self._store, self._queue, self._leases = store, memory.queue, memory.leases
        self._graph = memory.queue.dependencies
        self._pilots, self._classes = memory.pilots, memory.classes
        self._counters, self._feed, self._logs = memory.counters, memory.feed, memory.logs
        self._tally, self._pilot_news = memory.tally, memory.pilot_news
        self._hosts = BlackHoleService(memory, clock, log)
        self._bus, self._tokens, self._clock, self._log = bus, tokens, clock, log
        self.pending: dict[int, Lease] = {}  # matches that are being written, by attempt id

    # -- attempts -------------------------------------------------------------------------------

    def begun(self, held: Sequence[tuple[Lease, JobBody]]) -> None:
        """Begin the leases of a pilot's matches, which are now written."""
        now = self._clock.monotonic()
        for lease, body in held:
            lease.deadline, lease.renewed = now + lease.lease_s, now
            lease.phase = LeasePhase.LIVE
            lease.retries, lease.failures, lease.losses = body.retries, body.failures, body.losses
            self._leases.put(lease)
            lease.priority = self._queue.matched(lease.job)
            self._log("matched", job=lease.job, epoch=lease.epoch, pilot=lease.pilot)
        self._matched([lease for lease, _ in held])

    def put_back(self, jobs: Sequence[int]) -> None:
        """Queue the jobs again whose matches were not written."""
        for job in jobs:
            self._queue.put_back(job)

    async def lost(self, jobs: Sequence[int]) -> None:
        """Queue the jobs that still wait in the store, after their matches failed or were lost."""
        for job in jobs:
            self._queue.drop(job)
        if jobs:
            await self.read_again(jobs)

    def _matched(self, leases: Sequence[Lease]) -> None:
        for kind, run in groupby(leases, key=attrgetter("kind")):
            some, new = list(run), JobState.MATCHED
            site, pilot = some[0].site, some[0].pilot
            old = counted(JobState.WAITING, site)
            self._counters.move(kind, old, counted(new, site), count=len(some))
            self._feed.jobs(kind, [lease.job for lease in some], new, site=site, pilot=pilot)

    def taken_back(self, lease: Lease) -> None:
        """Return a requeued job to its attempt, after its disconnected pilot has come back."""
        self._queue.take_out(lease.job)
        self._queue.running(lease)
        self.moved(lease, JobState.WAITING, JobState.RUNNING)
        self._log("taken_back", job=lease.job, epoch=lease.epoch, pilot=lease.pilot)

    def of_change(self, lease: Lease, change: AttemptChange) -> None:
        """Update memory after one written change of an attempt."""
        match change:
            case AttemptStart():
                old = state_of(lease)
                lease.started, lease.started_at = True, change.at
                self.moved(lease, old, JobState.RUNNING)
            case Requeue():
                self._requeued(lease, change)
            case AttemptResult():
                self._ended(lease, change)
            case AdriftEnd():
                self._leases.forget(lease)
                if change.usage is not None:
                    self._count(lease, JobState.WAITING, change.usage)
            case ApplicationStatus() | TakeBack():
                pass

    def wanted(self, want: AttemptWant) -> Lease | None:
        """Note a wish (such as a kill) on a live attempt. Return its lease, if it is current."""
        lease = self.pending.get(want.attempt_id) or self._leases.of_job(want.job_id)
        if lease is None or lease.attempt_id != want.attempt_id:
            return None
        if lease.wanted is not Why.KILL:
            lease.wanted, lease.wanted_reason = want.wanted, want.reason
            lease.wanted_since = self._clock.monotonic()
            if lease.phase is not LeasePhase.PENDING:  # a pending lease is noted when it begins
                self._leases.note_wanted(lease)
        return lease

    # -- jobs -----------------------------------------------------------------------------------

    def submitted(self, arrived: ArrivedJobs) -> None:
        """Queue new jobs, which are now stored."""
        fed = 0
        self._graph.add(arrived.dependents)  # before the jobs are queued
        for info, priority, first, count in arrived.runs:
            # During a long submission the class may have been forgotten as idle.
            self._classes.keep(info)
            self._queue.learn(info)
            self._queue.add(info.spec.class_id, priority, range(first, first + count))
            fed += self._came(info, range(first, first + count), FED_MAX - fed)
        for job, until in arrived.limits:
            self._queue.limit(job, until)
        self._queue.wake()

    def arrived(self, run: Run, info: KnownClass, *, fed_max: int) -> int:
        """Queue jobs that another process stored. Return how many of them entered the feed.

        Jobs that were read at the start are here already. Call `wake` when all jobs are queued.
        """
        self._classes.keep(info)  # it may have been forgotten as idle since it was read
        self._queue.learn(info)
        jobs = range(run.first, run.first + run.count)
        # Count all as Waiting, their first state. Later changes of state are counted separately.
        fed = self._came(info, jobs, fed_max)
        if not run.waits:
            return fed
        new = [job for job in jobs if not self._is_here(job)]
        if run.epoch:
            for job in new:
                self._queue.put(job, run.class_id, run.priority, run.epoch)
        elif new:
            self._queue.add(run.class_id, run.priority, jobs if len(new) == len(jobs) else new)
        if run.queue_until is not None:
            for job in new:
                self._queue.limit(job, run.queue_until)
        return fed

    def job_moved(self, job: JobStanding, move: JobMove) -> None:
        """Follow the move of a job without a live attempt, by a person or after its queue time."""
        kind = self._queue.classes[job.class_id].kind
        if move.new_class or move.priority is not None:
            job = self._needs_set(job, move)
        if move.new is move.old:
            return
        self.closed(job.job_id)
        if move.new_round or move.new in FINAL:
            self._queue.lift(job.job_id)
        self._graph.moved(job.job_id, move.new)
        if move.new is JobState.WAITING:
            self._queue.put(job.job_id, job.class_id, job.priority, job.epoch)
        elif move.old is JobState.WAITING:
            self._queue.take_out(job.job_id)
        self._counters.move(kind, counted(move.old, job.site), counted(move.new, job.site))
        self._feed.job(kind, job.job_id, move.new, reason=move.reason)
        self._graph.heard(job.job_id, move.new)

    async def adopt(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Watch the parents of jobs in these ranges of ids, before the jobs may be queued."""
        if not ranges:
            return
        found = await self._store.read(dependency_records.dependents, ranges)
        self._graph.add(one for one in found if not self._is_here(one.job_id))

    def released(self, job: JobStanding) -> None:
        """Queue a job whose parents have ended. Call `wake` when all are queued."""
        self._queue.put(job.job_id, job.class_id, job.priority, job.epoch)

    def _needs_set(self, job: JobStanding, move: JobMove) -> JobStanding:
        """Set the new class and priority of a job. Return the job with them."""
        class_id = move.new_class or job.class_id
        priority = job.priority if move.priority is None else move.priority
        if move.new_class:
            self._queue.set_class(job.job_id, class_id, priority)
            lease = self._leases.of_job(job.job_id)  # of an attempt that may still come back
            if lease is not None:
                lease.class_id = class_id
        if move.priority is not None:
            self.priority_set(job.job_id, priority)
        return msgspec.structs.replace(job, class_id=class_id, priority=priority)

    def job_removed(self, kind: CountKey, site: str, state: JobState) -> None:
        """Stop counting an ended job that was deleted."""
        self._counters.add(kind, *counted(state, site), -1)

    def priority_set(self, job: int, priority: int) -> None:
        """Set the new priority of a job, for now and for when it waits again."""
        self._queue.set_priority(job, priority)
        lease = self._leases.of_job(job)
        if lease is not None:
            lease.priority = priority

    def _came(self, info: KnownClass, jobs: range, fed_max: int) -> int:
        """Count new jobs, and add up to `fed_max` of them to the feed. Return how many."""
        self._counters.add(info.kind, "", JobState.WAITING, len(jobs))
        fed = jobs[:fed_max]
        for job in fed:
            self._feed.job(info.kind, job, JobState.WAITING)
        return len(fed)

    def _is_here(self, job: int) -> bool:
        return job in self._queue.matcher or self._leases.of_job(job) is not None

    def closed(self, job: int) -> None:
        """Forget the open attempt of a job, if it has one: its reports no longer count."""
        lease = self._leases.of_job(job)
        if lease is not None and lease.phase is LeasePhase.OPEN:
            self._leases.forget(lease)

    # -- ends of attempts -----------------------------------------------------------------------

    def _requeued(self, lease: Lease, change: Requeue) -> None:
        old = state_of(lease)
        if lease.phase is LeasePhase.LIVE:
            self._queue.ended(lease, used_core_s(lease, change.usage, self._clock.wall()))
            self._hosts.ended(lease, change.how, change.usage, why=change.reason)
        self._tally.used.ends[change.how.value if change.how else LEASE_OVER] += 1
        if change.usage is not None:
            self._count(lease, change.new, change.usage)
        lease.losses += 1 if change.lost else 0
        if change.close:
            self._leases.forget(lease)
        else:
            lease.phase = LeasePhase.OPEN
        if change.new is JobState.WAITING:
            self._queue.put(lease.job, lease.class_id, lease.priority, lease.epoch)
        if change.new in FINAL:
            self._queue.lift(lease.job)
        self.moved(lease, old, change.new, reason=change.reason)
        self._logs.ended(lease.job, lease.epoch)
        if change.wanted is not None:  # no failure: a person wanted this end
            self._log(
                "carried_out",
                job=lease.job,
                epoch=lease.epoch,
                wanted=change.wanted.value,
                state=change.new.value,
            )
            return
        self._failed(lease, change)
        self._log(
            "requeued",
            job=lease.job,
            epoch=lease.epoch,
            why=change.reason,
            state=change.new.value,
        )

    def _ended(self, lease: Lease, change: AttemptResult) -> None:
        old = state_of(lease)
        if lease.phase is LeasePhase.LIVE:
            self._queue.ended(lease, used_core_s(lease, change.usage, change.at))
        if change.failed:
            self._hosts.ended(lease, change.how, change.usage, why=change.reason)
        else:
            self._hosts.did_well(lease)
        self._leases.forget(lease)
        if change.new is JobState.WAITING:
            self._queue.put(lease.job, lease.class_id, lease.priority, lease.epoch)
        elif old is JobState.WAITING:
            self._queue.take_out(lease.job)
        if change.new in FINAL:
            self._queue.lift(lease.job)
        self._tally.used.ends[change.how.value] += 1
        self._count(lease, change.new, change.usage)
        if change.failed:
            self._failed(lease, change)
        self.moved(lease, old, change.new, reason=change.reason)
        self._logs.ended(lease.job, lease.epoch)
        self._log(
            "attempt_ended",
            job=lease.job,
            epoch=lease.epoch,
            pilot=lease.pilot,
            how=change.how,
            state=change.new,
        )

    def _count(self, lease: Lease, new: JobState, usage: Usage) -> None:
        """Add the usage of an attempt to the counts."""
        presence, known = self._pilots.find(lease.pilot), self._queue.classes[lease.class_id]
        self._tally.ended(
            lease.kind,
            known.owner_id,
            lease.site,
            new,
            usage=usage,
            cores=lease.grant.cores,
            hs23_per_core=presence.node.hs23_per_core if presence is not None else 0.0,
        )

    def _failed(self, lease: Lease, change: AttemptResult | Requeue) -> None:
        """Count a failure by its class."""
        found = class_of_change(lease, change)
        self._hosts.classified(lease, found)
        if found is None:
            return
        given_up = change.event == JobEvent.LOST_TOO_OFTEN.value
        self._tally.failed.add(
            lease.kind,
            self._queue.classes[lease.class_id].owner_id,
            lease.site,
            found,
            job=lease.job,
            is_last=given_up or change.new is JobState.FAILED,
            said=change.reason,
        )

    def moved(self, lease: Lease, old: JobState, new: JobState, *, reason: str = "") -> None:
        """Count the move of an attempt's job, and add it to the feed."""
        self._counters.move(lease.kind, counted(old, lease.site), counted(new, lease.site))
        self._feed.job(
            lease.kind, lease.job, new, site=lease.site, pilot=lease.pilot, reason=reason
        )
        self._graph.heard(lease.job, new)

    # -- jobs whose match lost a race -----------------------------------------------------------

    async def read_again(self, jobs: Sequence[int]) -> None:
        """Queue the jobs that still wait in the store after a lost race (PROTOCOL C1)."""
        with self._queue.reading():
            for job, standing in (await self._store.write(job_records.standing, jobs)).items():
                if (
                    standing.state is JobState.WAITING
                    and not standing.live
                    and not standing.deleted
                ):
                    self._queue.put(job, standing.class_id, standing.priority, standing.epoch)

    # -- pilots ---------------------------------------------------------------------------------

    async def goodbye(self, presence: Presence) -> None:
        """Handle a pilot's good-bye. It may be repeated before the first one is written."""
        if presence.state in SPEAKING:
            is_excused = presence.drain or self._hosts.holds(presence)
            self._pilot_news.left(presence.pilot, is_excused=is_excused)
            text = f"said good-bye, {presence.told}" if presence.told else "said good-bye"
            await self.pilot_moved(presence, PilotEvent.GOODBYE, text)
        self._pilots.forget(presence.pilot)

    async def pilot_moved(self, presence: Presence, event: PilotEvent, reason: str) -> None:
        """Move a pilot along its state table. A pilot that has ended loses its login.

        If another event moves the pilot during the write, this event is applied to the new
        state: a pilot that drains and says good-bye at the same moment is Done.
        """
        while True:
            pilot, old, new = presence.pilot, presence.state, next_state(presence.state, event)
            moved = await self._store.write(
                pilot_records.move_pilot, pilot, old, new, self._clock.wall(), reason
            )
            # The next session of the pilot may have begun by now: move that presence.
            presence = self._pilots.find(pilot) or presence
            if moved:
                break
            if presence.state is old or (presence.state, event) not in TRANSITIONS:
                return
        self._pilots.moved(presence, new)
        if new not in LIVING:
            self._queue.matcher.withdraw(presence.pilot)
            self._log(
                "pilot_ended",
                pilot=presence.pilot,
                site=presence.site,
                state=new.value,
                why=reason,
            )
        if new in FINAL_PILOT:
            self._tokens.forget(presence.pilot)
            await self._bus.remove_login(presence.community, presence.pilot)
        self.tell_pilot(presence, f"{new.value}: {reason}")

    def parked_ask(self, pilot: str) -> int:
        """Return the number of the ask with which a pilot is parked; 0: it is not."""
        return self._queue.matcher.parked_ask(pilot)

    def withdraw(self, pilot: str) -> None:
        """Withdraw the parked offer of a pilot."""
        self._queue.matcher.withdraw(pilot)

    def park_again(self, offer: LiveOffer, ask: int) -> None:
        """Replace the parked offer of a pilot."""
        self._queue.matcher.withdraw(offer.pilot)
        self._queue.matcher.park(offer, ask, self._clock.monotonic())

    def wake(self) -> None:
        """Wake parked pilots that waiting jobs fit."""
        self._queue.wake()

    def tell_pilot(self, presence: Presence, reason: str) -> None:
        """Add an event of a pilot to the feed."""
        self._feed.pilot(
            community=presence.community,
            pilot=presence.pilot,
            site=presence.site,
            reason=reason,
        )
