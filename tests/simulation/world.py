"""One seeded world: the shipped central, client and pilots on a simulated machine park.

A seed draws a swarm of faults. They stop at FAULTS_S; afterwards every job must end.
"""

import asyncio
import hashlib
import random
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from pilotage.central.settings import (
    CommunitySettings,
    LeaseSettings,
    MatcherSettings,
    Settings,
    TokenSettings,
)
from pilotage.central.store.errors import StoreBroken, StoreFull
from pilotage.matcher.rules import RunningLimit, StartLimit
from pilotage.proto.messages import Assignment
from tests.fake_pilot import Script
from tests.virtual import START_S

from .aimed import Aimed
from .api_process import WORLDS
from .bus import Broker
from .central import CentralHost
from .cluster import Cluster
from .graphs import Graphs
from .invariants import Invariants
from .leaders import LeaderTroubles
from .network import Network
from .outages import Outages, only_outages, without_faults
from .pilots import Life, Node, Pilots
from .processes import Host, HostLoop, Killed, Process, Spins
from .quotas import quota_of
from .story import Story
from .swarm import Swarm, swarm
from .troubles import Troubles
from .truth import Truth
from .violation import Violation

FAULTS_S = 900.0
UP_WITHIN_S = 300.0  # a central answers, once the last job has ended
SITES = ("PIC", "CSCS", "DESY-Zeuthen")
ROUNDS_MAX = 10
POINT_EVERY = 150  # a process that may die at any point dies at about every so many
# Limits that bind, so that what counts for them is seen to be given back in the end.
LIMITED = MatcherSettings(
    running=(RunningLimit(where="PIC", by="type", value="User", most=2),),
    starts=(StartLimit(where="CSCS", by="group", value="dpps", per_s=0.02, burst=2),),
)


