"""The factory over simulated elements: how long a plan takes, how fast many slots are filled."""

import asyncio
import random
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pilotage.central.factory.element import (
    PilotOutput,
    PilotRequest,
    Slot,
    SlotState,
    SubmitResult,
)
from pilotage.central.factory.element_watch import WatchedElement
from pilotage.central.factory.factory import Factory, FactoryConfig
from pilotage.central.factory.planning.pilot_activity import NoLivePilots, PilotActivity, state_of
from pilotage.central.factory.planning.pilot_demand import PilotDemand
from pilotage.central.factory.planning.plans import PlanBounds, plan
from pilotage.central.factory.reconciliation import ReconcileResult
from pilotage.central.factory.site_files.sites import ElementEntry, PilotEntry, Shape, SiteEntry
from pilotage.central.factory.start_script import END
from pilotage.central.identity.secret_hashes import hashed
from pilotage.central.operate.clocks import SystemClock, SystemRandomness
from pilotage.central.pilots import record as pilot_records
from pilotage.central.pilots.record_types import Registration
from pilotage.central.settings import FactorySettings
from pilotage.central.store.engine import Store
from pilotage.central.store.sqlite import open_sqlite
from pilotage.matcher.clauses.clause import Clauses
from pilotage.matcher.clauses.clause_table import table
from pilotage.matcher.types import Ceiling, ClassSpec
from pilotage.proto.documents.job import Need

from . import factory_slurm
from .figures import Figure, figure, percentile

NAME = "factory"
ROUNDS_MAX = 20
WORK = (
    "*Plan* distributes 10,000 classes of jobs over 1,000 elements. *Fill* submits pilots to 100 "
    "simulated elements with 55 slots each."
)
BOUND = (
    "The pause between two rounds limits the filling. With more cores on paper, the gain over "
    "`sbatch` shrinks, because all daemons share two cores."
)


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    elements: int = 1_000
    classes: int = 10_000
    plans: int = 9
    filled: int = 100  # elements
    slots: int = 55  # of each
    every_s: float = FactorySettings().every_s
    pilot_sh: int = 8_000  # bytes


FULL = Scale()


def run() -> tuple[str, list[Figure]]:
    """Measure at full scale, then on a real Slurm where this machine has one."""
    return f"{WORK} {factory_slurm.WORK}", [*measure(FULL), *factory_slurm.measure()]


def measure(scale: Scale) -> list[Figure]:
    """Measure all rows."""
    return [*plans(scale), *asyncio.run(_filled(scale))]


class Waiting:
    """Jobs that wait, and places that nobody holds."""

    def __init__(self, work: Iterable[tuple[ClassSpec, int]]) -> None:
        self.jobs = list(work)
        self._clauses = table({})

    def waiting(self) -> Iterable[tuple[ClassSpec, int]]:
        return self.jobs

    def ceilings(self, spec: ClassSpec) -> Sequence[Ceiling]:
        return ()

    def clauses(self) -> Clauses:
        return self._clauses

    def is_banned(self, site: str, element: str) -> bool:
        return False

    def is_draining(self, site: str, element: str) -> bool:
        return False


# -- planning --------------------------------------------------------------------------------------


def plans(scale: Scale) -> list[Figure]:
    """Measure plans of a factory that knows nothing yet, and of one that has planned before."""
    chance = random.Random(6)
    watched = [_any_element(chance, number) for number in range(scale.elements)]
    work = Waiting(
        (_a_class(chance, number, scale.elements), chance.randint(1, 20))
        for number in range(scale.classes)
    )
    cold = sorted(_plan(watched, PilotDemand(work, ("ctao",))) for _ in range(scale.plans))
    outlook = PilotDemand(work, ("ctao",))
    warm = sorted(_plan(watched, outlook) for _ in range(scale.plans))
    of = f"{scale.elements} elements, {scale.classes} classes"
    return [
        figure(NAME, f"plan, {of}", 1e3 * percentile(cold, 0.5), "ms"),
        figure(NAME, f"plan again, {of}", 1e3 * percentile(warm, 0.5), "ms"),
    ]


def _plan(watched: Sequence[WatchedElement], outlook: PilotDemand) -> float:
    """Return how long one plan takes, as a round of the factory makes it."""
    staff = PilotActivity(NoLivePilots(), _no_log)
    began = time.perf_counter()
    outlook.look(watched)
    demands = outlook.demands()
    staff.look(watched, outlook.places, 0.0)
    found = plan(
        staff.places(watched, outlook.places, 0.0),
        [state_of(one, 0.0, communities=("ctao",)) for one in watched],
        demands,
        PlanBounds(submit_max=FactorySettings().submit_max),
    )
    took_s = time.perf_counter() - began
    assert found.submit, "nothing was planned"
    return took_s


def _a_class(chance: random.Random, number: int, elements: int) -> ClassSpec:
    sites = [f"S{chance.randrange(max(1, elements // 4))}" for _ in range(chance.choice([0, 0, 2]))]
    need = Need(
        cores_min=chance.choice([1, 1, 1, 4, 8]),
        memory_mb=chance.randrange(500, 16_000),
        wall_s=chance.randrange(600, 150_000),
        os=chance.choice(["", "el9"]),
        tags=chance.choice(["", "", "cvmfs", "ssd & cvmfs"]),
        sites=tuple(sites),
    )
    return ClassSpec(
        class_id=number,
        community="ctao",
        group=f"g{number % 20}",
        owner=f"o{number % 500}",
        type="User",
        needs=(need,),
    )


