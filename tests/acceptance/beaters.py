"""Pilots that take one job, hold it, and beat over MQTT far more often than they need to.

A beat is answered over MQTT or not at all: these never try HTTPS, as a pilot does that is not
answered. What came back, from which term and when, is what a story looks at.
"""

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiomqtt
import httpx
import msgspec

from pilotage.proto import topics
from pilotage.proto.messages import (
    Ask,
    Assignment,
    Attempt,
    Beat,
    Down,
    How,
    Register,
    Registered,
    Report,
    Turn,
    TurnReply,
    What,
)

from .runners import AGAIN_S, OFFER, Runner

EVERY_S = 0.05


@dataclass(frozen=True)
class Answered:
    """An answer to a beat, by `time.monotonic`."""

    sent: float
    heard: float
    term: int
    is_stale: bool


class Beater(Runner):
    """One pilot. `let_go` ends its beats and its job."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.sent: dict[int, float] = {}  # beats, when they were handed to the broker
        self.answers: list[Answered] = []
        self._let_go = threading.Event()

    def let_go(self) -> None:
        self._let_go.set()

    def of_term(self, term: int) -> list[Answered]:
        return [one for one in list(self.answers) if one.term == term]

    def _live(self, http: httpx.Client) -> None:
        said = Register(self._secret, f"nonce-{self._secret[:8]}")
        me = self._say(http, "/v1/pilots/register", said, "", Registered)
        if me is None:
            return
        assignment = self._one(http, me)
        if assignment is None:
            return
        asyncio.run(self._beat(me, Attempt(assignment.job, assignment.epoch)))
        ended = Report(
            assignment.job, assignment.epoch, assignment.attempt_id, 1, What.ENDED, How.EXITED, 0
        )
        turn = Turn(me.gen, me.session, (ended,))
        self._say(http, "/v1/report", turn, me.token, TurnReply)

    def _one(self, http: httpx.Client, me: Registered) -> Assignment | None:
        """Ask until there is a job; None: the story is over."""
        n = 0
        while not self._stop_event.is_set():
            n += 1
            turn = Turn(me.gen, me.session, ask=Ask(n, OFFER))
            reply = self._say(http, "/v1/turn", turn, me.token, TurnReply)
            if reply is not None and reply.ask.assignments:
                given: Assignment = reply.ask.assignments[0]
                self._ran.take(me.pilot, given, reply.term)
                return given
            time.sleep(AGAIN_S)
        return None

    async def _beat(self, me: Registered, held: Attempt) -> None:
        assert me.broker is not None, "a central with a broker"
        place = urlsplit(me.broker.url)
        topic = topics.up(me.community, me.pilot, topics.TopicKind.BEAT)
        n = me.session << 20
        async with (
            aiomqtt.Client(
                place.hostname or "",
                place.port or 1883,
                username=me.broker.user,
                password=me.broker.password,
            ) as client,
            asyncio.TaskGroup() as tasks,
        ):
            await client.subscribe(topics.down(me.community, me.pilot))
            hearing = tasks.create_task(self._hear(client))
            while not self._let_go.is_set() and not self._stop_event.is_set():
                n += 1
                self.sent[n] = time.monotonic()
                beat = Beat(me.gen, me.session, n, closed=1, holding=(held,))
                await client.publish(topic, msgspec.json.encode(beat))
                await asyncio.sleep(EVERY_S)
            hearing.cancel()

    async def _hear(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            assert isinstance(message.payload, bytes)
            answer = msgspec.json.decode(message.payload, type=Down).beat
            if answer is not None:
                heard, is_stale = time.monotonic(), bool(answer.stale)
                self.answers.append(Answered(self.sent[answer.n], heard, answer.term, is_stale))
