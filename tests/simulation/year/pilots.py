"""Pilots of the simulated year: they speak the protocol, and their jobs only take time.

A second of the simulation is an hour of the year. What a job leaves is told by `made`.
"""

import asyncio
import contextlib
import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from pilotage.proto import topics
from pilotage.proto.api.pilots import SecretRequest, Secrets
from pilotage.proto.messages import (
    Ask,
    Assignment,
    Attempt,
    Beat,
    BeatAnswer,
    Down,
    How,
    Node,
    Offer,
    Register,
    Registered,
    Report,
    Turn,
    TurnReply,
    Usage,
    What,
)
from pilotage.proto.storages import TAG, Published
from pilotage.proto.topics import TopicKind
from pilotage.proto.wire import decode, encode
from tests.fake_bus import FakePilotBus

from .line import Line
from .troubles import HOLE, End

TICK_S: Final = 0.25  # things that happen within a quarter of an hour happen together
MEMORY_A_CORE_MB: Final = 4_000
TAGS: Final = (TAG, "processing", "training")


@dataclass(frozen=True)
class Fate:
    """What becomes of an attempt."""

    lasts_s: float
    end: End | None = None  # none: well
    made: Sequence[Published] = ()


Fates = Callable[[Assignment, bool, random.Random], Fate]  # the second: on the black hole


@dataclass(order=True)
class _Run:
    ends: float
    attempt_id: int
    given: Assignment = field(compare=False)
    fate: Fate = field(compare=False)
    began: float = field(compare=False)


