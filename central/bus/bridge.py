"""The bus as a face of the central: pass pilots' messages to the services, and send the answers.

A message from the bus never raises an error. A wrong message is counted and dropped, and the pilot
sends it again over HTTP. The broker has checked the pilot's login, and that the topic is the
pilot's own. The topic therefore identifies the sender.
"""

import asyncio
import dataclasses
import traceback
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pilotage.proto import topics
from pilotage.proto.messages import Beat, BeatAnswer, LogChunk
from pilotage.proto.problems import Code

from ..errors import Refused
from ..observe.events import Log
from ..ports import Bus, Clock
from ..received_messages import hear
from .downlink import Downlink

PilotMessage = TypeVar("PilotMessage", Beat, LogChunk)

BEAT_USEFUL_S = 10.0  # after this time the pilot has asked over HTTP
TOLD_EVERY_S = 60.0


class Pilot(Protocol):
    """A pilot as its token identifies it."""

    @property
    def pilot(self) -> str: ...
    @property
    def community(self) -> str: ...


P = TypeVar("P", bound=Pilot)


@dataclass
class BridgeCounters:
    """Counters of the pilots' messages."""

    beats: int = 0
    answered: int = 0
    chunks: int = 0
    wills: int = 0
    garbage: int = 0  # no JSON, wrong types, out of range, an unknown topic
    strangers: int = 0  # from pilots that the central does not know
    replaced: int = 0  # replaced by a newer heartbeat of the same pilot
    dropped: int = 0  # the queue was full, or the wait was too long
    refused: int = 0  # the service refused it
    failed: int = 0  # a bug; the log has the traceback


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[P]):
    caller: P
    payload: bytes
    came: float


class BusBridge(Generic[P]):
    """Passes heartbeats and live output to their services, a few at a time."""

    def __init__(
        self,
        bus: Bus,
        *,
        who: Callable[[str], P | None],
        beat: Callable[[P, Beat], Awaitable[BeatAnswer]],
        chunk: Callable[[P, LogChunk], Awaitable[None]],
        clock: Clock,
        log: Log,
        will: Callable[[P], None] | None = None,
        workers: int = 4,
        waiting_max: int = 10_000,
    ) -> None:
        self.heard = BridgeCounters()
        self._bus, self._beat, self._chunk = bus, beat, chunk
        self._who, self._clock, self._log, self._will = who, clock, log, will
        self._workers, self._waiting_max = workers, waiting_max
        self._down = Downlink(bus)
        # One heartbeat for each pilot: the newest is enough, and a pilot cannot crowd out others.
        self._beats: OrderedDict[str, _Waiting[P]] = OrderedDict()
        self._chunks: asyncio.Queue[_Waiting[P]] = asyncio.Queue(maxsize=waiting_max)
        self._ready = asyncio.Event()

    async def run(self) -> None:
        """Serve the bus until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._workers):
                tasks.create_task(self._answer_beats())
            tasks.create_task(self._hand_on_chunks())
            tasks.create_task(self._tell_traffic())
            tasks.create_task(self._bus.run(self.inbound))

    async def inbound(self, topic: str, payload: bytes) -> None:
        """Queue a message from the bus, and return at once."""
        spoken = topics.parse_up(topic)
        if spoken is None:
            self.heard.garbage += 1
            return
        caller = self._who(spoken.pilot)
        if caller is None or caller.community != spoken.community:
            self.heard.strangers += 1
            return
        waiting = _Waiting(caller, payload, self._clock.monotonic())
        if spoken.kind is topics.TopicKind.BEAT:
            self._queue_beat(waiting)
        elif spoken.kind is topics.TopicKind.LOG:
            self._queue_chunk(waiting)
        else:
            self.heard.wills += 1
            if self._will is not None:
                self._will(caller)

    def _queue_beat(self, waiting: _Waiting[P]) -> None:
        self.heard.beats += 1
        pilot = waiting.caller.pilot
        if self._beats.pop(pilot, None) is not None:
            self.heard.replaced += 1
        elif len(self._beats) >= self._waiting_max:
            self._beats.popitem(last=False)
            self.heard.dropped += 1
        self._beats[pilot] = waiting
        self._ready.set()

    def _queue_chunk(self, waiting: _Waiting[P]) -> None:
        self.heard.chunks += 1
        if self._chunks.full():
            self._chunks.get_nowait()
            self.heard.dropped += 1
        self._chunks.put_nowait(waiting)

    async def _answer_beats(self) -> None:
        while True:
            await self._ready.wait()
            if not self._beats:
                self._ready.clear()
                continue
            _, waiting = self._beats.popitem(last=False)
            if self._clock.monotonic() - waiting.came > BEAT_USEFUL_S:
                self.heard.dropped += 1
                continue
            await self._answer(waiting)

    async def _answer(self, waiting: _Waiting[P]) -> None:
        beat = self._read(waiting.payload, Beat)
        if beat is None:
            return
        caller = waiting.caller
        try:
            answer = await self._beat(caller, beat)
        except Refused as why:
            self.heard.refused += 1
            if why.code not in (Code.OLD_SESSION, Code.OTHER_STORE):
                return  # the pilot asks over HTTP, where it gets the refusal with a status
            answer = BeatAnswer(
                n=beat.n,
                term=0,
                old_session=why.code is Code.OLD_SESSION,
                other_store=why.code is Code.OTHER_STORE,
            )
        except Exception as why:  # an error with one pilot's heartbeat must not end the bridge
            self.heard.failed += 1
            self._log(
                "loop_failed",
                loop=f"beat of {caller.pilot}",
                error="".join(traceback.format_exception(why)),
            )
            return
        self._down.beat(caller.community, caller.pilot, answer)
        self.heard.answered += 1

    async def _hand_on_chunks(self) -> None:
        while True:
            waiting = await self._chunks.get()
            chunk = self._read(waiting.payload, LogChunk)
            if chunk is None:
                continue
            try:
                await self._chunk(waiting.caller, chunk)
            except Refused:
                self.heard.refused += 1

    async def _tell_traffic(self) -> None:
        """Log the counters that changed, so that a dying bus shows in the log."""
        logged: dict[str, int] = {}
        while True:
            await self._clock.sleep(TOLD_EVERY_S)
            counts = {**dataclasses.asdict(self.heard), **self._bus.counts()}
            moved = {name: count for name, count in counts.items() if count != logged.get(name, 0)}
            if moved:
                self._log("bus_traffic", counts=moved)
            logged = counts

    def _read(self, payload: bytes, kind: type[PilotMessage]) -> PilotMessage | None:
        """Return the message, or None if it is invalid."""
        try:
            return hear(payload, kind)
        except Refused:
            self.heard.garbage += 1
            return None
