"""Requests for work: matched, written, answered (PROTOCOL C1, C2)."""

import asyncio
from collections.abc import Sequence

from pilotage.matcher.types import Match
from pilotage.proto.messages import Ask
from pilotage.proto.pilot_states import PilotState

from ..jobs import record as job_records
from ..jobs.leases import EPOCH_BITS, Lease, Phase
from ..jobs.records import Change, JobBody, NewAttempt
from ..jobs.sizes import FILLED_BYTES_MAX
from ..observe.events import Log
from ..outbound import Outbound
from ..pilots.presence import Presence, taken_by
from ..ports import Clock
from ..saying import AskAnswer, Assignment
from ..settings import LeaseSettings
from ..store.engine import Store
from ..store.errors import StoreFull
from . import record as turn_records
from .assignments import Assignments
from .attempt_ids import AttemptIds
from .black_holes import ASK_AGAIN_S, HostWatch
from .follow import Aftermath
from .memory import Memory
from .orders import BODIES_BYTES_MAX, room
from .reports import Judged, Reports
from .requeues import Requeues

SURELY_FIT = BODIES_BYTES_MAX // FILLED_BYTES_MAX  # jobs, however large


class _Underway:
    """An ask that is being answered. Hardly ever does anybody wait for its end."""

    __slots__ = ("_end",)

    def __init__(self) -> None:
        self._end: asyncio.Event | None = None

    def end(self) -> None:
        if self._end is not None:
            self._end.set()

    async def ended(self) -> None:
        if self._end is None:
            self._end = asyncio.Event()
        await self._end.wait()


