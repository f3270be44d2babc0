"""The pilot's mind: it decides on asks, heartbeats, reports and actions, without input or output.

Every method takes the reading of CLOCK_BOOTTIME of its event, and returns commands to carry out in
order. `due` returns when to call `tick` if nothing happens before. One request at a time is on its
way to the central; its reply comes back through `replied`. The rules are P1–P8 of PROTOCOL. Pure.
"""

import dataclasses
import math
from typing import Optional, Union

from pilotage.proto.messages import (
    Ask,
    AskAnswer,
    Assignment,
    Beat,
    BeatAnswer,
    Down,
    How,
    Offer,
    Output,
    Report,
    Turn,
    TurnReply,
    Wake,
)
from pilotage.proto.problems import Code
from pilotage.proto.storages import BadCopy, Leftover, Published, Removed

from ..ports import Ended
from .asks import AskState
from .beats import SessionBeats
from .commands import (
    Command,
    Exit,
    KillAll,
    LeaderIs,
    PublishBeat,
    SendBeat,
    SendTurn,
    UseFirstAddress,
    WriteLog,
)
from .holdings import FENCE, HeldAttempts
from .pace import (
    ASK_OPEN,
    BACK_OFF_MAX_S,
    BACK_OFF_MIN_S,
    BEAT_SPACING_MAX_S,
    BOUNDS_STEP_S,
    BURST_S,
    FIRST_BEAT_S,
    GATHER_S,
    GOODBYES_MAX,
    IMPATIENCE_MAX_S,
    TOGETHER_S,
    TURN_TIMEOUT_MAX_S,
    WALL_LATE_S,
    WALL_MIN_S,
    WALL_UNLIMITED_S,
    FailedRequest,
    PilotDeadlines,
    PilotSession,
    Uniform,
    back_off_s,
    impatience_s,
    reask_s,
    spread_s,
    timeout_s,
)
from .payloads import Payloads
from .reports import A_TURN_MAX, ReportOutbox
from .slots import Slots

EXIT_DONE, EXIT_OLD_SESSION, EXIT_OTHER_STORE = 0, 10, 11


Reply = Union[TurnReply, BeatAnswer, FailedRequest]


