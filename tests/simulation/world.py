"""One seeded world: the shipped central and pilots on fakes, and what goes wrong in it.

A seed turns on a random subset of faults. They stop at FAULTS_S; afterwards every job must end.
"""

import asyncio
import random
import uuid
from dataclasses import dataclass, field

import msgspec

from pilotage.pilot.ports import HttpReply, NoReply
from pilotage.proto.api import Action, ActionName, JobFilter, Submission
from pilotage.proto.job import Job, Need
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.messages import Assignment
from tests.fake_pilot import FakeGuard, FakePilot, FakeProbe, Script
from tests.fakes import FakeInstallation

FAULTS_S = 1_500.0
END_S = 12_000.0
LEASE_S = 120.0
FAULTS = (
    "lost_requests",
    "lost_replies",
    "slow_replies",
    "cut_pilots",
    "cut_when_it_starts",
    "bus_down",
    "bus_loss",
    "central_killed",
    "pilots_killed",
    "full_store",
    "kills",
)


class Violation(Exception):
    """A promise was broken; the message says which."""


@dataclass
class World:
    """What a seed decides, and what has happened."""

    seed: int
    faults: frozenset[str]
    chance: random.Random
    installation: "_Installation"
    jobs: list[int] = field(default_factory=list[int])
    killed: set[int] = field(default_factory=set[int])
    guards: list[FakeGuard] = field(default_factory=list[FakeGuard])
    trace: list[str] = field(default_factory=list[str])

    def say(self, what: str) -> None:
        self.trace.append(f"{asyncio.get_running_loop().time():9.2f} {what}")

    @property
    def faulty(self) -> bool:
        """Whether faults still happen."""
        return asyncio.get_running_loop().time() < 1_000.0 + FAULTS_S

    def has(self, fault: str) -> bool:
        return fault in self.faults and self.faulty


async def live(seed: int) -> World:
    """Run one seed to its end. Raises Violation."""
    chance = random.Random(seed)
    faults = frozenset(fault for fault in FAULTS if chance.random() < 0.5)
    world = World(seed, faults, chance, _Installation(seed))
    world.installation.world = world
    world.say(f"seed {seed}: {', '.join(sorted(faults)) or 'no faults'}")
    await world.installation.start()
    lives = [
        asyncio.get_running_loop().create_task(_pilot(world, site))
        for site in ("PIC", "CSCS", "DESY-Zeuthen")
    ]
    troubles = [
        asyncio.get_running_loop().create_task(trouble(world))
        for trouble in (_central, _bus, _cuts, _full, _kills)
    ]
    story = asyncio.get_running_loop().create_task(_story(world))
    try:
        await asyncio.wait([story, *lives, *troubles], return_when=asyncio.FIRST_COMPLETED)
        for task in (story, *lives, *troubles):
            if task.done():
                task.result()  # a part of the world that breaks is no part of the story
        assert story.done(), "pilots and troubles go on for ever"
    finally:
        story.cancel()
        for task in (*lives, *troubles):
            task.cancel()
        await asyncio.wait([*lives, *troubles])
        await world.installation.kill()
    return world


async def _story(world: World) -> None:
    await _submit(world)
    await _until_all_end(world)
    await _check(world)


class _Installation(FakeInstallation):
    """Between pilots and central lies a network that the seed rules."""

    world: World

    def __init__(self, seed: int) -> None:
        super().__init__(lease_s=LEASE_S, seed=seed)
        self.broker.fate = self._fate

    def _fate(self, topic: str, payload: bytes) -> int:
        if self.world.has("bus_loss") and self.world.chance.random() < 0.3:
            return self.world.chance.choice((0, 0, 2))
        return 1

    async def ask(self, method: str, path: str, body: bytes, token: str) -> HttpReply:
        world, chance = self.world, self.world.chance
        if world.has("lost_requests") and chance.random() < 0.15:
            await asyncio.sleep(chance.uniform(0, 30))
            raise NoReply("the request was lost")
        reply = await super().ask(method, path, body, token)
        if world.has("slow_replies") and chance.random() < 0.1:
            await asyncio.sleep(chance.uniform(0, 40))
        if world.has("lost_replies") and chance.random() < 0.15:
            await asyncio.sleep(chance.uniform(0, 30))
            raise NoReply("the reply was lost")
        return reply


async def _until_it_takes(world: World) -> None:
    """Return when the central stands and has room."""
    down = world.installation
    while down.is_down or down.store.full:  # noqa: ASYNC110 - virtual seconds cost nothing
        await asyncio.sleep(1.0)


# -- what happens by itself ---------------------------------------------------------------------


async def _pilot(world: World, site: str) -> None:
    """One pilot; killed ones come back from their journal, or as another pilot."""
    chance = world.chance

    def script(assignment: Assignment) -> Script:
        if world.has("cut_when_it_starts") and chance.random() < 0.3:
            world.say(f"{site}: cut off as job {assignment.job} starts")
            pilot.http.cut = True
        return Script(duration_s=float(assignment.body.environment["S"]))

    await _until_it_takes(world)
    pilot = await world.installation.pilot(site, probe=FakeProbe(cores_all=4), script=script)
    while True:
        agent = pilot.agent()
        world.guards.append(pilot.guard)
        task = asyncio.get_running_loop().create_task(agent.run())
        try:
            await _wait_or_die(world, pilot, task, site)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait([task])
        await asyncio.sleep(chance.uniform(1, 200))
        if chance.random() < 0.3 or task.done():
            await _until_it_takes(world)
            pilot = await world.installation.pilot(
                site, probe=FakeProbe(cores_all=4), script=script
            )