class Asks:
    """Answers one numbered ask after another of each pilot."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        aftermath: Aftermath,
        reports: Reports,
        requeues: Requeues,
        attempt_ids: AttemptIds,
        assignments: Assignments,
        outbound: Outbound,
        clock: Clock,
        log: Log,
        settings: LeaseSettings,
    ) -> None:
        self._store, self._queue = store, memory.queue
        self._leases = memory.leases
        self._hosts, self._places = HostWatch(memory, clock, log), memory.places
        self._aftermath, self._reports, self._requeues = aftermath, reports, requeues
        self._attempt_ids, self._assignments = attempt_ids, assignments
        self._outbound = outbound
        self._clock, self._log, self._settings = clock, log, settings
        self._underway: dict[str, _Underway] = {}

    async def answer(
        self, presence: Presence, ask: Ask | None, judged: Sequence[Judged]
    ) -> AskAnswer | None:
        """Write what the reports change together with the matches of the ask, and answer it.

        A repeated ask gets the same attempts again, after their commit; an older one is stale.
        """
        if ask is None:
            await self._write(judged, presence)
            return None
        if ask.n <= presence.ask:
            await self._write(judged, presence)
            return await self._again(presence, ask)
        done = self._underway[presence.pilot] = _Underway()
        presence.ask, presence.offer = ask.n, ask.offer
        try:
            return await self._match(presence, ask, judged)
        finally:
            done.end()
            if self._underway.get(presence.pilot) is done:
                del self._underway[presence.pilot]

    async def _again(self, presence: Presence, ask: Ask) -> AskAnswer:
        if ask.n < presence.ask:
            return AskAnswer(n=ask.n, stale=True)
        underway = self._underway.get(presence.pilot)
        if underway is not None:
            await underway.ended()
        return await self._repeat(presence, ask)

    async def _match(self, presence: Presence, ask: Ask, judged: Sequence[Judged]) -> AskAnswer:
        matcher = self._queue.matcher
        matcher.withdraw(presence.pilot)
        # What the pilot holds, and what it says in the same breath has ended: neither is in doubt.
        known = {one.job << EPOCH_BITS | one.epoch for one in ask.holding}
        known |= {one.report.job << EPOCH_BITS | one.report.epoch for one in judged if one.ends}
        presence.known = frozenset(known)  # before anything is awaited: it goes with the offer
        if self._leases.holds(presence.pilot):
            await self._requeues.give_back(presence, known, asked_before=ask.n)
        if presence.drain or presence.state is not PilotState.RUNNING:
            await self._write(judged, presence)
            return AskAnswer(n=ask.n, retry_in_s=self._settings.poll_parked_s)
        room = self._hosts.room(presence)
        # A newer ask may have come meanwhile: this one is answered by its own word.
        taken = taken_by(self._leases.unknown(presence.pilot, known), known)
        presence.restrict(self._places)
        offer, made = presence.live_offer(ask.offer, taken), presence.restricted
        matches, is_kept_off = list[Match](), room is not None
        if offer.cores_free > 0 and room != 0:
            matches, is_kept_off = self._hosts.match(presence, offer, ask.jobs_max, room)
        assignments = await self._hand_out(presence, ask.n, matches, judged)
        if assignments:
            return AskAnswer(n=ask.n, assignments=tuple(assignments))
        if is_kept_off:  # parked, it would be woken for what it may not have
            return AskAnswer(n=ask.n, retry_in_s=ASK_AGAIN_S)
        if presence.restricted != made:  # a ban came, or went, while we wrote
            offer = presence.live_offer(ask.offer, taken)
        matcher.park(offer, ask.n, self._clock.monotonic())
        self._queue.wake()  # for jobs that came while we wrote
        return self._parked(ask.n)

    def _parked(self, n: int) -> AskAnswer:
        up = self._outbound.up
        wait = self._settings.poll_parked_s if up else self._settings.poll_bus_down_s
        return AskAnswer(n=n, parked=True, retry_in_s=wait)

    async def _hand_out(
        self, presence: Presence, n: int, matches: list[Match], judged: Sequence[Judged]
    ) -> list[Assignment]:
        """Write matches and return those that hold. Each is pending until its row is known."""
        matcher = self._queue.matcher
        leases: list[Lease] = []
        try:
            first = self._attempt_ids.at_hand(len(matches))
            if first is None:
                first = await self._attempt_ids.take(len(matches))
            now = self._clock.monotonic()
            leases = [
                self._lease(presence, n, match, first + i, now) for i, match in enumerate(matches)
            ]
            for lease in leases:
                self._aftermath.pending[lease.attempt_id] = lease
            written, bodies = await self._turn(judged, presence, leases)
        except StoreFull:
            for match in matches:
                matcher.put_back(match.job)
            raise
        except Exception:  # whether they are written is not known: ask (PROTOCOL C1)
            for match in matches:
                matcher.drop(match.job)
            await self._aftermath.read_again([match.job for match in matches])
            raise
        finally:
            for lease in leases:
                self._aftermath.pending.pop(lease.attempt_id, None)
        # What holds is a lease before anything else is awaited: a kill that is acknowledged
        # meanwhile must find it. And it is one whatever becomes of the reports: a row that is
        # live and no lease would never end.
        try:
            self._follow(judged, written)
        finally:
            now = self._clock.monotonic()
            held = [
                (self._begin(presence, lease, body, now), body)
                for lease, body in zip(leases, bodies, strict=False)
                if body is not None
            ]
            self._aftermath.matched([lease for lease, _ in held])
            for lease in leases[len(bodies) :]:  # one answer has no room for them
                matcher.put_back(lease.job)
        lost = [lease.job for lease, body in zip(leases, bodies, strict=False) if body is None]
        for job in lost:
            matcher.drop(job)
        if lost:
            await self._aftermath.read_again(lost)
        return await self._assignments.made(held)

    async def _write(self, judged: Sequence[Judged], presence: Presence) -> None:
        """Write reports."""
        written, _ = await self._turn(judged, presence, [])
        self._follow(judged, written)

    def _follow(self, judged: Sequence[Judged], written: Sequence[bool]) -> None:
        if written:
            self._reports.follow(judged, written)

    async def _turn(
        self, judged: Sequence[Judged], presence: Presence, leases: Sequence[Lease]
    ) -> tuple[list[bool], list[JobBody | None]]:
        """Write reports and matches in one transaction.

        Return which changes of the reports hold, and a body for each match that does. There are
        less of these than leases where one answer has no room for all.
        """
        changes: list[Change] = [one.change for one in judged if one.change is not None]
        at = self._clock.wall()
        rows = [self._row(presence, lease, at) for lease in leases]
        written, bodies = list[bool](), list[JobBody | None]()
        if changes or rows:
            settling = self._reports.settle(judged)
            try:
                if len(rows) <= SURELY_FIT:
                    written, bodies = await self._store.write(turn_records.turn, changes, rows)
                else:
                    written, bodies = await self._store.write(
                        turn_records.turn, changes, rows, room
                    )
            finally:
                self._reports.settled(settling)
        return written, bodies

    def _lease(
        self, presence: Presence, n: int, match: Match, attempt_id: int, now: float
    ) -> Lease:
        return Lease(
            attempt_id=attempt_id,
            job=match.job,
            epoch=self._queue.epoch(match.job) + 1,
            class_id=match.class_id,
            priority=match.priority,
            kind=self._queue.classes[match.class_id].kind,
            pilot=presence.pilot,
            session=presence.session,
            ask=n,
            site=presence.site,
            element=presence.element,
            cores=match.cores,
            memory_mb=match.memory_mb,
            scratch_mb=match.scratch_mb,
            gpus=match.gpus,
            charged_cores=match.charged_cores,
            wall_s=match.wall_s,
            matched=now,
            lease_s=self._settings.lease_s,
        )

    def _row(self, presence: Presence, lease: Lease, at: float) -> NewAttempt:
        return NewAttempt(
            attempt_id=lease.attempt_id,
            job_id=lease.job,
            epoch=lease.epoch,
            pilot=lease.pilot,
            session=lease.session,
            ask=lease.ask,
            site=lease.site,
            element=lease.element,
            host=presence.host,
            cores=lease.cores,
            memory_mb=lease.memory_mb,
            scratch_mb=lease.scratch_mb,
            gpus=lease.gpus,
            charged_cores=lease.charged_cores,
            lease_s=lease.lease_s,
            wall_s=lease.wall_s,
            at=at,
        )

    def _begin(self, presence: Presence, lease: Lease, body: JobBody, now: float) -> Lease:
        """The match is written: begin its lease."""
        lease.deadline, lease.renewed = now + lease.lease_s, now
        lease.phase = Phase.LIVE
        lease.retries, lease.failures, lease.losses = body.retries, body.failures, body.losses
        self._leases.put(lease)
        lease.priority = self._queue.matched(lease.job)
        self._log("matched", job=lease.job, epoch=lease.epoch, pilot=presence.pilot)
        return lease

    async def _repeat(self, presence: Presence, ask: Ask) -> AskAnswer:
        """Answer an ask that was answered before: what of it is still current."""
        leases = [
            lease
            for lease in self._leases.of_pilot(presence.pilot)
            if lease.ask == ask.n
            and lease.session == presence.session
            and lease.phase is Phase.LIVE
            and lease.settling is None
        ]
        if leases:
            bodies = await self._store.read(job_records.bodies, [lease.job for lease in leases])
            held = [
                (lease, bodies[lease.job])
                for lease in leases
                if lease.job in bodies and lease.phase is Phase.LIVE
            ]
            return AskAnswer(n=ask.n, assignments=tuple(await self._assignments.made(held)))
        if self._queue.matcher.parked_ask(presence.pilot) == ask.n:
            return self._parked(ask.n)
        return AskAnswer(n=ask.n, retry_in_s=1.0)
