"""Requests for work: what they find in the queue, and how they are answered (PROTOCOL C1, C2)."""

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
from ..black_holes import ASK_AGAIN_S, HostWatch
from ..memory import Memory
from .assignments import Assignments
from .reports import JudgedReport
from .requeues import Requeues


class PendingAsk:
    """An ask that is being answered. A repeated ask waits for its end."""

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
    """What a pilot has free while its ask is answered."""

    offer: LiveOffer
    taken: Grant  # what the pilot has been given and does not know of
    restricted: tuple[bool, bool]  # by marks of its site, when the offer was made


class AskMatches(NamedTuple):
    """What an ask has found in the queue."""

    jobs: Sequence[Match]
    is_kept_off: bool = False  # the pilot's host may not have all that its offer is good for
    by: RemainingOffer | None = None  # None: the pilot gets nothing more


NOTHING: Final = AskMatches(())


class AskService:
    """Answers one numbered ask after another of each pilot."""

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
        self._hosts, self._places = HostWatch(memory, clock, log), memory.places
        self._requeues, self._assignments, self._outbound = requeues, assignments, outbound
        self._clock, self._settings = clock, settings
        self._underway: dict[str, PendingAsk] = {}

    def begin(self, presence: Presence, ask: Ask) -> PendingAsk:
        """From now on this ask is the pilot's newest. Call `end` when it is answered."""
        presence.ask, presence.offer = ask.n, ask.offer
        underway = self._underway[presence.pilot] = PendingAsk()
        return underway

    def end(self, presence: Presence, underway: PendingAsk) -> None:
        """An ask is answered, or cannot be."""
        underway.end()
        if self._underway.get(presence.pilot) is underway:
            del self._underway[presence.pilot]

    async def again(self, presence: Presence, ask: Ask) -> AskAnswer:
        """Answer an ask that is not new: the newest gets the same attempts again."""
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
        # The pilot holds these attempts, or reports their ends in this turn: none is in doubt.
        known = {one.job << EPOCH_BITS | one.epoch for one in ask.holding}
        known |= {one.report.job << EPOCH_BITS | one.report.epoch for one in judged if one.ends}
        presence.known = frozenset(known)  # before anything is awaited: it goes with the offer
        if self._leases.holds(presence.pilot):
            await self._requeues.give_back(presence, known, asked_before=ask.n)
        if presence.drain or presence.state is not PilotState.RUNNING:
            return NOTHING
        room = self._hosts.room(presence)
        # A newer ask may have come meanwhile: this one is answered by its own word.
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
        """Answer a new ask once its turn is written; without jobs its pilot is parked."""
        if assignments:
            return AskAnswer(n=ask.n, assignments=tuple(assignments))
        if matched.by is None:
            return AskAnswer(n=ask.n, retry_in_s=self._settings.poll_parked_s)
        if matched.is_kept_off:  # parked, it would be woken for what it may not have
            return AskAnswer(n=ask.n, retry_in_s=ASK_AGAIN_S)
        offer = matched.by.offer
        if presence.restricted != matched.by.restricted:  # a ban came, or went, while we wrote
            offer = presence.live_offer(ask.offer, matched.by.taken)
        self._queue.matcher.park(offer, ask.n, self._clock.monotonic())
        self._queue.wake()  # for jobs that came while we wrote
        return self._parked(ask.n)

    def _parked(self, n: int) -> AskAnswer:
        up = self._outbound.up
        wait = self._settings.poll_parked_s if up else self._settings.poll_bus_down_s
        return AskAnswer(n=n, parked=True, retry_in_s=wait)

    async def _repeat(self, presence: Presence, ask: Ask) -> AskAnswer:
        """Answer an ask that was answered before: what of it is still current."""
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
