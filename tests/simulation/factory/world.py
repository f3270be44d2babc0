"""A seeded world of the factory: the shipped central and factory, two elements, two communities.

The central dies at any moment, also between a submission and its record, and comes back. For a
while things go wrong; then all is calm, and within a day everything must have ended: each job, each
row of a pilot, each batch job. At no time an element has more pilots than it may.
"""

import asyncio
import random
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

import msgspec

from pilotage.central.dispatch.demand import WaitingJobs
from pilotage.central.factory.element_watch import WatchedElement
from pilotage.central.factory.factory import Factory, FactoryConfig
from pilotage.central.factory.guarded_drivers import GuardedElement
from pilotage.central.factory.planning.plans import PlanBounds
from pilotage.central.factory.site_files.sites import ElementEntry, PilotEntry, Shape, SiteEntry
from pilotage.central.observe.events import no_log
from pilotage.central.pilots import record as pilot_records, record_slots as slot_records
from pilotage.central.settings import CommunitySettings, LeaseSettings, RetentionSettings, Settings
from pilotage.proto.api.jobs import JobFilter, Submission
from pilotage.proto.documents.job import Job, Need
from pilotage.proto.job_states import FINAL as ENDS, JobState
from pilotage.proto.messages import Assignment
from pilotage.proto.pilot_states import FINAL
from tests import virtual
from tests.fake_pilot import FakeProbe, Script
from tests.fakes import FakeInstallation

from .cluster import Cluster

COMMUNITIES: Final = ("ctao", "lst")
TROUBLE_S: Final = 2_400.0
CALM_S: Final = 86_400.0
LOOK_S: Final = 60.0
IN_ALL_MAX: Final = 9
ELEMENTS: Final = {"slurm": (4, 6, 4), "arc": (5, 7, 3)}  # slots, pilots_max, queued_max


@dataclass
class Outcome:
    """What became of a world."""

    seed: int
    broken: list[str] = field(default_factory=list[str])  # promises
    happened: Counter[str] = field(default_factory=Counter[str])
    took_s: float = 0.0  # until all had ended


