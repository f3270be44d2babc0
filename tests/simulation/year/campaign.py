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
from urllib.parse import urlencode

import msgspec

from pilotage.central.app.central import Central, build
from pilotage.central.app.process_parts import World
from pilotage.central.app.route_assembly import face
from pilotage.central.catalogue.storages import StorageBook, StorageEntry, Storages
from pilotage.central.identity.tokens import ADMIN_FILE, open_tokens
from pilotage.central.observe.events import no_log
from pilotage.central.settings import CommunitySettings, LeaseSettings, Settings
from pilotage.central.store.engine import Store
from pilotage.central.workflows.workflow_files import read_workflow
from pilotage.proto.api.jobs import Summary
from pilotage.proto.api.productions import NewProduction
from pilotage.proto.api.transformations import TransformationPage
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.workflow import Workflow
from pilotage.proto.transformation_states import LIVE, TransformationState
from tests.fake_bus import FakeBus
from tests.fake_central import FakeBlobs, FakeDisk, FakeRandomness
from tests.fakes import DATA, LoopClock
from tests.no_providers import no_providers
from tests.tidy.tree import ROOT

from .fates import PassingCrashes
from .line import Line, YearBroker, bus_outages
from .pilots import Fates, YearPilot
from .store import YearLoop, YearStore
from .troubles import BUS_AWAY, HOLE, STORAGES, Troubles, is_bad

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
_FAILED: Final = "SELECT count(*) FROM job WHERE state = 'Failed'"
_HOLE: Final = """
SELECT count(*), coalesce(sum(matched_at > first + 24), 0)
  FROM attempt, (SELECT min(matched_at) AS first FROM attempt WHERE host = ?1)
 WHERE host = ?1
"""
_GIVEN: Final = """
SELECT f.name, f.sha256, i.state FROM input AS i JOIN file AS f ON f.file_id = i.file_id
"""


@dataclass(frozen=True)
class Plan:
    """How much of a year."""

    productions: int = 24
    runs: int = 6_920  # of each particle, in each production
    every_s: float = 14 * DAY_S  # a production comes
    part: float = 1.0  # of the slots
    bad: float = 1e-4  # share of files that no program can read
    allowed: float = 0.02  # share of a step's inputs that may be missing
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
    requests: int = 0  # over HTTP
    messages: int = 0  # over the bus
    seen: dict[str, int] = field(default_factory=dict[str, int])  # of the troubles
    bad_read: int = 0  # bad files that a step was given
    bad_left: int = 0  # those among them that are not Problematic there
    innocent: int = 0  # good files that are Problematic in a step
    hole_failed: int = 0  # attempts that failed on the black hole
    hole_after: int = 0  # those among them after its first day
    failed_jobs: int = 0  # jobs that no rule made good: their inputs went to others, or are bad
    digest: str = ""  # of all jobs, attempts and files, with their times


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
    clock, broker = LoopClock(), YearBroker(plan.seed)
    store = YearStore(folder / "store.sqlite", clock.wall)
    try:
        central, token = await _central(store, FakeBus(broker), clock, plan.seed)
        line, troubles = Line(face(central.services), broker, token), Troubles(plan.bad)
        begun = loop.time()
        site = Sites(line, PassingCrashes(troubles, begun).fate, plan, begun)
        await _play(loop, central, site, tell)
        year = site.year
        year.seen, year.requests, year.messages = troubles.seen, line.requests, broker.delivered
        await _count(line, year)
    finally:
        await store.close()
    _count_rows(folder / "store.sqlite", plan, year)
    return year


async def _play(
    loop: YearLoop, central: Central, site: "Sites", tell: Callable[[str], None]
) -> None:
    """Let everybody work, until all productions are complete."""
    looking = loop.create_task(_until_done(site, tell))
    others = [
        loop.create_task(central.run()),
        loop.create_task(_hand_in(site.line, site.plan)),
        loop.create_task(bus_outages(site.line.broker, BUS_AWAY)),
        *(loop.create_task(site.node(*node)) for node in site.nodes()),
    ]
    try:
        left = {looking, *others}
        while not looking.done():
            _, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for task in (looking, *others):
                if task.done():
                    task.result()
    finally:
        for task in (looking, *others):
            task.cancel()
        await asyncio.gather(looking, *others, return_exceptions=True)


async def _central(store: Store, bus: FakeBus, clock: LoopClock, seed: int) -> tuple[Central, str]:
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
    storages.book = StorageBook(
        {
            name: StorageEntry(
                type="http", url=f"http://{name}.invalid/ctao", default=True, priority=90 - place
            )
            for place, name in enumerate(STORAGES)
        }
    )
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
    return central, token.decode().strip()


async def _hand_in(line: Line, plan: Plan) -> None:
    """Add the productions, one after another."""
    for number in range(plan.productions):
        body = msgspec.json.encode(NewProduction(workflow=_workflow(number, plan)))
        await line.ask("POST", "/v1/productions", body, line.admin)
        await asyncio.sleep(plan.every_s)


