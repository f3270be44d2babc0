"""What pilots ask and report: the protocol's central half (PROTOCOL C1–C10).

The order within one message is: judge (pure, in memory), write, then let memory follow what was
written. An answer goes out after the commit of what it says.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pilotage.matcher.types import LiveOffer, Match
from pilotage.proto.job_states import JobEvent, JobState
from pilotage.proto.messages import (
    Answer,
    Ask,
    AskAnswer,
    Assignment,
    Attempt,
    Beat,
    BeatAnswer,
    Grant,
    How,
    Report,
    ReportAnswer,
    Stop,
    Turn,
    TurnReply,
    What,
    Why,
)
from pilotage.proto.pilot_states import PilotState
from pilotage.proto.problems import Code

from ..auth.callers import PilotCaller
from ..errors import Refused
from ..observe.events import Log
from ..ports import Blobs, Clock
from ..settings import LeaseSettings
from ..store.errors import StoreFull
from ..store.protocol import Store
from ..store.records import (
    Change,
    Evidence,
    JobBody,
    Move,
    NewAttempt,
    Progress,
    Requeue,
    Start,
    TakeBack,
)
from . import verdicts
from .aftermath import Aftermath
from .attempt_ids import AttemptIds
from .leases import Lease, Phase, overdue
from .memory import Memory
from .outbound import Outbound
from .presence import Presence
from .rendering import body_of, job_of
from .tokens import AttemptTokens

TOKEN_MARGIN_S = 4 * 3_600.0  # an attempt may pause for two hours and still upload its outputs


@dataclass
class _Judged:
    """One report: its answer at once, or the change that must be written first."""

    report: Report
    answer: Answer | None = None
    lease: Lease | None = None
    change: Change | None = None
    close: bool = False  # an open attempt that brings no result: only closed
    missing: tuple[str, ...] = ()


class Dispatch:
    """Answers pilots. One instance owns the matcher, the leases and the presence of all pilots."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        aftermath: Aftermath,
        attempt_ids: AttemptIds,
        tokens: AttemptTokens,
        outbound: Outbound,
        blobs: Blobs,
        clock: Clock,
        log: Log,
        settings: LeaseSettings,
        term: int,
    ) -> None:
        self._store, self._queue = store, memory.queue
        self._leases, self._pilots = memory.leases, memory.pilots
        self._aftermath, self._attempt_ids, self._tokens = aftermath, attempt_ids, tokens
        self._outbound, self._logs, self._blobs = outbound, memory.logs, blobs
        self._clock, self._log, self._settings, self._term = clock, log, settings, term
        self._losses = verdicts.Losses(settings.lost_max)
        self._asking: dict[str, asyncio.Event] = {}

    # -- turn -----------------------------------------------------------------------------------

    async def turn(self, caller: PilotCaller, message: Turn) -> TurnReply:
        """Take reports and at most one ask; each item is judged as if it came alone.

        Raises Refused: OLD_SESSION, OTHER_STORE (the pilot ends), STORE_FULL (it repeats).
        """
        presence = self.presence(caller, message.gen, message.session)
        judged = await self._judge_all(presence, message.reports)
        ask = message.ask
        answer: AskAnswer | None = None
        if ask is not None and ask.n > presence.ask:
            answer = await self._new_ask(presence, ask, judged)
        else:
            await self._write(judged, presence, [])
            if ask is not None:
                answer = await self._old_ask(presence, ask)
        return TurnReply(
            term=self._term,
            reports=tuple(_answer(one) for one in judged if one.answer is not None),
            ask=answer,
            stop=tuple(self._stops(presence)),
            drain=presence.drain,
        )

    def presence(self, caller: PilotCaller, gen: str, session: int) -> Presence:
        """Return the pilot whose living session this is, and note that it was heard."""
        if gen != self._store.generation:
            raise Refused(
                Code.OTHER_STORE, "the store was restored: attempts of before no longer count"
            )
        presence = self._pilots.find(caller.pilot)
        if presence is None:
            raise Refused(Code.OLD_SESSION, f"pilot {caller.pilot} has ended")
        if session != presence.session:
            raise Refused(
                Code.OLD_SESSION, f"session {session} is over: {presence.session} has begun"
            )
        presence.heard = self._clock.monotonic()
        return presence

    def _stops(self, presence: Presence) -> list[Stop]:
        return [
            Stop(lease.job, lease.epoch, lease.wanted)
            for lease in self._leases.of_pilot(presence.pilot)
            if lease.wanted is not None and lease.phase is Phase.LIVE
        ]

    # -- reports --------------------------------------------------------------------------------

    async def _judge_all(self, presence: Presence, reports: Sequence[Report]) -> list[_Judged]:
        hashes = [out.sha256 for report in reports for out in report.outputs]
        absent = set(await self._blobs.missing(hashes)) if hashes else set[str]()
        return [await self._judge(presence, report, absent) for report in reports]

    async def _judge(self, presence: Presence, report: Report, absent: set[str]) -> _Judged:
        lease = self._leases.find(report.job, report.epoch)
        if lease is not None and lease.pilot != presence.pilot:
            lease = None
        if lease is None:
            return await self._stranger(presence, report, "not the job's last open attempt")
        if lease.settling:
            return _Judged(report)  # being written by another request: the pilot repeats it
        at = self._clock.wall() - max(0.0, report.ago_s)
        if report.what is What.ENDED:
            missing = tuple(sorted({out.sha256 for out in report.outputs} & absent))
            if missing:
                return _Judged(report, Answer.MISSING, missing=missing)
            return self._judge_ended(lease, report, at)
        if lease.phase is not Phase.LIVE:
            return _Judged(report, Answer.STALE)
        if report.what is What.STARTED:
            if lease.started:
                return _Judged(report, Answer.ALREADY)
            return _Judged(
                report,
                lease=lease,
                change=Start(
                    attempt_id=lease.attempt_id,
                    job_id=lease.job,
                    at=at,
                    isolation=report.isolation,
                ),
            )
        return _Judged(
            report,
            lease=lease,
            change=Progress(
                attempt_id=lease.attempt_id, job_id=lease.job, at=at, status=report.status
            ),
        )

    def _judge_ended(self, lease: Lease, report: Report, at: float) -> _Judged:
        how = report.how or How.OTHER
        no_result = how in verdicts.WITHOUT_RESULT or lease.wanted is Why.KILL
        change: Change
        if not no_result:
            change = verdicts.result(lease, report, at=at)
        elif lease.phase is Phase.LIVE:
            change = verdicts.without_result(lease, report, at=at, limits=self._losses)
        else:
            return _Judged(report, lease=lease, close=True)
        lease.settling = True
        return _Judged(report, lease=lease, change=change)

    async def _stranger(self, presence: Presence, report: Report, why: str) -> _Judged:
        """Keep what does not count as evidence, and give an answer that ends its repetition."""
        if report.what is not What.ENDED:
            return _Judged(report, Answer.STALE)
        known = await self._store.attempts(report.job)
        for attempt in known:
            if attempt.epoch == report.epoch and attempt.pilot == presence.pilot:
                if attempt.how is not None and not attempt.open:
                    return _Judged(report, Answer.ALREADY)
        await self._store.keep_evidence(
            [
                Evidence(
                    job_id=report.job,
                    epoch=report.epoch,
                    at=self._clock.wall(),
                    pilot=presence.pilot,
                    why=why,
                    report=msgspec.json.encode(report),
                )
            ]
        )
        self._log("evidence", job=report.job, epoch=report.epoch, pilot=presence.pilot, why=why)
        return _Judged(report, Answer.STALE)

    async def _write(
        self, judged: list[_Judged], presence: Presence, leases: list[Lease]
    ) -> list[JobBody | None]:
        """Write what the reports change and the matches of the ask, in one transaction.

        A report whose row had changed stays without an answer: the pilot repeats it, and it is
        judged anew. Returns a body for each match that holds.
        """
        pairs = [(one, one.change) for one in judged if one.change is not None]
        changes, rows = (
            [change for _, change in pairs],
            [self._row(presence, one) for one in leases],
        )
        try:
            if not changes and not rows:
                written, bodies = list[bool](), list[JobBody | None]()
            else:
                written, bodies = await self._store.turn(changes, rows)
        finally:
            for one, _ in pairs:
                if one.lease is not None:
                    one.lease.settling = False
        for (one, change), done in zip(pairs, written, strict=True):
            if done and one.lease is not None:
                one.answer = Answer.OK
                self._aftermath.of_change(one.lease, change)
        await self._close_open(judged)
        if pairs:
            self._queue.wake()
        return bodies

    async def _close_open(self, judged: list[_Judged]) -> None:
        """Close open attempts whose jobs wait again, and that end without a result."""
        closing = [one for one in judged if one.close]
        if not closing:
            return
        closed = await self._store.move([self._close(one) for one in closing])
        for one, done in zip(closing, closed, strict=True):
            if done and one.lease is not None:
                one.answer = Answer.OK
                self._leases.forget(one.lease)

    def _close(self, one: _Judged) -> Move:
        assert one.lease is not None
        return Move(
            job_id=one.lease.job,
            old=JobState.WAITING,
            new=JobState.WAITING,
            at=self._clock.wall(),
            event="closed",
            who="pilot",
            reason=(one.report.how or How.OTHER).value,
        )

    # -- asks -----------------------------------------------------------------------------------

    async def _old_ask(self, presence: Presence, ask: Ask) -> AskAnswer:
        """Answer an ask that was taken up before (PROTOCOL C2): a repeat waits for the first."""
        if ask.n < presence.ask:
            return AskAnswer(n=ask.n, stale=True)
        underway = self._asking.get(presence.pilot)
        if underway is not None:
            await underway.wait()
        return await self._repeat(presence, ask)

    async def _new_ask(self, presence: Presence, ask: Ask, judged: list[_Judged]) -> AskAnswer:
        """Match a request for work, and write it together with what the pilot reports."""
        done = self._asking[presence.pilot] = asyncio.Event()
        presence.ask, presence.offer = ask.n, ask.offer
        try:
            return await self._match(presence, ask, judged)
        finally:
            done.set()
            if self._asking.get(presence.pilot) is done:
                del self._asking[presence.pilot]

    async def _match(self, presence: Presence, ask: Ask, judged: list[_Judged]) -> AskAnswer:
        matcher = self._queue.matcher
        matcher.withdraw(presence.pilot)
        held = {(one.job, one.epoch) for one in ask.holding}
        await self._give_back(self._not_held(presence, held, asked_before=ask.n))
        if presence.drain or presence.state is not PilotState.RUNNING:
            await self._write(judged, presence, [])
            return AskAnswer(n=ask.n, retry_in_s=self._settings.poll_parked_s)
        offer = self._offer(presence, ask, held)
        matches: list[Match] = []
        if offer.cores_free > 0:
            matches = matcher.match(offer, ask.jobs_max, self._clock.monotonic())
        assignments = await self._hand_out(presence, ask.n, matches, judged)
        if assignments:
            return AskAnswer(n=ask.n, assignments=tuple(assignments))
        matcher.park(offer, ask.n, self._clock.monotonic())
        return self._parked(ask.n)

    def _not_held(
        self, presence: Presence, held: set[tuple[int, int]], *, asked_before: int
    ) -> list[Lease]:
        """Return the attempts of earlier asks that the pilot does not hold and never will."""
        return [
            lease
            for lease in self._leases.of_pilot(presence.pilot)
            if lease.phase is Phase.LIVE
            and not lease.settling
            and lease.session == presence.session
            and lease.ask < asked_before
            and (lease.job, lease.epoch) not in held
        ]

    def _offer(self, presence: Presence, ask: Ask, held: set[tuple[int, int]]) -> LiveOffer:
        """Return what is free: the pilot's word, less what it was given and does not list."""
        unknown = [
            lease
            for lease in self._leases.of_pilot(presence.pilot)
            if lease.phase is Phase.LIVE
            and not lease.settling
            and (lease.job, lease.epoch) not in held
        ]
        return presence.live_offer(
            ask.offer,
            cores_taken=sum(lease.cores for lease in unknown),
            memory_taken_mb=sum(lease.memory_mb for lease in unknown),
        )

    def _parked(self, n: int) -> AskAnswer:
        up = self._outbound.up
        wait = self._settings.poll_parked_s if up else self._settings.poll_bus_down_s
        return AskAnswer(n=n, parked=True, retry_in_s=wait)

    async def _hand_out(
        self, presence: Presence, n: int, matches: list[Match], judged: list[_Judged]
    ) -> list[Assignment]:
        """Write matches and return those that hold. Each is pending until its row is known."""
        matcher = self._queue.matcher
        leases: list[Lease] = []
        try:
            first = await self._attempt_ids.take(len(matches)) if matches else 0
            leases = [self._lease(presence, n, match, first + i) for i, match in enumerate(matches)]
            for lease in leases:
                self._aftermath.pending[lease.attempt_id] = lease
            bodies = await self._write(judged, presence, leases)
        except StoreFull:
            for match in matches:
                matcher.put_back(match.job)
            raise
        finally:
            for lease in leases:
                self._aftermath.pending.pop(lease.attempt_id, None)
        lost = [lease.job for lease, body in zip(leases, bodies, strict=True) if body is None]
        for job in lost:
            matcher.drop(job)
        if lost:
            await self._aftermath.read_again(lost)
        return [
            self._assign(presence, lease, body)
            for lease, body in zip(leases, bodies, strict=True)
            if body is not None
        ]

    def _lease(self, presence: Presence, n: int, match: Match, attempt_id: int) -> Lease:
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
            wall_s=match.wall_s,
        )

    def _row(self, presence: Presence, lease: Lease) -> NewAttempt:
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
            wall_s=lease.wall_s,
            at=self._clock.wall(),
        )

    def _assign(self, presence: Presence, lease: Lease, body: JobBody) -> Assignment:
        """The match is written: begin its lease and say what to run."""
        now = self._clock.monotonic()
        lease.deadline, lease.renewed = now + self._settings.lease_s, now
        lease.phase = Phase.LIVE
        lease.retries, lease.failures, lease.losses = body.retries, body.failures, body.losses
        self._leases.put(lease)
        self._queue.matched(lease.job)
        self._aftermath.matched(lease)
        self._log("matched", job=lease.job, epoch=lease.epoch, pilot=presence.pilot)
        return self._assignment(lease, body)

    def _assignment(self, lease: Lease, body: JobBody) -> Assignment:
        job = job_of(body.template, body.body)
        lease.success_codes = job.success_codes
        return Assignment(
            job=lease.job,
            epoch=lease.epoch,
            attempt_id=lease.attempt_id,
            lease_s=self._settings.lease_s,
            token=self._tokens.attempt_token(
                lease.job,
                lease.epoch,
                lease.attempt_id,
                lease.kind.community,
                lease.wall_s + TOKEN_MARGIN_S,
            ),
            grant=Grant(cores=lease.cores, memory_mb=lease.memory_mb, wall_s=lease.wall_s),
            body=body_of(job, lease.kind.owner),
            follow=self._logs.followed(lease.job),
        )

    async def _repeat(self, presence: Presence, ask: Ask) -> AskAnswer:
        """Answer an ask that was answered before: what of it is still current."""
        leases = [
            lease
            for lease in self._leases.of_pilot(presence.pilot)
            if lease.ask == ask.n
            and lease.session == presence.session
            and lease.phase is Phase.LIVE
            and not lease.settling
        ]
        if leases:
            bodies = await self._store.bodies([lease.job for lease in leases])
            return AskAnswer(
                n=ask.n,
                assignments=tuple(
                    self._assignment(lease, bodies[lease.job])
                    for lease in leases
                    if lease.job in bodies and lease.phase is Phase.LIVE
                ),
            )
        if self._queue.matcher.parked_ask(presence.pilot) == ask.n:
            return self._parked(ask.n)
        return AskAnswer(n=ask.n, retry_in_s=1.0)

    # -- beats ----------------------------------------------------------------------------------

    async def beat(self, caller: PilotCaller, message: Beat) -> BeatAnswer:
        """Renew what the beat lists, and say what the pilot must know (PROTOCOL C5, C6, C10).

        Processing a beat again is harmless: it renews what is current, and what it does not hold
        of a closed ask it never will.
        """
        presence = self.presence(caller, message.gen, message.session)
        presence.beat = max(presence.beat, message.n)
        held = {(one.job, one.epoch) for one in message.holding}
        stale: list[Attempt] = []
        back: list[Lease] = []
        now = self._clock.monotonic()
        for one in message.holding:
            lease = self._leases.find(one.job, one.epoch)
            if lease is None or lease.pilot != presence.pilot:
                stale.append(one)
            elif lease.phase is Phase.OPEN:
                back.append(lease)
            else:
                lease.deadline = max(lease.deadline, now + self._settings.lease_s)
                lease.renewed = now
        stale += await self._take_back(back)
        await self._give_back(self._not_held(presence, held, asked_before=message.closed + 1))
        if message.goodbye:
            await self._aftermath.goodbye(presence)
        return self._beat_answer(presence, message, stale)

    def _beat_answer(self, presence: Presence, message: Beat, stale: list[Attempt]) -> BeatAnswer:
        matcher = self._queue.matcher
        again = message.parked > 0 and (
            matcher.parked_ask(presence.pilot) != message.parked
            or matcher.has_work(presence.pilot, self._clock.monotonic())
        )
        return BeatAnswer(
            n=message.n,
            term=self._term,
            stale=tuple(stale),
            stop=tuple(self._stops(presence)),
            ask_again=again and not presence.drain,
            drain=presence.drain,
            follow=tuple(one for one in message.holding if self._logs.followed(one.job)),
        )

    async def _take_back(self, leases: list[Lease]) -> list[Attempt]:
        """Give jobs that wait again back to the attempt that was cut off; return what came late."""
        if not leases:
            return []
        at = self._clock.wall()
        done = await self._store.change(
            [TakeBack(attempt_id=one.attempt_id, job_id=one.job, at=at) for one in leases]
        )
        late: list[Attempt] = []
        now = self._clock.monotonic()
        for lease, taken in zip(leases, done, strict=True):
            if taken:
                lease.phase, lease.started = Phase.LIVE, True
                lease.deadline, lease.renewed = now + self._settings.lease_s, now
                self._aftermath.taken_back(lease)
            else:
                late.append(Attempt(lease.job, lease.epoch))
        return late

    async def _give_back(self, leases: list[Lease]) -> None:
        """Requeue attempts that their pilot does not hold and never will."""
        await self.requeue(
            [
                (
                    lease,
                    verdicts.lease_over(
                        lease,
                        at=self._clock.wall(),
                        silent_s=0.0,
                        limits=self._losses,
                        event=JobEvent.LOST,
                    ),
                )
                for lease in leases
            ]
        )

    async def requeue(self, pairs: list[tuple[Lease, Requeue]]) -> None:
        """Write the end of leases without a result, and let memory follow."""
        if not pairs:
            return
        for lease, _ in pairs:
            lease.settling = True
        try:
            done = await self._store.change([change for _, change in pairs])
        finally:
            for lease, _ in pairs:
                lease.settling = False
        for (lease, change), written in zip(pairs, done, strict=True):
            if written:
                self._aftermath.of_change(lease, change)
        self._queue.wake()

    async def leases_over(self) -> None:
        """Requeue what is overdue (PROTOCOL C7)."""
        now, at = self._clock.monotonic(), self._clock.wall()
        await self.requeue(
            [
                (
                    lease,
                    verdicts.lease_over(
                        lease, at=at, silent_s=now - lease.renewed, limits=self._losses
                    ),
                )
                for lease in overdue(self._leases.live(), now)
            ]
        )


def _answer(one: _Judged) -> ReportAnswer:
    assert one.answer is not None
    report = one.report
    return ReportAnswer(
        job=report.job, epoch=report.epoch, n=report.n, answer=one.answer, missing=one.missing
    )
