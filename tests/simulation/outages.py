"""Outages of hours: the central, the network, the bus, the disk or the database is away.

Half of these worlds have no other fault. In them the bounds of P10 are exact: after an outage of
less than two hours every attempt that ran ends with its own result; after a longer one, payloads
that were frozen for two hours are killed, and each job runs in one more attempt. The other half has
the faults of its swarm as well, and keeps the general promises.
"""

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pilotage.central.jobs.record_types import AttemptResult
from pilotage.pilot.guard_link import FROZEN_MAX_S
from pilotage.proto.messages import How

from .cluster import Cluster
from .violation import Violation

if TYPE_CHECKING:
    from .guard import Payload
    from .swarm import Swarm
    from .world import World

LONGEST_S = 4 * 3_600.0
MARGIN_S = (
    400.0  # between an outage and FROZEN_MAX_S: a fence moves by 0.8 of a lease, clocks drift
)
LOOK_S, LOOKS_MAX = 5.0, 150  # for payloads that run
SLOTS_MAX = 200  # nodes that a world may have
KINDS = ("central", "network", "bus", "disk")
LED_KINDS = ("central", "network", "bus", "database")  # of worlds of two leaders
FREEZES = frozenset({"central", "network", "database"})
# A pilot that is cut off alone may lose its attempt to another one: that is promised of no network.
KEEPS = frozenset({"central", "bus", "disk", "database"})


def only_outages(seed: int) -> bool:
    """Return whether a world has no other fault."""
    return random.Random(f"kind of outage world {seed}").random() < 0.5


def without_faults(drawn: "Swarm") -> "Swarm":
    """Return a swarm in which nothing else goes wrong."""
    weather = replace(drawn.weather, loss=0.0, copies=0.0, slow_s=0.0)
    return replace(drawn, faults=frozenset(), weather=weather, long_job=False)


@dataclass(frozen=True)
class _Ran:
    """An attempt whose payload ran when the outage began."""

    payload: "Payload"
    job: int
    epoch: int


class Outages:
    """The one outage of a world. It is drawn apart: all else is as without it."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._chance = chance = random.Random(f"outage of world {world.seed}")
        self.is_alone = only_outages(world.seed)
        self.kind = chance.choice(LED_KINDS if isinstance(world.central, Cluster) else KINDS)
        self.is_long = chance.random() < 0.5
        self.seconds = (
            chance.uniform(FROZEN_MAX_S + MARGIN_S, LONGEST_S)
            if self.is_long
            else chance.uniform(600.0, FROZEN_MAX_S - MARGIN_S)
        )
        self.over = asyncio.Event()
        self._is_on = False
        self._ran: list[_Ran] = []
        self._frozen: list[_Ran] = []
        self._results: dict[tuple[int, int], How] = {}

    async def run(self) -> None:
        """Begin once payloads run, end after some hours; never return."""
        world, chance = self._world, self._chance
        await world.troubles.begun.wait()
        await asyncio.sleep(chance.uniform(20.0, 120.0))
        for _ in range(LOOKS_MAX):
            if world.pilots.truth.running:
                break
            await asyncio.sleep(LOOK_S)
        world.say(f"outage: {self.kind} for {self.seconds:.0f} s")
        self._ran = [
            _Ran(payload, payload.assignment.job, payload.assignment.epoch)
            for life in world.pilots.lives
            for payload in life.guard.mine.values()
            if payload.run is not None
        ]
        self._begin()
        await asyncio.sleep(self.seconds)
        self._look()
        self._end()
        world.say("outage: over")
        self.over.set()
        await asyncio.get_running_loop().create_future()

    def all(self) -> list[Coroutine[Any, Any, None]]:
        """Return all loops; none ends before the world does."""
        return [self.run()]

    async def until_it_may_start(self) -> None:
        """Keep a central down while the outage is one of the central."""
        if self._is_on and self.kind == "central":
            await self.over.wait()

    def _begin(self) -> None:
        world = self._world
        self._is_on = True
        if self.kind == "central":
            for member in world.central.members:
                member.kill()
        elif self.kind == "network":
            for number in range(1, SLOTS_MAX + 1):
                world.network.cut(f"wn{number}", "*", self.seconds)
        elif self.kind == "bus":
            world.broker.crash()
        elif self.kind == "disk":
            world.central.disk.full = True
        elif isinstance(world.central, Cluster):
            world.network.cut(world.central.database.host.name, "*", self.seconds)

    def _end(self) -> None:
        self._is_on = False
        if self.kind == "bus":
            self._world.broker.begin()
        elif self.kind == "disk":
            self._world.central.disk.full = False

    # -- what must hold ---------------------------------------------------------------------------

    def committed(self, end: AttemptResult) -> None:
        """A result counts."""
        self._results[end.job_id, end.epoch] = end.how

    def _look(self) -> None:
        """The outage ends now: payloads that could not be renewed stand still, or are dead."""
        now = self._world.loop.now
        for one in self._ran:
            held = one.payload.held
            if held.frozen_at is not None and one.payload.left_s > 0:
                self._frozen.append(one)
        for life in self._world.pilots.lives:
            for payload in life.guard.mine.values():
                at = payload.held.frozen_at
                host_now = life.node.host.boottime(now)
                if self.is_alone and at is not None and host_now - at > FROZEN_MAX_S + 60.0:
                    raise Violation("outage", f"{payload.held.attempt_id} is frozen and not killed")

    def at_the_end(self) -> None:
        """All jobs have ended. Raises Violation."""
        if not self.is_alone:
            return
        story = self._world.story
        moved = set(story.killed) | story.kill_sent | set(story.rescheduled) | story.delete_sent
        for one in self._ran:
            if one.job not in moved:
                self._ended_right(one)

    def _ended_right(self, one: _Ran) -> None:
        name, how = f"job {one.job} epoch {one.epoch}", self._results.get((one.job, one.epoch))
        if self.is_long and one in self._frozen:
            if how is How.EXITED:
                raise Violation("outage", f"{name} was frozen for hours, and its result counts")
            if not self._has_run_again(one):
                raise Violation("outage", f"{name} was killed, and its job did not run again")
        elif self.kind in KEEPS and how is not How.EXITED:
            raise Violation(
                "outage", f"{name} ran as the {self.kind} went, and its result is {how}"
            )

    def _has_run_again(self, one: _Ran) -> bool:
        return (one.job, one.epoch + 1) in self._results