class Brain:
    """All state of a running pilot."""

    def __init__(
        self,
        me: PilotSession,
        capacity: Offer,
        bounds: PilotDeadlines,
        uniform: Uniform,
        *,
        isolation: str = "",
        now: float,
    ) -> None:
        self._me, self._capacity, self._bounds, self._uniform = me, capacity, bounds, uniform
        self._slots = Slots(
            capacity.cores,
            capacity.memory_mb,
            capacity.scratch_free_mb,
            capacity.gpus,
            capacity.amounts,
        )
        self._holdings, self._reports = HeldAttempts(), ReportOutbox()
        self._payloads = Payloads(self._slots, self._holdings, self._reports, isolation)
        self._asks, self._beats = AskState(), SessionBeats(me.gen, me.session, now + FIRST_BEAT_S)
        self._term = 0
        self._bus_up = False
        self._flying: Optional[Union[Turn, Beat]] = None
        self._failures = 0
        self._next_try = -math.inf
        self._turn_at = -math.inf  # when the last turn was sent
        self._gone_first, self._gone_last = math.inf, -math.inf  # of the payloads that ended since
        self._one_by_one = False  # the central could not read one of several items
        self._draining = False
        self._too_late = False  # too late to ask for work
        self._stopped_all = False
        self._goodbyes = 0
        self._idle_since = min(now, bounds.idle_since)
        self._over = False
        self._now = now  # time of the last event
        self._own: list[Command] = []

    @property
    def is_idle(self) -> bool:
        """Whether it holds nothing and waits for a wake-up."""
        return bool(self._asks.parked) and not self._slots.used and not self._draining

    # -- events ---------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Command]:
        """Handle the passing of time."""
        return self._commands(now)

    def restored(self, report: Report, at: float) -> None:
        """Restore, before the first tick, an unanswered last report of an earlier process."""
        self._payloads.restore(report, at)

    def restored_dead(self, assignment: Assignment, now: float) -> list[Command]:
        """Restore an attempt of an earlier process that is dead on this host and boot."""
        self._payloads.restore_assignment(assignment, now)
        return self._commands(now)

    def bus_changed(self, up: bool, now: float) -> list[Command]:
        """Handle a change of the connection to the bus."""
        came, self._bus_up = up and not self._bus_up, up
        # A wake-up may have been lost; the answer to a heartbeat replaces it.
        if came and self._asks.parked:
            self._beats.soon(now, min(BEAT_SPACING_MAX_S, self._period_s / 10))
        if not up and self._asks.parked:
            self._asks.sooner(now + reask_s(self._bus_up, 0.0, self._uniform))
        return self._commands(now)

    def scratch_changed(self, free_mb: int, now: float) -> list[Command]:
        """Record the free space on the node's disk."""
        self._slots.scratch_measured(free_mb)
        return self._commands(now)

    def bounds_changed(self, bounds: PilotDeadlines, now: float) -> list[Command]:
        """Handle a changed end of the pilot: offer the new time."""
        earlier_s = self._bounds.stop_at - bounds.stop_at
        self._bounds = bounds
        if earlier_s >= BOUNDS_STEP_S:
            self._asks.give_up()  # it offers too much: assignments for it are refused
        if abs(earlier_s) >= BOUNDS_STEP_S:
            self._asks.sooner(now)
        return self._commands(now)

    def down(self, message: Down, now: float) -> list[Command]:
        """Handle a message from the bus."""
        if message.beat is not None:
            self._beat_answered(message.beat, now)
        if message.wake is not None and message.wake.term >= self._term:
            self._woken(message.wake)
        if message.stop is not None:
            self._payloads.stop(message.stop, now, self._lease_s)
        if message.follow is not None:
            self._payloads.follow(message.follow)
        self._ordered_to_end(message.drain, message.hurry, now)
        return self._commands(now)

    def replied(self, reply: Reply, now: float) -> list[Command]:
        """Handle the reply to the request on its way, or its failure."""
        flying, self._flying = self._flying, None
        if isinstance(reply, FailedRequest):
            self._refused(flying, reply, now)
        elif isinstance(reply, BeatAnswer):
            self._beat_answered(reply, now)
            if isinstance(flying, Beat) and flying.goodbye:
                self._exit(EXIT_DONE, "drained")
        elif isinstance(flying, Turn):
            self._turn_answered(flying, reply, now)
        return self._commands(now)

    def staged(
        self, attempt_id: int, now: float, isolation: str = "", image: str = ""
    ) -> list[Command]:
        """Start a payload whose inputs are in place. `isolation`: the rung of its image."""
        self._payloads.staged(attempt_id, isolation, image, self._wall_left_s(now), now)
        return self._commands(now)

    def staging_failed(
        self, attempt_id: int, why: str, now: float, how: How = How.INPUT
    ) -> list[Command]:
        """End an attempt whose inputs are missing, or are useless here and anywhere (NO_START)."""
        self._payloads.staging_failed(attempt_id, why, now, how)
        return self._commands(now)

    def found_bad(self, attempt_id: int, bad: tuple[BadCopy, ...]) -> list[Command]:
        """Record bad copies of a payload's data."""
        self._payloads.found_bad(attempt_id, bad)
        return []

    def started(self, attempt_id: int, now: float) -> list[Command]:
        """Record that the guard has started a payload. Its first heartbeat is sent right away."""
        self._payloads.started(attempt_id, now)
        self._beats.soon(now, min(BEAT_SPACING_MAX_S, self._period_s / 10))
        return self._commands(now)

    def not_started(self, attempt_id: int, why: str, now: float) -> list[Command]:
        self._payloads.not_started(attempt_id, why, now)
        return self._commands(now)

    def warned(self, attempt_id: int, said: str, now: float) -> list[Command]:
        """Record that a payload got its warning signal."""
        self._payloads.warned(attempt_id, said, now)
        return self._commands(now)

    def noted(self, attempt_id: int, said: str, now: float) -> list[Command]:
        """Record a note for the history of an attempt."""
        self._payloads.note(attempt_id, said, now)
        return self._commands(now)

    def gone(self, ended: Ended, now: float) -> list[Command]:
        """Handle the end of a payload.

        Requests wait for `collected` or `tick`, so that its report and the next ask can travel
        together.
        """
        self._payloads.gone(ended, now)
        self._gone_first, self._gone_last = min(now, self._gone_first), now
        return self._take()

    def collected(
        self,
        attempt_id: int,
        outputs: tuple[Output, ...],
        now: float,
        *,
        absent: tuple[str, ...] = (),
        failure: str = "",
        note: str = "",
        bytes_in: int = 0,
        bytes_out: int = 0,
        published: tuple[Published, ...] = (),
        removed: tuple[Removed, ...] = (),
        leftovers: tuple[Leftover, ...] = (),
        failed_as: How = How.OUTPUT,
    ) -> list[Command]:
        """Handle the outputs of a payload: uploaded and stored, or failed."""
        self._payloads.collected(
            attempt_id,
            outputs,
            absent,
            failure,
            now,
            note=note,
            bytes_in=bytes_in,
            bytes_out=bytes_out,
            published=published,
            removed=removed,
            leftovers=leftovers,
            failed_as=failed_as,
        )
        return self._commands(now)

    def undelivered(self, attempt_id: int, why: str, now: float) -> list[Command]:
        """Record a failed transfer. If the payload has ended, the next heartbeat comes soon."""
        if self._payloads.undelivered(attempt_id, why):
            self._beats.soon(now, min(BEAT_SPACING_MAX_S, self._period_s / 10))
        return self._commands(now)

    def uploaded(
        self, attempt_id: int, unavailable: frozenset[str], now: float, *, quota: str = ""
    ) -> list[Command]:
        """Record uploaded blobs that the central missed, except those whose files are gone."""
        self._payloads.uploaded(attempt_id, unavailable, now, quota=quota)
        return self._commands(now)

    def guard_gone(self, dead: frozenset[int], now: float) -> list[Command]:
        """Handle the death of the guard and its payloads; `dead` are those that were seen dead."""
        for holding in self._holdings.all():
            if not holding.alive:
                continue
            if holding.attempt_id in dead:
                self._payloads.lost(holding.attempt_id, now)
            else:
                self._payloads.unknown(holding.attempt_id)
        self._payloads.guard_gone(now)
        self._drain("the guard has died")
        return self._commands(now)

    def drain(self, why: str, now: float) -> list[Command]:
        """Ask for no more work, and end when all held attempts have ended."""
        self._drain(why)
        return self._commands(now)

    def hurry(self, why: str, now: float) -> list[Command]:
        """Drain without waiting for the payloads."""
        self._stop_all(why, now)
        return self._commands(now)

    def due(self) -> float:
        """Return when to call `tick` if nothing else happens."""
        if self._over:
            return math.inf
        lease_s = self._lease_s
        impatient_s = impatience_s(lease_s)
        times = [self._bounds.end_at if self._stopped_all else self._bounds.stop_at]
        if self._idle and self._bounds.idle_s and not self._draining:
            times.append(self._idle_since + self._bounds.idle_s)
        asked = self._asks.open
        if asked is not None:
            times.append(asked.first_sent + ASK_OPEN * lease_s)
        # An overdue heartbeat can only be sent over HTTPS, once that is free. After a sleep, one
        # may have become overdue.
        beat_at = max(self._beat_due(impatient_s), self._now)
        if self._flying is None or self._takes_bus(beat_at, impatient_s):
            times.append(beat_at)
        if self._flying is None:
            times.append(max(self._talk_from(), self._talk_due()))
        return min(times)

    @property
    def held(self) -> int:
        """Return the number of held attempts."""
        return len(self._holdings)

    # -- answers --------------------------------------------------------------------------------

    def _turn_answered(self, turn: Turn, reply: TurnReply, now: float) -> None:
        if not self._term_stands(reply.term):
            self._back_off(now)
            return
        self._failures, self._next_try = 0, now
        for stop in reply.stop:
            self._payloads.stop(stop, now, self._lease_s)
        if reply.ask is not None:
            self._ask_answered(reply.ask, now)
        for answer in reply.reports:
            self._payloads.answered(answer, now)
        self._ordered_to_end(reply.drain, reply.hurry, now)
        self._rest_unanswered(turn, now)

    def _ask_answered(self, answer: AskAnswer, now: float) -> None:
        asked = self._asks.answered(answer)
        if asked is None:
            return
        offered, declined = asked.free, False
        for assignment in answer.assignments:
            booked = self._payloads.arrive(
                assignment,
                fence=asked.first_sent + FENCE * assignment.lease_s,
                wall_left_s=min(asked.ask.offer.wall_left_s, self._wall_left_s(now)),
                now=now,
            )
            if booked:
                offered = offered.less(assignment.grant)
            declined = declined or not booked
        if answer.parked:
            again = now + reask_s(self._bus_up, answer.retry_in_s, self._uniform)
            self._asks.rest(offered, parked=True, next_at=again)
        elif not answer.assignments or declined:
            wait_s = self._uniform(BACK_OFF_MIN_S, BACK_OFF_MAX_S)
            if answer.retry_in_s:
                wait_s = spread_s(answer.retry_in_s, self._uniform)
            self._asks.rest(self._slots.free(), parked=False, next_at=now + wait_s)

    def _beat_answered(self, answer: BeatAnswer, now: float) -> None:
        beat = self._beats.find(answer.n)
        if beat is None:
            return  # from an older session, or newer ones were answered
        if answer.other_store or answer.old_session:
            self._disowned(other_store=answer.other_store)
            return
        if not self._term_stands(answer.term):
            return
        self._leader_is(answer.leader)
        self._beats.answered(answer.n, self._period_s)
        self._payloads.renewed(beat.listed, answer.stale, beat.sent)
        for attempt in answer.stale:
            self._payloads.stale(attempt, now)
        for stop in answer.stop:
            self._payloads.stop(stop, now, self._lease_s)
        self._payloads.follow_only(answer.follow)
        if answer.ask_again:
            self._asks.woken(beat.parked)
        self._ordered_to_end(answer.drain, answer.hurry, now)

    def _leader_is(self, url: str) -> None:
        if url:
            self._own.append(LeaderIs(url))

    def _woken(self, wake: Wake) -> None:
        """Handle a wake-up for an ask. 0: a new leader has started, and knows no parked ask."""
        if wake.n:
            self._asks.woken(wake.n)
            return
        self._leader_is(wake.leader)
        if wake.term > self._term:
            self._own.append(
                UseFirstAddress()
            )  # otherwise requests would wait for a machine that is gone
        self._asks.called()

    def _term_stands(self, term: int) -> bool:
        """Record the answer's term; return False for an answer from a replaced leader."""
        if term < self._term:
            return False
        self._term = term
        return True

    def _rest_unanswered(self, turn: Turn, now: float) -> None:
        """Repeat the items later that the reply left out."""
        later = now + self._uniform(BACK_OFF_MIN_S, BACK_OFF_MAX_S)
        for report in turn.reports:
            self._reports.later(report.attempt_id, report.n, later)
        asked = self._asks.open
        if turn.ask is not None and asked is not None and asked.ask.n == turn.ask.n:
            self._next_try = later
        if not self._reports.due(now, 1):
            self._one_by_one = False

    def not_renewed(self, refusal: FailedRequest, now: float) -> list[Command]:
        """Handle a refused renewal of the token: held attempts run into their fences."""
        if _disowns(refusal):
            self._disowned(other_store=refusal.status == 410)
            return self._commands(now)
        why = f"{refusal.status} {refusal.code} {refusal.message}"
        return self.drain(f"no new token: {why}", now)

    def _refused(
        self, flying: Optional[Union[Turn, Beat]], refusal: FailedRequest, now: float
    ) -> None:
        if _disowns(refusal):
            self._disowned(other_store=refusal.status == 410)
        elif isinstance(flying, Beat):
            self._own.append(WriteLog("beat_refused", refusal.facts()))
            if flying.goodbye and self._goodbyes >= GOODBYES_MAX:
                self._exit(EXIT_DONE, "drained; the goodbye was not answered")
        elif isinstance(flying, Turn) and refusal.status in (400, 413, 422):
            self._own.append(WriteLog("turn_refused", refusal.facts()))
            self._unreadable(flying, refusal, now)
        else:
            self._own.append(WriteLog("turn_refused", refusal.facts()))
            for report in flying.reports if isinstance(flying, Turn) else ():
                self._payloads.undelivered(report.attempt_id, refusal.text())
            self._back_off(now)

    def _unreadable(self, turn: Turn, refusal: FailedRequest, now: float) -> None:
        if len(turn.reports) + (turn.ask is not None) > 1:
            self._one_by_one = True
        elif turn.reports:
            why = f"{refusal.status} {refusal.code}: {refusal.message}"
            self._payloads.unreadable(turn.reports[0].attempt_id, why, now, leaving=self._draining)
        else:
            self._asks.give_up()
            self._back_off(now)

    def _back_off(self, now: float) -> None:
        self._failures += 1
        self._next_try = now + back_off_s(self._failures, self._uniform)

    def _disowned(self, *, other_store: bool) -> None:
        """End all work: this pilot's past is lost, or another process speaks as this pilot."""
        self._own.append(KillAll())
        if other_store:
            self._exit(EXIT_OTHER_STORE, "the central has a different store")
        else:
            self._exit(EXIT_OLD_SESSION, "this session of the pilot is over")

    # -- ends -----------------------------------------------------------------------------------

    def _ordered_to_end(self, drain: bool, hurry: bool, now: float) -> None:
        """Handle an order of the central to end."""
        if hurry:
            self._stop_all("killed by an operator", now)
        elif drain:
            self._drain("asked by the central")

    def _drain(self, why: str) -> None:
        if not self._draining:
            self._draining = True
            self._own.append(WriteLog("draining", {"why": why, "held": len(self._holdings)}))
            # Assignments for an open ask are refused: the next heartbeat says that it is closed.
            self._asks.give_up()

    def _stop_all(self, why: str, now: float) -> None:
        self._drain(why)
        self._stopped_all = True
        for holding in self._holdings.all():
            self._payloads.end_softly(holding, How.DRAINED, now, detail=why)

    def _exit(self, code: int, why: str) -> None:
        if not self._over:
            self._over = True
            self._own.append(Exit(code, why))

    @property
    def _idle(self) -> bool:
        return not len(self._holdings)

    @property
    def _drained(self) -> bool:
        return self._draining and self._idle and not len(self._reports)

    # -- the next message -----------------------------------------------------------------------

    def _commands(self, now: float) -> list[Command]:
        self._now = now
        if not self._over:
            self._look_at_clock(now)
            # Starts and journal entries come before any message.
            self._own[:0] = self._payloads.take()
        if not self._over:
            self._plan_beat(now)
            self._plan_talk(now)
        return self._take()

    def _take(self) -> list[Command]:
        out, self._own = self._payloads.take() + self._own, []
        return out

    def _look_at_clock(self, now: float) -> None:
        if not self._idle:
            self._idle_since = now
        elif self._bounds.idle_s and now >= self._idle_since + self._bounds.idle_s:
            self._drain(f"no work for {self._bounds.idle_s:.0f} s")
        self._too_late = now > self._bounds.stop_at - WALL_MIN_S
        if now >= self._bounds.stop_at and not self._stopped_all:
            self._stop_all("the pilot's time is over", now)
        if now >= self._bounds.end_at:
            self._exit(EXIT_DONE, f"out of time, {len(self._reports)} reports unanswered")
        asked = self._asks.open
        if asked is not None and now >= asked.first_sent + ASK_OPEN * self._lease_s:
            self._asks.give_up()

    def _plan_beat(self, now: float) -> None:
        impatient_s = self._impatience_s
        if now < self._beat_due(impatient_s):
            return
        if self._takes_bus(now, impatient_s):
            self._own.append(PublishBeat(self._beat(now, self._period_s)))
        elif self._flying is None:
            self._fly_beat(now)

    def _plan_talk(self, now: float) -> None:
        if self._flying is not None or self._over:
            return
        if self._drained:
            if now >= self._next_try:
                self._say_goodbye(now)
            return
        if now < self._talk_from():
            return
        reports = self._reports.due(now, 1 if self._one_by_one else A_TURN_MAX)
        ask = None if self._one_by_one and reports else self._ask(now)
        if reports or ask is not None:
            turn = Turn(gen=self._me.gen, session=self._me.session, reports=reports, ask=ask)
            self._flying, self._turn_at = turn, now
            self._gone_first, self._gone_last = math.inf, -math.inf
            self._own.append(SendTurn(turn, timeout_s(TURN_TIMEOUT_MAX_S, self._lease_s / 6)))

    def _ask(self, now: float) -> Optional[Ask]:
        if self._asks.open is not None:
            return self._asks.open.ask
        free = self._slots.free()
        if self._draining or self._too_late or now < self._asks.due_at(free):
            return None
        offer = dataclasses.replace(
            self._capacity,
            cores_free=free.cores,
            memory_free_mb=free.memory_mb,
            wall_left_s=min(WALL_UNLIMITED_S, self._bounds.stop_at - now),
            scratch_free_mb=free.scratch_mb,
            scratch_mb=self._slots.scratch_mb,
            gpus_free=free.gpus,
            amounts_free=free.amounts,
        )
        return self._asks.begin(offer, free, self._holdings.listed(), now).ask

    def _say_goodbye(self, now: float) -> None:
        self._goodbyes += 1
        self._next_try = now + BACK_OFF_MIN_S
        self._fly_beat(now, goodbye=True)

    def _fly_beat(self, now: float, *, goodbye: bool = False) -> None:
        beat = self._beat(now, self._impatience_s, https=True, goodbye=goodbye)
        self._flying = beat
        self._own.append(SendBeat(beat, timeout_s(IMPATIENCE_MAX_S, self._impatience_s)))

    def _beat(
        self, now: float, next_in_s: float, *, https: bool = False, goodbye: bool = False
    ) -> Beat:
        return self._beats.make(
            now,
            self._holdings.listed(),
            parked=self._asks.parked,
            closed=self._asks.closed,
            next_in_s=next_in_s,
            https=https,
            goodbye=goodbye,
            draining=self._draining,
            undelivered=self._holdings.undelivered(now),
        )

    # -- times ----------------------------------------------------------------------------------

    def _wall_left_s(self, now: float) -> float:
        """Return the wall time to offer for a payload that starts now; an answer may come late."""
        left_s = self._bounds.stop_at - now
        return left_s + WALL_LATE_S if left_s > 0 else left_s

    @property
    def _lease_s(self) -> float:
        return self._holdings.lease_s(3 * self._me.beat_s)

    @property
    def _period_s(self) -> float:
        return self._lease_s / 3

    @property
    def _impatience_s(self) -> float:
        return impatience_s(self._lease_s)

    def _takes_bus(self, now: float, impatient_s: float) -> bool:
        return self._bus_up and not self._beats.overdue(impatient_s, now)

    def _beat_due(self, impatient_s: float) -> float:
        if self._drained or isinstance(self._flying, Beat):
            return math.inf  # the goodbye is the last heartbeat
        return self._beats.due(impatient_s)

    def _talk_from(self) -> float:
        """Return the earliest time for a message: after back-off, or with other ends that join it.

        Payloads that started together end together. Otherwise the first of them would use a request
        for itself, and the others would wait for its answer.
        """
        if not self._slots.used:
            return self._next_try
        if self._gone_last > self._turn_at + BURST_S:  # ends are rare: no other will join soon
            return max(self._next_try, self._turn_at + TOGETHER_S)
        gathered = min(self._gone_last + GATHER_S, self._gone_first + TOGETHER_S)
        return max(self._next_try, self._turn_at + TOGETHER_S, gathered)

    def _talk_due(self) -> float:
        """Return when the next request is due, without back-off."""
        if self._drained or self._asks.open is not None:
            return -math.inf
        due = self._reports.next_due()
        if not self._draining and not self._too_late:
            due = min(due, self._asks.due_at(self._slots.free()))
        return due


def _disowns(refusal: FailedRequest) -> bool:
    """Return whether a refusal ends the pilot (PROTOCOL P7)."""
    return refusal.status == 410 or refusal.code == Code.OLD_SESSION.value
