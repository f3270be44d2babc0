"""The central's half of the pilot protocol. It owns the matcher, the leases and the presences.

The module `turns` has the order of steps within a turn. The central answers after the commit.
"""

from prometheus_client import Histogram

from pilotage.proto.messages import Beat, Stop, Turn
from pilotage.proto.pilot_states import PilotEvent, PilotState
from pilotage.proto.problems import Code

from ..errors import Refused
from ..identity.callers import PilotCaller
from ..jobs.leases import LeasePhase
from ..pilots.presence import Presence
from ..ports import Clock, Leadership
from ..sent_messages import BeatAnswer, TurnReply
from ..store.engine import Store
from .follow_up import FollowUp
from .memory import Memory
from .turns.beats import BeatService
from .turns.turns import Turns


class Dispatch:
    """Answers the turns and beats of pilots."""

    def __init__(
        self,
        *,
        store: Store,
        memory: Memory,
        follow_up: FollowUp,
        turns: Turns,
        beats: BeatService,
        clock: Clock,
        leadership: Leadership,
        turn_s: Histogram,
    ) -> None:
        self._store, self._queue, self._leases = store, memory.queue, memory.leases
        self._pilots, self._logs, self._follow_up = memory.pilots, memory.logs, follow_up
        self._turns, self._beats = turns, beats
        self._clock, self._leadership, self._turn_s = clock, leadership, turn_s

    async def turn(self, caller: PilotCaller, message: Turn) -> TurnReply:
        """Handle reports and at most one ask. Each is judged as if it came alone.

        Raises Refused: OLD_SESSION, OTHER_STORE (the pilot ends), STORE_FULL (it repeats).
        """
        began = self._clock.monotonic()
        presence = self._presence(caller, message.gen, message.session)
        if presence.state is PilotState.LOST:
            await self._back(presence)
        judged, answer = await self._turns.take(presence, message)
        self._lead()  # the writes stand; the pilot repeats its turn to the new leader
        replies = [one.reply() for one in judged]
        self._turn_s.observe(self._clock.monotonic() - began)
        return TurnReply(
            term=self._leadership.term,
            reports=tuple([reply for reply in replies if reply is not None]),
            ask=answer,
            stop=tuple(self._stops(presence)),
            drain=presence.drain,
            hurry=presence.hurry,
        )

    async def beat(self, caller: PilotCaller, message: Beat) -> BeatAnswer:
        """Renew the leases that the beat lists, and return news for the pilot.

        Raises Refused as `turn` does. A refused beat renews nothing, here or at the pilot.
        """
        presence = self._presence(caller, message.gen, message.session)
        if presence.state is PilotState.LOST:
            await self._back(presence)
        stale = await self._beats.take(presence, message)
        self._lead()  # a renewal counts only while this process leads
        return BeatAnswer(
            n=message.n,
            term=self._leadership.term,
            stale=tuple(stale),
            stop=tuple(self._stops(presence)),
            ask_again=self._should_ask(presence, message.parked),
            drain=presence.drain,
            hurry=presence.hurry,
            follow=tuple(one for one in message.holding if self._logs.followed(one.job)),
            leader=self._leadership.url() or "",
        )

    def _presence(self, caller: PilotCaller, gen: str, session: int) -> Presence:
        """Return the pilot with this living session, and note that it was heard."""
        self._lead()
        presence = self._pilots.find(caller.pilot)
        if gen != self._store.generation:
            # A late message of an earlier session does not disown the pilot.
            if presence is not None and session >= presence.session:
                presence.is_disowned = True
            raise Refused(
                Code.OTHER_STORE,
                "the store was restored from a backup: earlier attempts no longer count",
            )
        if presence is None:
            raise Refused(Code.OLD_SESSION, f"pilot {caller.pilot} has ended")
        if session != presence.session:
            raise Refused(
                Code.OLD_SESSION,
                f"session {session} is over: session {presence.session} has begun",
            )
        presence.heard = self._clock.monotonic()
        return presence

    def _lead(self) -> None:
        """Raise Refused if another process may be the leader by now (PROTOCOL C5)."""
        if not self._leadership.leads:
            raise Refused(Code.NOT_LEADER, "this process is no longer the leader")

    async def _back(self, presence: Presence) -> None:
        """Restore a lost pilot that is heard again."""
        await self._follow_up.pilot_moved(presence, PilotEvent.BACK, "heard again")
        if presence.drain and presence.state is PilotState.RUNNING:
            why = presence.told or "it was draining before it was lost"
            await self._follow_up.pilot_moved(presence, PilotEvent.DRAIN, why)

    def _stops(self, presence: Presence) -> list[Stop]:
        return [
            Stop(lease.job, lease.epoch, lease.wanted)
            for lease in self._leases.wanted(presence.pilot)
            if lease.wanted is not None and lease.phase is LeasePhase.LIVE
        ]

    def _should_ask(self, presence: Presence, parked: int) -> bool:
        """Return whether a pilot's parked ask is unknown here, or work fits it (PROTOCOL C5)."""
        if parked == 0 or presence.drain:
            return False
        matcher = self._queue.matcher
        if matcher.parked_ask(presence.pilot) != parked:
            return True
        return matcher.has_work(presence.pilot, self._clock.monotonic())
