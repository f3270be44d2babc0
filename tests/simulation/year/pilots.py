"""Pilots of the simulated year: they speak the protocol, and their jobs only take time.

A second of the simulation is an hour of the year. What a job leaves is told by `made`.
"""

import asyncio
import heapq
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from pilotage.central.app.central import Central
from pilotage.central.identity.callers import PilotCaller, User
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.messages import (
    Ask,
    Assignment,
    Attempt,
    Beat,
    How,
    Node,
    Offer,
    Register,
    Registered,
    Report,
    Turn,
    Usage,
    What,
)
from pilotage.proto.storages import TAG, Published

TICK_S: Final = 0.25  # things that happen within a quarter of an hour happen together
MEMORY_A_CORE_MB: Final = 4_000
TAGS: Final = (TAG, "processing", "training")


@dataclass(frozen=True)
class Fate:
    """What becomes of an attempt."""

    lasts_s: float
    is_crash: bool = False
    made: Sequence[Published] = ()


Fates = Callable[[Assignment, random.Random], Fate]


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
        self, central: Central, fates: Fates, *, site: str, cores: int, lives_s: float, seed: str
    ) -> None:
        self.site, self.cores, self.busy = site, cores, 0
        self._central, self._fates, self._chance = central, fates, random.Random(seed)
        self._lives_s, self._name = lives_s, seed
        self._woken = asyncio.Event()
        self._runs: list[_Run] = []
        self._unsaid: list[_Run] = []  # started, and nobody was told
        self._asks = self._beats = 0
        self._parked = 0

    def wake(self) -> None:
        self._woken.set()

    async def live(self, user: User, known: dict[str, "YearPilot"], *, dies: bool) -> None:
        """Register, work and go; who dies goes without a word."""
        loop = asyncio.get_running_loop()
        me, caller = await self._registered(user)
        known[me.pilot] = self
        until, beat = loop.time() + self._lives_s, loop.time() + me.beat_s
        try:
            await self._turn(me, caller, until)
            while True:
                now = loop.time()
                is_over = now >= until
                if is_over and (dies or not self._runs):
                    break
                if now >= beat:
                    beat = now + me.beat_s
                    await self._beat(me, caller)
                if self._due(now) or self._unsaid or (self._woken.is_set() and not is_over):
                    self._woken.clear()
                    await self._turn(me, caller, until)
                    continue
                nearest = min(beat, until if not is_over else beat, self._next())
                await self._sleep(nearest)
            if not dies:
                await self._beat(me, caller, goodbye=True)
        finally:
            self.busy = 0
            known.pop(me.pilot, None)

    async def _registered(self, user: User) -> tuple[Registered, PilotCaller]:
        pilots = self._central.services.pilots
        request = SecretRequest(site=self.site, element="ce")
        secret = (await pilots.make_secrets(user, request)).secrets[0]
        said = Register(secret.secret, self._name, node=Node(host=self._name))
        me = await pilots.register(said)
        return me, PilotCaller(
            pilot=me.pilot, community=me.community, site=me.site, element=me.element
        )

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

    async def _turn(self, me: Registered, caller: PilotCaller, until: float) -> None:
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
        reply = await self._central.services.dispatch.turn(caller, turn)
        for answer in reply.reports:
            assert answer.answer.value in ("ok", "already", "stale"), answer
        if reply.ask is None:
            return
        self._parked = self._asks if reply.ask.parked else 0
        for said in reply.ask.assignments:
            given = msgspec.json.decode(msgspec.json.encode(said), type=Assignment)
            fate = self._fates(given, self._chance)
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
            node=Node(host=self._name),
        )
        return Ask(n=self._asks, offer=offer, holding=self._holding(), jobs_max=free)

    async def _beat(self, me: Registered, caller: PilotCaller, *, goodbye: bool = False) -> None:
        self._beats += 1
        beat = Beat(
            gen=me.gen,
            session=me.session,
            n=self._beats,
            parked=self._parked,
            closed=self._asks,
            holding=self._holding(),
            goodbye=goodbye,
        )
        answer = await self._central.services.dispatch.beat(caller, beat)
        if answer.ask_again:
            self._woken.set()

    def _holding(self) -> tuple[Attempt, ...]:
        return tuple(Attempt(run.given.job, run.given.epoch) for run in self._runs)


def _started(run: _Run) -> Report:
    given = run.given
    return Report(given.job, given.epoch, given.attempt_id, 1, What.STARTED, isolation="none")


def _ended(run: _Run, now: float) -> Report:
    given, lasted = run.given, now - run.began
    return Report(
        *(given.job, given.epoch, given.attempt_id, 2, What.ENDED),
        how=How.SIGNALLED if run.fate.is_crash else How.EXITED,
        exit_code=11 if run.fate.is_crash else 0,
        usage=Usage(
            wall_s=lasted,
            cpu_s=lasted * given.grant.cores,
            memory_peak_mb=0.6 * given.grant.memory_mb,
            bytes_out=sum(one.size_bytes for one in run.fate.made),
        ),
        published=() if run.fate.is_crash else tuple(run.fate.made),
    )