class YearPilot:
    """A whole node: as many jobs at once as it has cores for."""

    def __init__(
        self, line: Line, fates: Fates, *, node: tuple[str, str], cores: int, lives_s: float,
        seed: str,
    ) -> None:  # fmt: skip
        (self.site, self._host), self.cores, self.busy = node, cores, 0
        self._at_hole = node == HOLE
        self._line, self._fates, self._chance = line, fates, random.Random(seed)
        self._lives_s, self._name = lives_s, seed
        self._woken, self._answered = asyncio.Event(), asyncio.Event()
        self._runs: list[_Run] = []
        self._unsaid: list[_Run] = []  # started, and nobody was told
        self._asks = self._beats = 0
        self._parked = 0

    async def live(self, known: set["YearPilot"], *, dies: bool) -> None:
        """Register, work and go; who dies goes without a word."""
        me = await self._registered()
        bus = self._line.bus(me)
        known.add(self)
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(bus.run(self._hear, lambda up: None))
                await self._work(me, bus, dies=dies)
                if dies:
                    self._line.broker.cut_user(me.pilot)
                listening.cancel()
        finally:
            self.busy = 0
            known.discard(self)

    async def _work(self, me: Registered, bus: FakePilotBus, *, dies: bool) -> None:
        loop = asyncio.get_running_loop()
        until, beat = loop.time() + self._lives_s, loop.time() + me.beat_s
        await self._turn(me, until)
        while True:
            now = loop.time()
            is_over = now >= until
            if is_over and (dies or not self._runs):
                break
            if now >= beat:
                beat = now + me.beat_s
                await self._beat(me, bus)
            if self._due(now) or self._unsaid or (self._woken.is_set() and not is_over):
                self._woken.clear()
                await self._turn(me, until)
                continue
            nearest = min(beat, until if not is_over else beat, self._next())
            await self._sleep(nearest)
        if not dies:
            await self._line.post("/v1/beat", self._said(me, goodbye=True), BeatAnswer, me.token)

    async def _registered(self) -> Registered:
        line = self._line
        request = SecretRequest(site=self.site, element="ce")
        body = await line.ask(
            "POST", "/v1/pilots/secrets", msgspec.json.encode(request), line.admin
        )
        secret = msgspec.json.decode(body, type=Secrets).secrets[0]
        said = Register(secret.secret, self._name, node=Node(host=self._host))
        return await line.post("/v1/pilots/register", said, Registered, "")

    async def _hear(self, payload: bytes) -> None:
        """Take a message of the central from the bus."""
        said = decode(Down, payload)
        if said.wake is not None:
            self._woken.set()
        elif said.beat is not None:
            self._answered.set()
            if said.beat.ask_again:
                self._woken.set()

    async def _sleep(self, until: float) -> None:
        """Sleep to the tick at or after `until`, or until somebody calls."""
        loop = asyncio.get_running_loop()
        wait_s = max(TICK_S, -(-until // TICK_S) * TICK_S - loop.time())
        timer = loop.call_later(wait_s, self._woken.set)
        await self._woken.wait()
        if loop.time() >= timer.when() - 1e-6:
            self._woken.clear()
        timer.cancel()

    def _next(self) -> float:
        return self._runs[0].ends if self._runs else float("inf")

    def _due(self, now: float) -> bool:
        return self._next() <= now + 1e-6

    # -- what is said ---------------------------------------------------------------------------

    async def _turn(self, me: Registered, until: float) -> None:
        now = asyncio.get_running_loop().time()
        ended: list[_Run] = []
        while self._due(now):
            ended.append(heapq.heappop(self._runs))
        reports = [_started(run) for run in self._unsaid] + [_ended(run, now) for run in ended]
        self._unsaid = []
        self.busy = sum(run.given.grant.cores for run in self._runs)
        free = self.cores - self.busy
        ask = self._ask(free, until - now) if free and until > now else None
        turn = Turn(gen=me.gen, session=me.session, reports=tuple(reports), ask=ask)
        reply = await self._line.post("/v1/turn", turn, TurnReply, me.token)
        for answer in reply.reports:
            assert answer.answer.value in ("ok", "already", "stale"), answer
        if reply.ask is None:
            return
        self._parked = self._asks if reply.ask.parked else 0
        for given in reply.ask.assignments:
            fate = self._fates(given, self._at_hole, self._chance)
            run = _Run(now + fate.lasts_s, given.attempt_id, given, fate, now)
            heapq.heappush(self._runs, run)
            self._unsaid.append(run)
        self.busy = sum(run.given.grant.cores for run in self._runs)

    def _ask(self, free: int, left_s: float) -> Ask:
        self._asks += 1
        offer = Offer(
            cores=self.cores,
            cores_free=free,
            memory_mb=MEMORY_A_CORE_MB * self.cores,
            memory_free_mb=MEMORY_A_CORE_MB * free,
            wall_left_s=left_s,
            scratch_mb=1_000_000,
            scratch_free_mb=1_000_000,
            tags=TAGS,
            node=Node(host=self._host),
        )
        return Ask(n=self._asks, offer=offer, holding=self._holding(), jobs_max=free)

    async def _beat(self, me: Registered, bus: FakePilotBus) -> None:
        """Beat over the bus, and by HTTP if no answer comes."""
        said = self._said(me)
        if bus.up:
            self._answered.clear()
            bus.publish(topics.up(me.community, me.pilot, TopicKind.BEAT), encode(said))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._answered.wait()
                return
        answer = await self._line.post("/v1/beat", said, BeatAnswer, me.token)
        if answer.ask_again:
            self._woken.set()

    def _said(self, me: Registered, *, goodbye: bool = False) -> Beat:
        self._beats += 1
        return Beat(
            gen=me.gen,
            session=me.session,
            n=self._beats,
            parked=self._parked,
            closed=self._asks,
            holding=self._holding(),
            goodbye=goodbye,
        )

    def _holding(self) -> tuple[Attempt, ...]:
        return tuple(Attempt(run.given.job, run.given.epoch) for run in self._runs)


def _started(run: _Run) -> Report:
    given = run.given
    return Report(given.job, given.epoch, given.attempt_id, 1, What.STARTED, isolation="none")


def _ended(run: _Run, now: float) -> Report:
    given, lasted, end = run.given, now - run.began, run.fate.end
    return Report(
        *(given.job, given.epoch, given.attempt_id, 2, What.ENDED),
        how=How.EXITED if end is None else end.how,
        exit_code=0 if end is None else end.exit_code,
        detail="" if end is None else end.detail,
        usage=Usage(
            wall_s=lasted,
            cpu_s=lasted * given.grant.cores,
            memory_peak_mb=0.6 * given.grant.memory_mb,
            bytes_out=sum(one.size_bytes for one in run.fate.made),
        ),
        published=tuple(run.fate.made),
    )
