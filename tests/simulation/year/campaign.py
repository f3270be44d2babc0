"""A year of prod6: productions one after another, at four sites, until all of them are complete."""

import asyncio
import hashlib
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import msgspec

from pilotage.central.app.central import Central, build
from pilotage.central.app.process_parts import World
from pilotage.central.catalogue.storages import StorageBook, StorageEntry, Storages
from pilotage.central.identity.callers import User
from pilotage.central.identity.tokens import ADMIN_FILE, open_tokens
from pilotage.central.observe.events import no_log
from pilotage.central.settings import CommunitySettings, LeaseSettings, Settings
from pilotage.central.store.engine import Store
from pilotage.central.workflows.workflow_files import read_workflow
from pilotage.proto.api.jobs import SummaryBy
from pilotage.proto.api.productions import NewProduction
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.transformation_states import LIVE
from tests.fake_central import FakeBlobs, FakeDisk, FakeRandomness
from tests.fakes import DATA, LoopClock
from tests.no_providers import no_providers
from tests.tidy.tree import ROOT

from .fates import PassingCrashes
from .pilots import Fates, YearPilot
from .store import YearLoop, YearStore

DAY_S: Final = 24.0  # an hour of the year is a second
YEAR_S: Final = 365 * DAY_S
LOOK_S: Final = 6.0
LEASE_S: Final = 6.0
SLOTS: Final = {"PIC": 1_504, "CSCS": 1_248, "DESY-Zeuthen": 1_504, "Frascati": 1_248}  # 5 504
NODE: Final = 32  # cores of a pilot
PILOT_S: Final = 30 * DAY_S  # it lives
DIES: Final = 0.01  # of pilots, in the middle of their work
WALL_S: Final = 240  # that a job asks for
# Days on which a site has no pilots: winter work, a move, a cut.
AWAY: Final = {"Frascati": ((20, 34),), "CSCS": ((120, 127), (300, 303)), "PIC": ((200, 202),)}


_OPEN: Final = tuple(LIVE)  # states in which something may still happen
_ROWS: Final = (
    "SELECT * FROM job ORDER BY job_id",
    "SELECT * FROM attempt ORDER BY attempt_id",
    "SELECT * FROM file ORDER BY file_id",
)
_TWICE: Final = """
SELECT count(*) FROM (SELECT job_id FROM file WHERE epoch IS NOT NULL
                       GROUP BY job_id HAVING count(DISTINCT epoch) > 1)
"""


@dataclass(frozen=True)
class Plan:
    """How much of a year."""

    productions: int = 24
    runs: int = 6_920  # of each particle, in each production
    every_s: float = 14 * DAY_S  # a production comes
    part: float = 1.0  # of the slots
    seed: int = 1


@dataclass
class Year:
    """What was seen."""

    jobs: int = 0
    bytes: int = 0
    files: int = 0
    ended_s: float = 0.0
    real_s: float = 0.0
    attempts: int = 0
    pilots: int = 0
    running: list[tuple[float, dict[str, int]]] = field(
        default_factory=list[tuple[float, dict[str, int]]]
    )
    done_twice: int = 0  # jobs with two results
    states: Counter[str] = field(default_factory=Counter[str])
    inputs: Counter[str] = field(default_factory=Counter[str])
    digest: str = ""  # of all jobs, attempts and files, with their times


class WakeBus:
    """A bus on which pilots hear that there may be work; nothing else is said over it."""

    up, url = True, ""

    def __init__(self) -> None:
        self.pilots: dict[str, YearPilot] = {}

    def counts(self) -> dict[str, int]:
        return {}

    def publish(self, topic: str, payload: bytes) -> None:
        parts = topic.split("/")
        pilot = self.pilots.get(parts[4]) if len(parts) > 4 else None
        if pilot is not None:
            pilot.wake()

    async def add_login(self, community: str, pilot: str, password: str) -> None:
        pass

    async def remove_login(self, community: str, pilot: str) -> None:
        pass

    async def run(self, inbound: object) -> None:
        await asyncio.get_running_loop().create_future()


def play(plan: Plan, folder: Path, *, tell: Callable[[str], None] = lambda _: None) -> Year:
    """Run the campaign to its end."""
    loop = YearLoop(limit_s=3 * YEAR_S)
    began = time.monotonic()
    try:
        asyncio.set_event_loop(loop)
        year = loop.run_until_complete(_campaign(loop, plan, folder, tell))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    year.real_s = time.monotonic() - began
    return year


async def _campaign(loop: YearLoop, plan: Plan, folder: Path, tell: Callable[[str], None]) -> Year:
    clock, bus = LoopClock(), WakeBus()
    store = YearStore(folder / "store.sqlite", clock.wall)
    try:
        central, user = await _central(store, bus, clock, plan.seed)
        year = Year()
        running = loop.create_task(central.run())
        begun, fates = loop.time(), PassingCrashes().fate
        nodes = [
            loop.create_task(
                _node(central, user, bus, fates, site, f"{plan.seed}-{number}", begun, year)
            )
            for site, slots in SLOTS.items()
            for number in range(round(plan.part * slots / NODE))
        ]
        handing_in = loop.create_task(_hand_in(central, user, plan))
        looking = loop.create_task(_until_done(central, user, plan, year, bus, tell, begun))
        await asyncio.wait([looking, running, *nodes], return_when=asyncio.FIRST_COMPLETED)
        for task in (looking, running, *nodes, handing_in):
            if task.done():
                task.result()
        for task in (running, *nodes, handing_in):
            task.cancel()
        await asyncio.gather(running, *nodes, handing_in, return_exceptions=True)
        await _count(central, user, year)
    finally:
        await store.close()
    _count_rows(folder / "store.sqlite", year)
    return year