async def _wait_or_die(
    world: World, pilot: FakePilot, task: "asyncio.Task[int]", site: str
) -> None:
    while not task.done():
        await asyncio.wait([task], timeout=10.0)
        if world.has("pilots_killed") and world.chance.random() < 0.01:
            world.say(f"{site}: pilot killed")
            pilot.guard.die()
            return


async def _submit(world: World) -> None:
    for _ in range(world.chance.choice((1, 3))):
        jobs: list[msgspec.Raw] = []
        for _ in range(world.chance.randint(1, 5)):
            job = Job(
                command=("run",),
                environment={"S": f"{world.chance.uniform(5, 500):.1f}"},
                needs=(Need(wall_s=3_600, cores_min=world.chance.choice((1, 1, 2))),),
            )
            jobs.append(msgspec.Raw(msgspec.json.encode(job)))
        await _until_it_takes(world)
        made = await world.installation.central.services.submissions.submit(
            world.installation.user(),
            Submission(key=uuid.UUID(int=world.chance.getrandbits(128)).hex, jobs=jobs),
            body_hash="x",
        )
        world.jobs += [n for one in made.ids for n in range(one.first, one.first + one.count)]
        await asyncio.sleep(world.chance.uniform(0, 300))


async def _central(world: World) -> None:
    while True:
        await asyncio.sleep(world.chance.uniform(50, 800))
        if world.has("central_killed"):
            world.say("central killed")
            await world.installation.kill()
            await asyncio.sleep(world.chance.choice((1.0, 30.0, 300.0)))
            await world.installation.start()
            world.say("central started")


async def _bus(world: World) -> None:
    while True:
        await asyncio.sleep(world.chance.uniform(50, 500))
        if world.has("bus_down"):
            world.say("bus down")
            world.installation.broker.cut()
            await asyncio.sleep(world.chance.choice((1.0, 60.0, 400.0)))
            world.installation.broker.heal()


async def _cuts(world: World) -> None:
    while True:
        await asyncio.sleep(world.chance.uniform(20, 300))
        for pilot in world.installation.pilots:
            if pilot.http.cut:
                pilot.http.cut = world.faulty and world.chance.random() < 0.3
            elif world.has("cut_pilots") and world.chance.random() < 0.2:
                world.say("a pilot is cut off")
                pilot.http.cut = True


async def _full(world: World) -> None:
    while True:
        await asyncio.sleep(world.chance.uniform(50, 400))
        if world.has("full_store") and world.jobs:
            world.say("store full")
            world.installation.store.full = True
            await asyncio.sleep(world.chance.uniform(1, 60))
            world.installation.store.full = False


async def _kills(world: World) -> None:
    while True:
        await asyncio.sleep(world.chance.uniform(50, 600))
        if not world.has("kills") or not world.jobs:
            continue
        await _until_it_takes(world)
        job = world.chance.choice(world.jobs)
        reply = await world.installation.central.services.control.act(
            world.installation.user(), Action(action=ActionName.KILL, ids=(job,))
        )
        if reply.done:
            world.say(f"kill of job {job} acknowledged")
            world.killed.add(job)


# -- what must hold -----------------------------------------------------------------------------


async def _states(world: World) -> dict[int, JobState]:
    page = await world.installation.central.services.queries.search(
        world.installation.user(), JobFilter(), 0, 1_000
    )
    return {job.id: job.state for job in page.jobs}


async def _until_all_end(world: World) -> None:
    loop = asyncio.get_running_loop()
    while loop.time() < 1_000.0 + END_S:
        await asyncio.sleep(10.0)
        if world.installation.is_down or world.faulty:
            continue
        states = await _states(world)
        if states.keys() != set(world.jobs):
            raise Violation(f"acknowledged {sorted(world.jobs)}, stored {sorted(states)}")
        if all(state in FINAL or state is JobState.HELD for state in states.values()):
            return
    raise Violation(f"not all jobs end: {await _states(world)}")


async def _check(world: World) -> None:
    job_of: dict[int, int] = {}
    store, states = world.installation.store, await _states(world)
    for job in world.jobs:
        attempts = await store.attempts(job)
        job_of |= {attempt.attempt_id: job for attempt in attempts}
        epochs = [attempt.epoch for attempt in attempts]
        if epochs != list(range(1, len(epochs) + 1)):
            raise Violation(f"job {job}: epochs {epochs}")
        results = [attempt for attempt in attempts if attempt.usage is not None]
        if states[job] is JobState.DONE and len(results) != 1:
            raise Violation(f"job {job} is Done with {len(results)} results")
        if job in world.killed and states[job] is not JobState.KILLED:
            raise Violation(f"job {job} was killed and is {states[job].value}")
    _check_overlap(world, job_of)


def _check_overlap(world: World, job_of: dict[int, int]) -> None:
    """No two attempts of a job computed at the same time."""
    runs = sorted(
        (job_of[attempt], begin, end, attempt)
        for guard in world.guards
        for attempt, begin, end in guard.runs
    )
    for (job, _, end, one), (other, begin, _, two) in zip(runs, runs[1:], strict=False):
        if job == other and one != two and begin < end - 1e-6:
            raise Violation(f"job {job}: attempts {one} and {two} ran at once, from {begin:.2f} on")