def _workflow(number: int, plan: Plan) -> Workflow:
    """Return prod6 for one pointing, its times those of the simulation."""
    path = ROOT / "examples" / "prod6" / "prod6.yaml"
    found = read_workflow(path, {"runs": str(plan.runs)}).workflow
    steps = {
        name: msgspec.structs.replace(step, job=_scaled(step.job), files=())
        for name, step in found.steps.items()
    }
    metadata = {**found.metadata, "configuration_id": 100 + number}
    name = f"prod6-{number + 1}"
    return msgspec.structs.replace(
        found, name=name, steps=steps, metadata=metadata, allow_partial=plan.allowed
    )


def _scaled(job: Job) -> Job:
    needs = tuple(msgspec.structs.replace(need, wall_s=WALL_S) for need in job.needs)
    return msgspec.structs.replace(job, needs=needs, inputs=())


@dataclass
class Sites:
    """The nodes of all sites, with a pilot on each."""

    line: Line
    fates: Fates
    plan: Plan
    begun: float
    year: Year = field(default_factory=Year)
    pilots: set[YearPilot] = field(default_factory=set[YearPilot])

    def nodes(self) -> list[tuple[str, str]]:
        """Return the site and the name of each node; the black hole is one more."""
        sound = [
            (site, f"{self.plan.seed}-{number}")
            for site, slots in SLOTS.items()
            for number in range(round(self.plan.part * slots / NODE))
        ]
        return [*sound, HOLE]

    async def node(self, site: str, number: str) -> None:
        """Keep one pilot after another on a node, but for the days on which its site is away."""
        loop, chance = asyncio.get_running_loop(), random.Random(f"{site}/{number}")
        lives_s = chance.uniform(0.1, 1.0) * PILOT_S  # they do not all go on one day
        host = number if (site, number) == HOLE else f"{site}-{number}"
        for life in range(1_000):
            day = (loop.time() - self.begun) / DAY_S
            away = [end for first, end in AWAY.get(site, ()) if first <= day < end]
            if away:
                await asyncio.sleep((away[0] - day) * DAY_S)
            starts = [first for first, _ in AWAY.get(site, ()) if first > day]
            left_s = (min(starts) - day) * DAY_S if starts else float("inf")
            pilot = YearPilot(
                self.line,
                self.fates,
                node=(site, host),
                cores=NODE,
                lives_s=min(lives_s, left_s),
                seed=f"{site}-{number}-{life}",
            )
            self.year.pilots += 1
            await pilot.live(self.pilots, dies=chance.random() < DIES)
            lives_s = PILOT_S


async def _until_done(site: Sites, tell: Callable[[str], None]) -> None:
    """Look now and then, until all is complete."""
    loop, line, plan, year = asyncio.get_running_loop(), site.line, site.plan, site.year
    last = site.begun + (plan.productions - 1) * plan.every_s
    shown = 0.0
    while True:
        await asyncio.sleep(LOOK_S)
        now = loop.time() - site.begun
        busy = Counter[str]()
        for pilot in site.pilots:
            busy[pilot.site] += pilot.busy
        year.running.append((now, {name: busy[name] for name in SLOTS}))
        if now - shown >= 10 * DAY_S:
            shown = now
            said = await line.ask("GET", "/v1/jobs/summary?by=state", b"", line.admin)
            summary = msgspec.json.decode(said, type=Summary)
            jobs = {state.value: n for row in summary.rows for state, n in row.counts.items()}
            tell(f"day {now / DAY_S:.0f}: {jobs}, {busy.total()} busy")
        if loop.time() > last and not (await _page(line, _OPEN, 0, 1)).transformations:
            year.ended_s = now
            return


async def _page(
    line: Line, states: tuple[TransformationState, ...], after: int, limit: int
) -> TransformationPage:
    asked = [("state", one.value) for one in states] + [("after", after), ("limit", limit)]
    body = await line.ask("GET", f"/v1/transformations?{urlencode(asked)}", b"", line.admin)
    return msgspec.json.decode(body, type=TransformationPage)


async def _count(line: Line, year: Year) -> None:
    after: int | None = 0
    while after is not None:
        page = await _page(line, (), after, 1_000)
        for one in page.transformations:
            year.states[one.state.value] += 1
            year.jobs += one.tasks_made
            for found in one.inputs.values():
                year.inputs.update({state.value: count for state, count in found.items()})
        after = page.after


def _count_rows(path: Path, plan: Plan, year: Year) -> None:
    """Count what no service tells at once."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
        (year.attempts,) = store.execute("SELECT count(*) FROM attempt").fetchone()
        year.files, year.bytes = store.execute("SELECT count(*), sum(bytes) FROM file").fetchone()
        (year.done_twice,) = store.execute(_TWICE).fetchone()
        (year.failed_jobs,) = store.execute(_FAILED).fetchone()
        year.hole_failed, year.hole_after = store.execute(_HOLE, (HOLE[1],)).fetchone()
        for name, sha256, state in store.execute(_GIVEN):
            if is_bad(name, sha256.hex(), plan.bad):
                year.bad_read += 1
                year.bad_left += state != "Problematic"
            else:
                year.innocent += state == "Problematic"
        trace = hashlib.sha256()
        for sql in _ROWS:
            for row in store.execute(sql):
                trace.update(repr(row).encode())
    year.digest = trace.hexdigest()