async def _central(store: Store, bus: WakeBus, clock: LoopClock, seed: int) -> tuple[Central, User]:
    settings = Settings(
        lease=LeaseSettings(lease_s=LEASE_S, silent_pilot_s=10 * LEASE_S),
        community=CommunitySettings(name="ctao", groups=("production",)),
    )
    disk, randomness = FakeDisk(), FakeRandomness(seed)
    identity = no_providers(clock, randomness)
    tokens = await open_tokens(
        DATA,
        store=store,
        disk=disk,
        clock=clock,
        randomness=randomness,
        issuer=settings.token.issuer,
        audience=settings.token.audience,
        outside=identity.outside,
        community=settings.community.name,
        groups=settings.community.groups,
    )
    storages = Storages()
    entry = StorageEntry(type="http", url="http://data.invalid/ctao", default=True)
    storages.book = StorageBook({"data": entry})
    world = World(
        store=store,
        blobs=FakeBlobs(),
        bus=bus,
        clock=clock,
        randomness=randomness,
        log=no_log,
        identity=identity,
        storages=storages,
    )
    central = build(world, tokens, settings)
    await central.recover()
    token = disk.read(DATA / ADMIN_FILE)
    assert token is not None
    caller = tokens.caller(token.decode().strip())
    assert isinstance(caller, User)
    return central, caller


async def _hand_in(central: Central, user: User, plan: Plan) -> None:
    """Add the productions, one after another."""
    for number in range(plan.productions):
        body = NewProduction(workflow=_workflow(number, plan.runs))
        await central.services.productions.add(user, body)
        await asyncio.sleep(plan.every_s)


def _workflow(number: int, runs: int) -> Workflow:
    """Return prod6 for one pointing, its times those of the simulation."""
    path = ROOT / "examples" / "prod6" / "prod6.yaml"
    found = read_workflow(path, {"runs": str(runs)}).workflow
    steps = {
        name: msgspec.structs.replace(step, job=_scaled(step.job), files=())
        for name, step in found.steps.items()
    }
    metadata = {**found.metadata, "configuration_id": 100 + number}
    name = f"prod6-{number + 1}"
    return msgspec.structs.replace(found, name=name, steps=steps, metadata=metadata)


def _scaled(job: Job) -> Job:
    needs = tuple(msgspec.structs.replace(need, wall_s=WALL_S) for need in job.needs)
    return msgspec.structs.replace(job, needs=needs, inputs=())


async def _node(
    central: Central,
    user: User,
    bus: WakeBus,
    fates: Fates,
    site: str,
    number: str,
    begun: float,
    year: Year,
) -> None:
    """Keep one pilot after another on a node, but for the days on which its site is away."""
    loop, chance = asyncio.get_running_loop(), random.Random(f"{site}/{number}")
    lives_s = chance.uniform(0.1, 1.0) * PILOT_S  # they do not all go on one day
    for life in range(1_000):
        day = (loop.time() - begun) / DAY_S
        away = [end for first, end in AWAY.get(site, ()) if first <= day < end]
        if away:
            await asyncio.sleep((away[0] - day) * DAY_S)
        starts = [first for first, _ in AWAY.get(site, ()) if first > day]
        left_s = (min(starts) - day) * DAY_S if starts else float("inf")
        pilot = YearPilot(
            central,
            fates,
            site=site,
            cores=NODE,
            lives_s=min(lives_s, left_s),
            seed=f"{site}-{number}-{life}",
        )
        year.pilots += 1
        await pilot.live(user, bus.pilots, dies=chance.random() < DIES)
        lives_s = PILOT_S


async def _until_done(
    central: Central,
    user: User,
    plan: Plan,
    year: Year,
    bus: WakeBus,
    tell: Callable[[str], None],
    begun: float,
) -> None:
    """Look now and then, until all is complete."""
    loop = asyncio.get_running_loop()
    last = begun + (plan.productions - 1) * plan.every_s
    shown = 0.0
    while True:
        await asyncio.sleep(LOOK_S)
        now = loop.time() - begun
        busy = Counter[str]()
        for pilot in list(bus.pilots.values()):
            busy[pilot.site] += pilot.busy
        year.running.append((now, {site: busy[site] for site in SLOTS}))
        if now - shown >= 10 * DAY_S:
            shown = now
            summary = await central.services.queries.summary(user, SummaryBy.STATE)
            jobs = {state.value: n for row in summary.rows for state, n in row.counts.items()}
            tell(f"day {now / DAY_S:.0f}: {jobs}, {busy.total()} busy")
        if loop.time() > last and await _are_done(central, user):
            year.ended_s = now
            return


async def _are_done(central: Central, user: User) -> bool:
    page = await central.services.transformations.list(user, states=_OPEN, after=0, limit=1)
    return not page.transformations


async def _count(central: Central, user: User, year: Year) -> None:
    after: int | None = 0
    while after is not None:
        page = await central.services.transformations.list(
            user, states=(), after=after, limit=1_000
        )
        for one in page.transformations:
            year.states[one.state.value] += 1
            year.jobs += one.tasks_made
            for found in one.inputs.values():
                year.inputs.update({state.value: count for state, count in found.items()})
        after = page.after


def _count_rows(path: Path, year: Year) -> None:
    """Count what no service tells at once."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        (year.attempts,) = store.execute("SELECT count(*) FROM attempt").fetchone()
        year.files, year.bytes = store.execute("SELECT count(*), sum(bytes) FROM file").fetchone()
        (year.done_twice,) = store.execute(_TWICE).fetchone()
        trace = hashlib.sha256()
        for sql in _ROWS:
            for row in store.execute(sql):
                trace.update(repr(row).encode())
    year.digest = trace.hexdigest()
