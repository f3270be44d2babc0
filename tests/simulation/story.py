"""What people do in a simulated world: they submit, act on jobs, and wait. All by the client."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import httpx

from pilotage.central.client.client import AsyncClient
from pilotage.central.client.errors import ClientError, IllegalState, OverQuota
from pilotage.proto.api.jobs import ActionName, JobView
from pilotage.proto.api.pilots import SecretRequest
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import FINAL, JobState
from pilotage.proto.pilot_states import LIVING

from . import quotas
from .clocks import ClientPace
from .transport import Transport
from .violation import Violation

if TYPE_CHECKING:
    from .world import World

T = TypeVar("T")

FAULTS_S = 900.0
ENDS_WITHIN_S = 3_000.0  # after the last fault: leases, and the jobs one after another
AGAIN_S = 5.0
REQUEST_S = 30.0
COUNTED_S = 3.0  # an api process learns within 2 s of jobs that have ended
DRAINS = 0.3  # of all worlds
CHANGES = 0.2  # the same
INSTALLED_S = 86_400.0
MEMORY_MB = {2: 9_000}  # by cores: more than half of a node's, so that its owner pays for more


class Story:
    """The people of a world, and what they were promised."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.client: AsyncClient = None  # type: ignore[assignment]
        self.submitted: dict[str, list[int]] = {}  # acknowledged: key → ids
        self.tried: set[str] = set()
        self.killed: dict[int, float] = {}  # acknowledged, and since when
        self.kill_sent: set[int] = set()
        self.released: set[int] = set()
        self.rescheduled: Counter[int] = Counter()  # how often it was asked
        self._acts = 0
        self.delete_sent: set[int] = set()  # a late copy may still find the job ended
        self.drained: dict[str, float] = {}  # pilots: acknowledged, and since when

    @property
    def jobs(self) -> list[int]:
        """All jobs that were acknowledged."""
        return [job for ids in self.submitted.values() for job in ids]

    async def run(self) -> None:
        """From the first start to the end of the last job."""
        world = self._world
        world.central.host.wall_jump_s = -INSTALLED_S  # people have had their tokens for some time
        world.central.start()
        await world.central.came_up.wait()
        world.central.host.wall_jump_s = 0.0
        self.client = AsyncClient(
            "http://central",
            world.central.admin_token(),
            http=Transport(
                world.network, world.user, lambda _: world.central.host, timeout_s=REQUEST_S
            ),
            pace=ClientPace(world.loop, world.chance),
        )
        world.troubles.begin()
        await asyncio.gather(self._submit_all(), self._act(), self._let_go(), self._change_needs())
        await world.troubles.over.wait()
        await self._until_all_end()

    async def answered(
        self,
        ask: Callable[[], Awaitable[T]],
        gives_up: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> T:
        """Ask until there is an answer; refusals are asked again, but for some."""
        while True:
            try:
                return await ask()
            except gives_up:
                raise
            except (ClientError, httpx.HTTPError):
                await asyncio.sleep(AGAIN_S)

    async def secret(self, site: str) -> str:
        made = await self.answered(lambda: self.client.secrets(SecretRequest(site=site)))
        return made.secrets[0].secret

    # -- jobs -------------------------------------------------------------------------------------

    async def _submit_all(self) -> None:
        chance = self._world.chance
        for number in range(chance.choice((1, 2, 3))):
            await asyncio.sleep(chance.uniform(0, 300) if number else 0.0)
            key = f"key-{number}"
            jobs = [self._job(number, place) for place in range(chance.randint(1, 4))]
            jobs = self._world.graphs.linked(jobs, self.jobs)
            await self._submit(key, jobs)
            if chance.random() < 0.3:  # as a script does that was started twice
                await asyncio.sleep(chance.uniform(0, 100))
                await self._submit(key, jobs)

    async def _submit(self, key: str, jobs: list[Job]) -> None:
        self.tried.add(key)
        try:
            handle = await self.answered(lambda: self.client.submit(jobs, key=key), OverQuota)
        except OverQuota as why:
            self._world.say(f"{key} is over quota: {why}")
            return
        ids = list(handle.ids())
        known = self.submitted.setdefault(key, ids)
        self._world.say(f"{key}: jobs {ids}")
        if known != ids or len(ids) != len(jobs):
            raise Violation("one row per key", f"{key}: jobs {known}, then {ids}")

    def _job(self, number: int, place: int) -> Job:
        drawn, chance = self._world.swarm, self._world.chance
        seconds = chance.uniform(20, 400)
        if drawn.long_job and number == 0 and place == 0:
            seconds = 100_000.0
        environment = {"S": f"{seconds:.1f}"}
        if chance.random() < 0.3:
            environment["OUT"] = "word " * chance.randint(1, 20)
        if chance.random() < 0.2:
            environment["DEAF"] = "to soft signals"
        if drawn.failing_jobs and chance.random() < 0.4:
            environment["X"] = "1"
        cores = chance.choice((1, 2, 4)) if drawn.wide_jobs else 1
        return Job(
            command=("run",),
            environment=environment,
            retries=chance.choice((0, 0, 2)),
            needs=(Need(wall_s=200_000, cores_min=cores, memory_mb=MEMORY_MB.get(cores, 0)),),
        )

    # -- actions ----------------------------------------------------------------------------------

    async def _act(self) -> None:
        world, chance = self._world, self._world.chance
        kinds = {
            "kills": ActionName.KILL,
            "holds": ActionName.HOLD,
            "reschedules": ActionName.RESCHEDULE,
            "deletes": ActionName.DELETE,
            "priorities": ActionName.PRIORITY,
        }
        able = [name for fault, name in kinds.items() if fault in world.swarm.faults]
        if world.aimed.has_late_actions:
            able += [ActionName.RESCHEDULE, ActionName.KILL]
        while able and not world.troubles.are_over:
            await asyncio.sleep(chance.uniform(20, 250))
            if self.jobs and not world.troubles.are_over:
                await self.act(chance.choice(able), chance.choice(self.jobs))

    async def act(self, name: ActionName, job: int) -> None:
        """Do something to a job until it is acknowledged, or refused for good."""
        world = self._world
        if name is ActionName.KILL:
            self.kill_sent.add(job)
        if name is ActionName.RELEASE:
            self.released.add(job)
        if name is ActionName.DELETE:
            self.delete_sent.add(job)
        if name is ActionName.RESCHEDULE and job in self.kill_sent:
            return  # what is killed stays killed in these worlds
        if name is ActionName.RESCHEDULE:
            self.rescheduled[job] += 1
        self._acts += 1
        key = f"act-{self._acts}"
        priority = world.chance.randint(0, 10) if name is ActionName.PRIORITY else None
        reply = await self.answered(
            lambda: self.client.act(name, (job,), priority=priority, key=key)
        )
        world.say(f"{name.value} of job {job}: {'done' if reply.done else 'unchanged or refused'}")
        if name is ActionName.KILL and (reply.done or reply.unchanged):
            self.killed.setdefault(job, world.loop.now)

    # -- pilots -----------------------------------------------------------------------------------

    async def _let_go(self) -> None:
        """In some worlds an operator drains pilots. Drawn apart: all else stays as it was."""
        world = self._world
        chance = random.Random(f"pilots of world {world.seed}")
        if chance.random() > DRAINS:
            return
        while True:
            await asyncio.sleep(chance.uniform(50.0, 400.0))
            if world.troubles.are_over:
                return
            names = await self.answered(self._living)
            if names and not world.troubles.are_over:
                await self._drain(chance.choice(names))

    async def _change_needs(self) -> None:
        """In some worlds a person changes needs of jobs. Drawn apart, as above."""
        world = self._world
        chance = random.Random(f"needs of world {world.seed}")
        if chance.random() > CHANGES:
            return
        number = 0
        while True:
            await asyncio.sleep(chance.uniform(30.0, 200.0))
            if world.troubles.are_over:
                return
            if self.jobs:
                job, number = chance.choice(self.jobs), number + 1
                await self._change(job, {"wall_s": 199_000 + chance.randrange(3)}, f"set-{number}")

    async def _change(self, job: int, needs: dict[str, int], key: str) -> None:
        reply = await self.answered(
            lambda: self.client.act(ActionName.SET, (job,), needs=needs, key=key)
        )
        self._world.say(f"needs of job {job}: {'changed' if reply.done else 'as they were'}")

    async def _living(self) -> list[str]:
        return [pilot.id async for pilot in self.client.pilots(states=LIVING)]

    async def _drain(self, pilot: str) -> None:
        try:
            await self.answered(lambda: self.client.drain(pilot), gives_up=IllegalState)
        except IllegalState:
            return  # it is lost or has ended
        self._world.say(f"{pilot} is to drain")
        self.drained.setdefault(pilot, self._world.loop.now)

    # -- the end ----------------------------------------------------------------------------------

    async def _until_all_end(self) -> None:
        """Release what is held, kill what only a kill ends, and see all jobs end."""
        world = self._world
        until = world.loop.now + ENDS_WITHIN_S
        if world.swarm.long_job and "key-0" in self.submitted:
            await self.act(ActionName.KILL, self.submitted["key-0"][0])
        while world.loop.now < until:
            await asyncio.sleep(20.0)
            views = await self._views()
            left = [job for job, view in views.items() if view.state not in FINAL]
            if not left:
                if world.has_api:
                    await self.answered(self._living)  # which only a leader can tell
                    await asyncio.sleep(COUNTED_S)
                usage = await self.answered(self.client.usage)
                quotas.over(world.central.disk.rows, usage)
                return
            for job in left:
                if views[job].state is JobState.HELD:
                    await self.act(ActionName.RELEASE, job)
        states = {job: view.state.value for job, view in (await self._views()).items()}
        raise Violation("not all jobs end", str(states))

    async def _views(self) -> dict[int, JobView]:
        page = await self.answered(lambda: self.client.page(limit=1_000))
        views = {view.id: view for view in page.jobs}
        missing = set(self.jobs) - views.keys() - self.delete_sent
        if missing:
            raise Violation("acknowledged jobs are gone", str(sorted(missing)))
        return views