def _any_element(chance: random.Random, number: int) -> WatchedElement:
    cores = chance.choice([1, 8, 16, 64])
    shape = Shape(
        cores=cores,
        memory_mb=cores * chance.choice([2_000, 3_000, 4_000]),
        wall_s=chance.choice([86_400, 172_800]),
    )
    pilot = PilotEntry(
        os=chance.choice(["el8", "el9"]),
        tags=tuple(sorted(chance.sample(["cvmfs", "ssd", "big", "net"], 2))),
    )
    return _watched(f"S{number // 4}", f"e{number % 4}", Simulated(), shapes=(shape,), pilot=pilot)


def _watched(site: str, name: str, driver: "Simulated", **entry: Any) -> WatchedElement:
    element = ElementEntry(kind="simulated", **entry)
    one = WatchedElement(
        site=site,
        name=name,
        site_entry=SiteEntry(elements={name: element}),
        entry=element,
        driver=driver,
    )
    one.found = ReconcileResult()
    return one


def _no_log(event: str, **fields: Any) -> None:
    pass


# -- filling ---------------------------------------------------------------------------------------


@dataclass
class Simulated:
    """A compute element in memory, whose pilots start at once. It watches its own limits."""

    store: Store | None = None
    slots_max: int = 0
    queued_max: int = 0
    submit_max: int = 0
    passed: int = 0  # how often a limit was
    submitted: int = 0
    done_at: float = 0.0  # when the last pilot was submitted
    queued: dict[str, str] = field(default_factory=dict[str, str])  # slot → secret

    async def reach(self) -> None:
        pass

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        slots: dict[str, str] = {}
        for one in requests:
            self.submitted += 1
            slot = str(self.submitted)
            slots[one.stamp] = slot
            script = one.script.decode()
            # The line after the one that starts the pilot.
            self.queued[slot] = script.split(f"<<'{END}' &\n")[1].splitlines()[0]
        self.passed += (
            (self.submitted > self.slots_max)
            + (len(requests) > self.submit_max)
            + (len(self.queued) > self.queued_max)
        )
        self.done_at = time.perf_counter()
        return SubmitResult(slots)

    async def start(self) -> int:
        """Let the pilots that wait start and register; return how many did."""
        assert self.store is not None
        queued, self.queued = self.queued, {}
        for slot, secret in queued.items():
            await self.store.write(
                pilot_records.register,
                Registration(
                    secret_hash=hashed(secret),
                    nonce=slot,
                    renewal_hash="",
                    host=f"wn{slot}",
                    node=b"{}",
                    at=time.time(),
                ),
            )
        return len(queued)

    async def find(self, stamps: Sequence[str]) -> dict[str, str]:
        return {}

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        return {
            slot: Slot(SlotState.QUEUED if slot in self.queued else SlotState.RUNNING)
            for slot in slots
        }

    async def cancel(self, slots: Sequence[str]) -> None:
        self.passed += len(slots)  # nobody wants that here

    async def output(self, slot: str) -> PilotOutput:
        return PilotOutput()

    async def forget(self, slots: Sequence[str]) -> None:
        pass


async def _filled(scale: Scale) -> list[Figure]:
    """Fill all slots of some elements; return how fast that was."""
    clock = SystemClock()
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as folder:
        store = await open_sqlite(
            Path(folder) / "store.db", clock_wall=clock.wall, fatal=lambda why: None
        )
        try:
            return await _fill(scale, store, clock)
        finally:
            await store.close()


async def _fill(scale: Scale, store: Store, clock: SystemClock) -> list[Figure]:
    half = (scale.slots + 1) // 2 + 2
    drivers = [
        Simulated(store, scale.slots, queued_max=half, submit_max=half) for _ in range(scale.filled)
    ]
    watched = [
        _watched(
            f"S{number // 4}",
            f"e{number % 4}",
            driver,
            pilots_max=scale.slots,
            queued_max=half,
            submit_max=half,
            pilot=PilotEntry(os="el9"),
        )
        for number, driver in enumerate(drivers)
    ]
    wanted = scale.filled * scale.slots
    spec = ClassSpec(
        class_id=1,
        community="ctao",
        group="g",
        owner="o",
        type="User",
        needs=(Need(),),
    )
    work = Waiting([(spec, 2 * wanted)])

    async def elements() -> Sequence[WatchedElement]:
        return watched

    settings = FactorySettings()
    factory = Factory(
        store=store,
        work=work,
        elements=elements,
        clock=clock,
        randomness=SystemRandomness(),
        log=_no_log,
        config=FactoryConfig(
            communities=("ctao",),
            central_url="https://central:8470",
            pilot_sh="#" * scale.pilot_sh,
            every_s=scale.every_s,
            bounds=PlanBounds(settings.submit_max, settings.pilots_max),
        ),
    )
    cpu, began = time.process_time(), time.perf_counter()
    patience_s = ROUNDS_MAX * (scale.every_s + 5)
    registered = 0
    async with asyncio.TaskGroup() as tasks:
        going = tasks.create_task(factory.run())
        while registered < wanted and time.perf_counter() - began < patience_s:
            for driver in drivers:
                registered += await driver.start()
            work.jobs = [(spec, 2 * wanted - registered)]
            await asyncio.sleep(0.01)
        going.cancel()
    took_s = max(driver.done_at for driver in drivers) - began
    cpu_s = time.process_time() - cpu
    return [
        figure(NAME, f"fill, {wanted} slots", registered / took_s, "pilots/s"),
        figure(NAME, f"fill, {wanted} slots, CPU", 1e6 * cpu_s / max(1, registered), "µs/pilot"),
        figure(NAME, "limits passed", float(sum(one.passed for one in drivers)), "times"),
        figure(NAME, "slots left empty", float(wanted - registered), "slots"),
    ]
