"""Asks: finds jobs in the queue for them, and answers them (PROTOCOL C1, C2)."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

from pilotage.matcher.types import Grant, LiveOffer, Match
from pilotage.proto.messages import Ask
from pilotage.proto.pilot_states import PilotState

from ...jobs import record as job_records
from ...jobs.leases import EPOCH_BITS, LeasePhase
from ...observe.events import Log
from ...outbound import Outbound
from ...pilots.presence import Presence, taken_by
from ...ports import Clock
from ...sent_messages import AskAnswer, Assignment
from ...settings import LeaseSettings
from ...store.engine import Store
from ..black_holes import ASK_AGAIN_S, BlackHoleService
from ..memory import Memory
from .assignments import Assignments
from .reports import JudgedReport
from .requeues import Requeues


class PendingAsk:
    """An ask that is being answered. A repetition of it waits for its end."""

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


class RemainingOffer(NamedTuple):
    """The free resources of a pilot while its ask is answered."""

    offer: LiveOffer
    taken: Grant  # resources of attempts that the pilot does not know yet
    restricted: tuple[bool, bool]  # by marks of its site, when the offer was made


class AskMatches(NamedTuple):
    """The jobs that an ask has found in the queue."""

    jobs: Sequence[Match]
    is_kept_off: bool = False  # the pilot's host may not get all jobs that fit the offer
    by: RemainingOffer | None = None  # None: the pilot gets no more jobs


NOTHING: Final = AskMatches(())


class AskService:
    """Answers the numbered asks of each pilot, one after another."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        requeues: Requeues,
        assignments: Assignments,
        outbound: Outbound,
        clock: Clock,
        log: Log,
        settings: LeaseSettings,
    ) -> None:
        self._store, self._queue = store, memory.queue
        self._leases = memory.leases
        self._hosts, self._places = BlackHoleService(memory, clock, log), memory.places
        self._requeues, self._assignments, self._outbound = requeues, assignments, outbound
        self._clock, self._settings = clock, settings
        self._underway: dict[str, PendingAsk] = {}

    def begin(self, presence: Presence, ask: Ask) -> PendingAsk:
        """Note the newest ask of a pilot. Call `end` when it is answered."""
        presence.ask, presence.offer = ask.n, ask.offer
        underway = self._underway[presence.pilot] = PendingAsk()
        return underway

    def end(self, presence: Presence, underway: PendingAsk) -> None:
        """End an ask that is answered or has failed."""
        underway.end()
        if self._underway.get(presence.pilot) is underway:
            del self._underway[presence.pilot]

    async def again(self, presence: Presence, ask: Ask) -> AskAnswer:
        """Answer a repeated ask: the newest gets the same attempts again, older ones are stale."""
        if ask.n < presence.ask:
            return AskAnswer(n=ask.n, stale=True)
        underway = self._underway.get(presence.pilot)
        if underway is not None:
            await underway.ended()
        return await self._repeat(presence, ask)

    async def match(
        self, presence: Presence, ask: Ask, judged: Sequence[JudgedReport]
    ) -> AskMatches:
        """Find jobs for a new ask. They are pending until the turn is written."""
        self._queue.matcher.withdraw(presence.pilot)
        # The pilot holds these attempts, or reports their ends in this turn: it knows them all.
        known = {one.job << EPOCH_BITS | one.epoch for one in ask.holding}
        known |= {one.report.job << EPOCH_BITS | one.report.epoch for one in judged if one.ends}
        presence.known = frozenset(known)  # before any await: it belongs to the new offer
        if self._leases.holds(presence.pilot):
            await self._requeues.give_back(presence, known, asked_before=ask.n)
        if presence.drain or presence.state is not PilotState.RUNNING:
            return NOTHING
        room = self._hosts.room(presence)
        # A newer ask may have come during the await: answer this one by its own data.
        taken = taken_by(self._leases.unknown(presence.pilot, known), known)
        presence.restrict(self._places)
        offer, made = presence.live_offer(ask.offer, taken), presence.restricted
        matches, is_kept_off = list[Match](), room is not None
        if offer.cores_free > 0 and room != 0:
            matches, is_kept_off = self._hosts.match(presence, offer, ask.jobs_max, room)
        return AskMatches(matches, is_kept_off, RemainingOffer(offer, taken, made))

    def answer(
        self, presence: Presence, ask: Ask, matched: AskMatches, assignments: Sequence[Assignment]
    ) -> AskAnswer:
        """Answer a new ask once its turn is written. Park the pilot if it gets no job."""
        if assignments:
            return AskAnswer(n=ask.n, assignments=tuple(assignments))
        if matched.by is None:
            return AskAnswer(n=ask.n, retry_in_s=self._settings.poll_parked_s)
        if matched.is_kept_off:  # a parked pilot would be woken for jobs that it may not get
            return AskAnswer(n=ask.n, retry_in_s=ASK_AGAIN_S)
        offer = matched.by.offer
        if presence.restricted != matched.by.restricted:  # a ban began or ended during the write
            offer = presence.live_offer(ask.offer, matched.by.taken)
        self._queue.matcher.park(offer, ask.n, self._clock.monotonic())
        self._queue.wake()  # for jobs that came during the write
        return self._parked(ask.n)

    def _parked(self, n: int) -> AskAnswer:
        up = self._outbound.up
        wait = self._settings.poll_parked_s if up else self._settings.poll_bus_down_s
        return AskAnswer(n=n, parked=True, retry_in_s=wait)

    async def _repeat(self, presence: Presence, ask: Ask) -> AskAnswer:
        """Answer an ask that was answered before, with its attempts that are still current."""
        leases = [
            lease
            for lease in self._leases.of_pilot(presence.pilot)
            if lease.ask == ask.n
            and lease.session == presence.session
            and lease.phase is LeasePhase.LIVE
            and lease.settling is None
        ]
        if leases:
            bodies = await self._store.read(job_records.bodies, [lease.job for lease in leases])
            held = [
                (lease, bodies[lease.job])
                for lease in leases
                if lease.job in bodies and lease.phase is LeasePhase.LIVE
            ]
            return AskAnswer(n=ask.n, assignments=tuple(await self._assignments.made(held)))
        if self._queue.matcher.parked_ask(presence.pilot) == ask.n:
            return self._parked(ask.n)
        return AskAnswer(n=ask.n, retry_in_s=1.0)