class World:
    """What a seed decides, and what has happened."""

    def __init__(
        self,
        loop: HostLoop,
        seed: int,
        *,
        verbose: bool = False,
        leaders: bool = False,
        outages: bool = False,
        apis: bool = True,
    ) -> None:
        self.loop, self.seed, self.chance = loop, seed, random.Random(seed)
        self.swarm: Swarm = swarm(self.chance)
        if outages and only_outages(seed):
            self.swarm = without_faults(self.swarm)
        self.quota = quota_of(seed)
        self.faults_s = FAULTS_S  # how long things may go wrong
        self.plays: Callable[[Assignment], Script] = plays  # what a payload does
        self.trace: list[str] = []
        self.digest = hashlib.blake2b(digest_size=16)
        self.verbose = verbose
        self.steps = 0  # of the loop, until the world was over
        self.is_calm = True  # until the central has answered for the first time
        self.calm_since = 0.0
        self.violation: Violation | None = None
        self._broken = asyncio.Event()
        chance, truth = self.chance, Truth()
        weather = replace(self.swarm.weather)
        self.network = Network(loop, random.Random(chance.random()), weather)
        self.broker = Broker(loop, self.network, Host("bus"))
        rate = chance.choice((1.0, 0.98, 1.02, 1.02, chance.uniform(0.98, 1.02)))
        self.central: CentralHost | Cluster = (Cluster if leaders else CentralHost)(
            loop,
            Host("central", rate),
            self.network,
            self.broker,
            self._settings(),
            random.Random(chance.random()),
            point=self.point,
        )
        self.pilots = Pilots(
            loop,
            self.network,
            self.broker,
            self.central.host,
            truth,
            random.Random(chance.random()),
            point=self.point,
            script=self.script,
        )
        self.nodes: list[Node] = []
        self.user = Host("user")
        self.graphs = Graphs(self)
        self.story = Story(self)
        self.aimed = Aimed(self)
        self.troubles = Troubles(self)
        self.leaders: LeaderTroubles | None = None
        self.has_api = False
        if isinstance(self.central, Cluster):
            drawn = random.Random(f"apis of world {seed}")
            self.has_api = apis and not outages and drawn.random() < WORLDS
            if self.has_api:
                self.central.add_api(drawn, self.user)
            self.leaders = LeaderTroubles(self, self.central)
        self.outages = Outages(self) if outages else None
        self.invariants = Invariants(self)
        disk = self.central.disk
        disk.point, disk.fails, disk.committed = self.point, self._store_fails, self._committed
        disk.broken, disk.queued = self._store_broken, self.aimed.queued
        loop.quiet = self._quiet

    def _settings(self) -> Settings:
        drawn = self.swarm
        return Settings(
            lease=LeaseSettings(lease_s=drawn.lease_s, watch_s=drawn.watch_s),
            token=TokenSettings(pilot_s=drawn.pilot_token_s),
            community=CommunitySettings(name="ctao", groups=("dpps",)),
            matcher=LIMITED if drawn.limits else MatcherSettings(),
            quota=self.quota,
        )

    # -- what happens -----------------------------------------------------------------------------

    def say(self, what: str) -> None:
        """Note what happens; the digest of all notes is the same for the same seed."""
        line = f"{self.loop.now - START_S:9.3f} {what}"
        self.trace.append(line)
        self.digest.update(line.encode())
        if self.verbose:
            print(line, flush=True)

    def has(self, fault: str) -> bool:
        """Whether a fault may happen now."""
        return not self.is_calm and fault in self.swarm.faults

    def broken(self, why: Violation) -> None:
        """Note the first violation; the world ends with it."""
        if self.violation is None:
            self.violation = why
            self.say(f"VIOLATION {why}")
            self._broken.set()

    def failed(self, context: dict[str, Any]) -> None:
        """A step that nobody waits for has failed; what tasks hold is looked at elsewhere."""
        why = context.get("exception")
        if isinstance(why, Violation):
            self.broken(why)
        elif "handle" in context and not isinstance(why, (Killed, type(None))):
            self.broken(Violation("failure", f"{context['message']}: {why!r}"))

    def point(self, process: Process, name: str) -> None:
        """A place where a process may die: around commits, requests, writes, messages."""
        if process.dead:
            raise Killed(name)
        if self.leaders is not None:
            self.leaders.point(process, name)
        is_central = process.name.startswith(("central", "api"))
        kind = "central_any_point" if is_central else "pilots_any_point"
        if self.has(kind) and self.chance.random() * POINT_EVERY < 1.0:
            self.say(f"{process.name} dies {name}")
            if is_central:
                self.central.member_of(process).kill(power=self.has("central_power"))
            else:
                process.kill()
            raise Killed(name)

    def script(self, life: Life, assignment: Assignment) -> Script:
        """A payload starts: say what it does."""
        now = self.loop.now
        self.say(f"{life.pilot.name}: job {assignment.job} epoch {assignment.epoch} starts")
        self.invariants.started(life, assignment)
        self.aimed.starts(life, assignment, now)
        return self.plays(assignment)

    def _store_fails(self, verb: str) -> BaseException | None:
        if self.has("store_fails") and self.chance.random() < 0.05:
            return StoreFull("a commit of the simulation fails")
        if self.has("answers_lost") and self.chance.random() < 0.01:
            return StoreBroken("the disk of the simulation does not answer")
        return None

    def _store_broken(self, process: Process) -> None:
        """The shipped store ends the process; here it lives for some steps, which must not hurt."""
        self.say("the answer of a commit is lost")
        process.fuse = self.chance.randint(0, 5)
        self.loop.at(self.loop.now + 0.05, None, process.kill)

    def _committed(self, verb: str, args: tuple[Any, ...], result: Any) -> None:
        self.invariants.committed(verb, args, result)
        self.aimed.committed(verb, args, result)
        if self.leaders is not None:
            self.leaders.committed(verb)
            if verb == "turn" and any(result[1]):
                self.leaders.matched()

    def _quiet(self) -> None:
        self.invariants.quiet()
        if self.leaders is not None:
            self.leaders.holds.quiet()

    # -- its life ---------------------------------------------------------------------------------

    async def live(self) -> None:
        """From the first start of the central to the end of the last job. Raises Violation."""
        self.say(f"seed {self.seed}: {', '.join(sorted(self.swarm.faults)) or 'no faults'}")
        tasks = [
            self.loop.create_task(one)
            for one in (
                self._guarded(self.story.run()),
                *self.troubles.all(),
                *(self.leaders.all() if self.leaders is not None else ()),
                *(self.outages.all() if self.outages is not None else ()),
                self._watch(),
            )
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                task.result()
        if self.violation is not None:
            raise self.violation

    async def _guarded(self, story: Coroutine[Any, Any, None]) -> None:
        await story
        await self._up()
        self.invariants.at_the_end()
        if self.outages is not None:
            self.outages.at_the_end()

    async def _up(self) -> None:
        """Wait for a central that answers: the last job may end while one takes over."""
        until = self.loop.now + UP_WITHIN_S
        while self.central.central is None:
            if self.loop.now > until:
                raise Violation("up", f"no central answers for {UP_WITHIN_S:.0f} s after the end")
            await asyncio.sleep(0.5)

    async def _watch(self) -> None:
        """End the world when a promise is broken in a step of somebody else."""
        await self._broken.wait()
        assert self.violation is not None
        raise self.violation

    def calm_s(self) -> float:
        """Return for how long nothing has gone wrong any more; 0 while something may."""
        return self.loop.now - self.calm_since if self.calm_since else 0.0

    @property
    def virtual_s(self) -> float:
        """How long the world has lived."""
        return self.loop.now - START_S

    def processes(self) -> list[Process]:
        """Return all that ever lived."""
        return [*self.central.lives, *self.pilots.processes]


def plays(assignment: Assignment) -> Script:
    """Return what the environment of a job says."""
    environment = assignment.body.environment
    return Script(
        duration_s=float(environment["S"]),
        exit_code=int(environment.get("X", "0")),
        stdout=environment.get("OUT", "").encode(),
        ignores_term="DEAF" in environment,
    )


def run(
    seed: int,
    *,
    verbose: bool = False,
    leaders: bool = False,
    outages: bool = False,
    apis: bool = True,
    prepare: Callable[[World], None] = lambda world: None,
) -> World:
    """Run one seed to its end and return its world. Raises Violation.

    With `leaders` two centrals share a database, and one of them leads; with `outages` something
    is away for hours. Some worlds of two leaders have an api process, unless `apis` is False.
    """
    loop = HostLoop(limit_s=50_000.0)
    world = World(loop, seed, verbose=verbose, leaders=leaders, outages=outages, apis=apis)
    loop.set_exception_handler(lambda _, context: world.failed(context))
    prepare(world)
    asyncio.set_event_loop(loop)
    try:
        try:
            loop.run_until_complete(world.live())
        except Spins as why:
            raise Violation("spins", str(why)) from None
        finally:
            loop.lift_limit()
            _end(loop, world)
    except Violation as why:
        why.world = world
        raise
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    return world


def _end(loop: HostLoop, world: World) -> None:
    """Let all tasks end, also those of processes that were killed.

    asyncio keeps its tasks in a set, ordered by their addresses: from here on the order of the
    steps differs from run to run, and nothing is judged any more.
    """
    world.steps = loop.steps
    world.is_calm = True
    world.violation = world.violation or Violation("over", "the world is over")
    for _ in range(ROUNDS_MAX):  # what ends may begin something
        loop.revive(world.processes())
        left = asyncio.all_tasks(loop)
        if not left:
            return
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.wait(left, timeout=10.0))
    raise AssertionError(f"these tasks do not end: {asyncio.all_tasks(loop)}")