class World:
    """One central at a time, and the elements, which stay."""

    def __init__(self, seed: int, *, hides_stamps: bool = False) -> None:
        self.outcome = Outcome(seed)
        self._chance = random.Random(seed)
        self._installation = FakeInstallation(seed=seed)
        self._installation.settings = Settings(
            lease=LeaseSettings(watch_s=5.0, lost_max=1_000),
            community=CommunitySettings(name=COMMUNITIES[0], others=COMMUNITIES[1:]),
            retention=RetentionSettings(lost_pilot_s=3_600.0, round_s=600.0),
        )
        self._struck = asyncio.Event()
        self._factory: asyncio.Task[None] | None = None
        self._clusters = {
            name: Cluster(
                name,
                random.Random(f"{seed} {name}"),
                slots=slots,
                pilots_max=pilots_max,
                queued_max=queued_max,
                start=self._pilot,
                strikes=self._struck.set,
                hides_stamps=hides_stamps,
            )
            for name, (slots, pilots_max, queued_max) in ELEMENTS.items()
        }

    async def run(self) -> Outcome:
        """Live through it all."""
        loop = asyncio.get_running_loop()
        await self._begin()
        await self._submit()
        going = [loop.create_task(one.run()) for one in self._clusters.values()]
        going.append(loop.create_task(self._deaths()))
        began = loop.time()
        await asyncio.sleep(TROUBLE_S)
        self._calm(going.pop())
        if self._installation.is_down:
            await self._begin()
        left = await self._until_all_has_ended(loop.time() + CALM_S)
        self.outcome.took_s = loop.time() - began
        self.outcome.broken += left
        for task in going:
            task.cancel()
        for one in self._clusters.values():
            self.outcome.broken += one.broken
            self.outcome.happened += one.happened
        await self._die()
        return self.outcome

    def _calm(self, deaths: asyncio.Task[None]) -> None:
        deaths.cancel()
        for one in self._clusters.values():
            one.is_calm, one.is_down_until = True, 0.0

    # -- the central ----------------------------------------------------------------------------

    async def _deaths(self) -> None:
        """Let the central die now and then, and when an element says so."""
        while True:
            wait_s = self._chance.expovariate(1 / 600.0)
            try:
                async with asyncio.timeout(wait_s):
                    await self._struck.wait()
            except TimeoutError:
                pass
            self._struck.clear()
            self.outcome.happened["central_died"] += 1
            await self._die()
            await asyncio.sleep(self._chance.uniform(1.0, 60.0))
            await self._begin()

    async def _die(self) -> None:
        factory, self._factory = self._factory, None
        if factory is not None:
            factory.cancel()
            await asyncio.wait([factory])
        await self._installation.kill()

    async def _begin(self) -> None:
        await self._installation.start()
        central = self._installation.central
        watched = [self._watched(name, one) for name, one in self._clusters.items()]

        async def elements() -> list[WatchedElement]:
            return watched

        factory = Factory(
            store=self._installation.store,
            work=WaitingJobs(central.memory.queue, central.memory.places, central.memory.pilots),
            crew=central.crew,
            elements=elements,
            clock=self._installation.clock,
            randomness=self._installation.randomness,
            log=no_log,
            config=FactoryConfig(
                COMMUNITIES,
                "https://central",
                "",
                bounds=PlanBounds(20, IN_ALL_MAX),
            ),
        )
        self._factory = asyncio.get_running_loop().create_task(factory.run())

    def _watched(self, name: str, cluster: Cluster) -> WatchedElement:
        _, pilots_max, queued_max = ELEMENTS[name]
        entry = ElementEntry(
            kind="fake",
            pilots_max=pilots_max,
            queued_max=queued_max,
            shapes=(Shape(memory_mb=4_000),),
            pilot=PilotEntry(os="debian13", idle_s=120.0),
        )
        site = SiteEntry(elements={name: entry}, communities={"ctao": 2.0, "lst": 1.0})
        return WatchedElement("PIC", name, site, entry, GuardedElement(cluster))

    async def _pilot(self, secret: str) -> int:
        probe = FakeProbe(host=f"wn{self._chance.randrange(4)}")
        one = self._installation.pilot_with(secret, probe=probe, script=_lasts, idle_s=120.0)
        agent = one.agent()
        try:
            return await agent.run()
        finally:
            one.guard.die()  # nothing of a batch job outlives it

    # -- jobs, and what is left -----------------------------------------------------------------

    async def _submit(self) -> None:
        body = msgspec.Raw(msgspec.json.encode(Job(command=("run",), needs=(Need(wall_s=3_600),))))
        for community in COMMUNITIES:
            caller = msgspec.structs.replace(
                self._installation.user(), community=community, groups=("users",)
            )
            new = Submission(key=uuid.uuid4().hex, jobs=[body] * self._chance.randint(10, 50))
            submissions = self._installation.central.services.submissions
            await submissions.submit(caller, new, body_hash=new.key)

    async def _until_all_has_ended(self, until: float) -> list[str]:
        while True:
            left = await self._left()
            if not left or asyncio.get_running_loop().time() > until:
                return left
            await asyncio.sleep(LOOK_S)

    async def _left(self) -> list[str]:
        left: list[str] = []
        queries = self._installation.central.services.queries
        jobs = (await queries.search(self._installation.user(), JobFilter(), 0, 1_000)).jobs
        left += [f"job {one.id} is {one.state.value}" for one in jobs if one.state not in ENDS]
        left += [f"job {one.id}: {one.reason}" for one in jobs if one.state is JobState.FAILED]
        store = self._installation.store
        rows = await store.read(pilot_records.pilots, None, states=(), after="", limit=10_000)
        left += [
            f"pilot {one.pilot} is {one.state.value}" for one in rows if one.state not in FINAL
        ]
        left += [f"pilot {one.pilot} has no reason" for one in rows if not one.reason]
        kept = await store.read(slot_records.kept_slots, after="", limit=10_000)
        left += [f"{one.pilot} is looked for at {one.element}" for one in kept]
        left += [
            f"{one.there()} pilots are at {name}"
            for name, one in self._clusters.items()
            if one.there()
        ]
        return left


def _lasts(assignment: Assignment) -> Script:
    return Script(duration_s=50.0 + 37 * assignment.job % 250)


def run(seed: int, *, hides_stamps: bool = False) -> Outcome:
    """Return what became of the world of a seed. `hides_stamps`: its elements find no pilot."""

    async def whole() -> Outcome:
        return await World(seed, hides_stamps=hides_stamps).run()

    return virtual.run(whole(), limit_s=10 * CALM_S)
