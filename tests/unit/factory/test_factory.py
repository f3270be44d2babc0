"""The factory's round over stores and elements in memory."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from pilotage.central.factory.element import PilotOutput, SlotState
from pilotage.central.factory.element_watch import WatchedElement
from pilotage.central.factory.factory import Factory, FactoryConfig
from pilotage.central.factory.planning.plans import PlanBounds
from pilotage.central.factory.site_files.sites import (
    ElementEntry,
    NodesEntry,
    PilotEntry,
    Shape,
    SiteEntry,
)
from pilotage.central.factory.start_script import END
from pilotage.central.identity.secret_hashes import hashed
from pilotage.central.observe.events import EVENTS
from pilotage.central.pilots import record as pilot_records, record_slots as slot_records
from pilotage.central.pilots.record_types import Registration
from pilotage.matcher.clauses.clause import Clauses
from pilotage.matcher.clauses.clause_table import table
from pilotage.matcher.types import Ceiling, ClassSpec
from pilotage.proto.documents.job import Need
from pilotage.proto.pilot_states import PilotState
from tests.fake_element import FakeElement
from tests.memory_store import MemoryStore

CLAUSES, BOUNDS = table({}), PlanBounds()
CENTRAL = "https://central:8470"


class HandClock:
    """Stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return 1_000_000.0 + self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


class Counting:
    """Randomness that counts."""

    def __init__(self) -> None:
        self.n = 0

    def token(self, size: int = 32) -> str:
        self.n += 1
        return f"token{self.n:06}"

    def uniform(self, low: float, high: float) -> float:
        return low


class Waiting:
    """What waits."""

    def __init__(self) -> None:
        self.jobs: dict[Need, int] = {}
        self.others: dict[str, int] = {}  # of other communities, any jobs
        self.banned: set[str] = set()
        self.draining: set[str] = set()
        self.limits: list[Ceiling] = []

    def waiting(self) -> Iterable[tuple[ClassSpec, int]]:
        for number, (need, jobs) in enumerate(self.jobs.items()):
            spec = ClassSpec(
                class_id=number, community="ctao", group="g", owner="o", type="User", needs=(need,)
            )
            yield spec, jobs
        for community, jobs in self.others.items():
            number = 1_000 + ord(community[0])
            yield a_class(Need(), community=community, number=number), jobs

    def ceilings(self, spec: ClassSpec) -> list[Ceiling]:
        return self.limits

    def clauses(self) -> Clauses:
        return CLAUSES

    def is_banned(self, site: str, element: str) -> bool:
        return site in self.banned

    def is_draining(self, site: str, element: str) -> bool:
        return site in self.draining


class FakeCrew:
    """Pilots that do what a test says."""

    def __init__(self) -> None:
        self.worked: list[str] = []
        self.empty: list[str] = []
        self.idlers: dict[str, float] = {}
        self.workers: set[str] = set()
        self.drained: dict[str, str] = {}
        self.given_up: dict[str, str] = {}
        self.mute: set[str] = set()
        self.lost: dict[str, str] = {}
        self.rooms: dict[str, int] = {}

    def news(self) -> tuple[list[str], list[str]]:
        found = self.worked, self.empty
        self.worked, self.empty = [], []
        return found

    def idle(self) -> dict[str, float]:
        return self.idlers

    def has_worked(self, pilot: str) -> bool:
        return pilot in self.workers

    async def drain(self, pilots: Mapping[str, str]) -> list[str]:
        self.drained |= pilots
        return list(pilots)

    def silent(self, pilots: Iterable[str]) -> set[str]:
        return self.mute & set(pilots)

    async def lose(self, pilots: Mapping[str, str]) -> None:
        self.lost |= pilots

    async def end_lost(self, pilots: Mapping[str, str]) -> None:
        self.given_up |= pilots

    def room(self, site: str, element: str) -> int | None:
        return self.rooms.get(element)


class Stage:
    """A factory with elements in memory."""

    def __init__(
        self,
        *elements: WatchedElement,
        bounds: PlanBounds = BOUNDS,
        communities: tuple[str, ...] = ("ctao",),
    ) -> None:
        self.communities = communities
        self.clock, self.store, self.work = HandClock(), MemoryStore(), Waiting()
        self.crew = FakeCrew()
        self.watched = list(elements)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.randomness = Counting()
        self.bounds = bounds
        self.is_gone: Callable[[str, str], bool] = lambda site, element: False
        self.factory = self.born()

    async def _elements(self) -> list[WatchedElement]:
        return self.watched

    def _log(self, event: str, **fields: Any) -> None:
        assert set(fields) == EVENTS[event], f"{event} is not as in the table of events"
        self.events.append((event, fields))

    def born(self) -> Factory:
        """Return a factory as it is after a restart: it knows the store alone."""
        return Factory(
            store=self.store,
            work=self.work,
            crew=self.crew,
            is_gone=self.is_gone,
            elements=self._elements,
            clock=self.clock,
            randomness=self.randomness,
            log=self._log,
            config=FactoryConfig(self.communities, CENTRAL, "#!/bin/sh\n", bounds=self.bounds),
        )

    async def states(self) -> dict[str, PilotState]:
        rows = await self.store.read(pilot_records.pilots, None, states=(), after="", limit=1_000)
        return {row.pilot: row.state for row in rows}

    async def register(self, pilot: str) -> None:
        script = next(
            one.request.script.decode()
            for element in self.watched
            if isinstance(element.driver, FakeElement)
            for one in element.driver.pilots.values()
            if one.request.stamp == pilot
        )
        # The line after the one that starts the pilot, which ends with the mark of the input.
        secret = script.split(f"<<'{END}' &\n")[1].splitlines()[0]
        await self.store.write(
            pilot_records.register,
            Registration(
                secret_hash=hashed(secret),
                nonce="n",
                renewal_hash="r",
                host="wn1",
                node=b"{}",
                at=self.clock.wall(),
            ),
        )


def an_element(
    name: str = "slurm", site: str = "PIC", **entry: Any
) -> tuple[WatchedElement, FakeElement]:
    driver = FakeElement()
    usual: dict[str, Any] = {"kind": "fake", "pilot": PilotEntry(os="el9")}
    element = ElementEntry(**{**usual, **entry})
    watched = WatchedElement(
        site=site,
        name=name,
        site_entry=SiteEntry(elements={name: element}),
        entry=element,
        driver=driver,
    )
    return watched, driver


async def test_jobs_bring_pilots_and_no_more_than_they_need() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 3

    await stage.factory.cycle()
    await stage.factory.cycle()

    assert len(driver.pilots) == 3
    assert set((await stage.states()).values()) == {PilotState.WAITING}
    assert all(
        b"--central=https://central:8470" in one.request.script for one in driver.pilots.values()
    )


async def test_a_job_that_the_element_cannot_run_brings_none() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs |= {Need(os="el8"): 3, Need(cores_min=2): 1, Need(sites=("CSCS",)): 4}

    await stage.factory.cycle()

    assert driver.pilots == {}
    assert stage.factory.last_plan.unmet_jobs == 8


async def test_a_pilot_that_was_submitted_without_an_answer_is_found_and_not_submitted_twice() -> (
    None
):
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 2
    driver.loses_replies = True

    await stage.factory.cycle()
    driver.loses_replies = False
    stage.factory = stage.born()
    for _ in range(20):
        stage.clock.now += 15
        await stage.factory.cycle()

    assert len(driver.pilots) == 2
    assert set((await stage.states()).values()) == {PilotState.WAITING}


async def test_a_pilot_that_never_reached_its_element_is_aborted_and_replaced() -> None:
    element, driver = an_element()
    stage = Stage(element)
    await stage.factory.cycle()
    stage.work.jobs[Need()] = 1
    driver.is_down = True
    await stage.factory.cycle()
    driver.is_down = False
    for _ in range(60):
        stage.clock.now += 15
        await stage.factory.cycle()

    assert len(driver.pilots) == 1
    assert sorted(state.value for state in (await stage.states()).values()) == [
        "Aborted",
        "Waiting",
    ]


async def test_an_element_that_does_not_answer_gets_nothing_and_others_go_on() -> None:
    (bad, down), (good, up) = an_element("bad"), an_element("good")
    stage = Stage(bad, good)
    stage.work.jobs[Need()] = 4
    await stage.factory.cycle()
    before = len(down.pilots), len(up.pilots)
    down.is_down = True
    stage.work.jobs[Need()] = 10
    await stage.factory.cycle()

    assert before == (2, 2)
    assert len(down.pilots) == 2
    assert len(up.pilots) == 10
    assert bad.trouble
    assert not good.trouble


async def test_a_refusal_is_told_and_tried_again_later_and_later() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    driver.refuses = True
    for _ in range(20):
        await stage.factory.cycle()
        stage.clock.now += 15

    tried = driver.calls.count("submit")

    assert "no such account" in element.trouble
    assert 3 <= tried <= 6
    assert PilotState.WAITING not in (await stage.states()).values()


async def test_pilots_that_nobody_needs_are_taken_back_before_they_start() -> None:
    element, driver = an_element(cancel_max=2)
    stage = Stage(element)
    stage.work.jobs[Need()] = 5
    await stage.factory.cycle()
    await stage.factory.cycle()
    driver.says("1", SlotState.RUNNING)
    stage.work.jobs.clear()
    await stage.factory.cycle()
    first = list(driver.cancelled)
    for _ in range(5):
        await stage.factory.cycle()

    assert len(first) == 2
    assert "1" not in driver.cancelled
    states = list((await stage.states()).values())
    assert states.count(PilotState.ABORTED) == 4


async def test_a_pilot_that_ended_before_it_asked_has_its_output_kept() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    await stage.factory.cycle()
    stage.work.jobs.clear()
    driver.says("1", SlotState.ENDED, 20)
    driver.pilots["1"].output = PilotOutput(b"", b"no Python from 3.9 on")
    for _ in range(3):
        await stage.factory.cycle()
    (pilot,) = await stage.states()

    row = await stage.store.read(pilot_records.pilot, pilot)
    output = await stage.store.read(slot_records.slot_output, pilot)

    assert row is not None
    assert (row.state, row.reason) == (
        PilotState.FAILED,
        "it ended before it asked for work, with exit code 20",
    )
    assert output is not None
    assert (output.exit_code, output.stderr) == (20, b"no Python from 3.9 on")
    assert driver.pilots == {}, "the element still keeps it"


async def test_a_pilot_s_own_word_is_believed_before_that_of_its_element() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    await stage.factory.cycle()
    (pilot,) = await stage.states()
    await stage.register(pilot)
    stage.work.jobs.clear()
    driver.says("1", SlotState.ENDED, 0)
    for _ in range(40):
        stage.clock.now += 15
        await stage.factory.cycle()

    assert await stage.states() == {pilot: PilotState.RUNNING}


async def test_shapes_and_limits_are_kept() -> None:
    shapes = (Shape(cores=1, memory_mb=2_000), Shape(cores=8, memory_mb=16_000))
    element, driver = an_element(shapes=shapes, pilots_max=3)
    stage = Stage(element)
    stage.work.jobs |= {Need(cores_min=8): 9, Need(): 20}
    for _ in range(4):
        await stage.factory.cycle()

    assert [one.request.cores for one in driver.pilots.values()] == [8, 8, 8]


async def test_a_banned_site_gets_pilots_for_test_jobs_alone() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.banned.add("PIC")
    stage.work.jobs[Need()] = 2

    await stage.factory.cycle()

    assert driver.pilots == {}


async def test_an_element_on_which_pilots_come_to_nothing_gets_fewer_and_fewer() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 3
    for _ in range(240):  # an hour
        stage.clock.now += 15
        await stage.factory.cycle()
        for slot in driver.pilots:
            driver.says(slot, SlotState.ENDED, 1)
    tried = len(await stage.states())
    told = element.trouble
    stage.clock.now += 1_000
    await stage.factory.cycle()
    await stage.register(sorted(await stage.states())[-1])
    await stage.factory.cycle()

    assert 9 <= tried <= 36
    assert "ended before they asked for work" in told
    assert element.trouble == ""
    assert element.open_at <= stage.clock.now


async def test_a_driver_that_breaks_harms_its_own_element_alone() -> None:
    (bad, odd), (good, up) = an_element("bad"), an_element("good")
    stage = Stage(bad, good)
    stage.work.jobs[Need()] = 4
    odd.breaks = OSError("no space left on device")
    await stage.factory.cycle()
    await stage.factory.cycle()

    assert odd.pilots == {}
    assert len(up.pilots) >= 2
    assert "no space left" in bad.trouble
    assert any(event == "loop_failed" for event, _ in stage.events)


async def test_an_output_that_cannot_be_fetched_does_not_keep_others_from_their_pilots() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    await stage.factory.cycle()
    driver.keeps_output = False
    driver.says("1", SlotState.ENDED, 1)
    for _ in range(4):
        stage.clock.now += 15
        await stage.factory.cycle()

    assert list(driver.pilots) == ["2"]
    assert element.trouble == ""


async def test_a_refused_pilot_ends_with_the_words_of_its_element() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    driver.refuses = True
    await stage.factory.cycle()
    (pilot,) = await stage.states()

    row = await stage.store.read(pilot_records.pilot, pilot)

    assert row is not None
    assert (row.state, row.reason) == (PilotState.ABORTED, "no such account")


async def test_what_an_operator_says_of_nodes_brings_pilots_for_jobs_that_ask_for_it() -> None:
    asking = (
        Need(tags="image:sif"),
        Need(glibc_min="2.17"),
        Need(architecture_level_min=3),
        Need(user_namespaces=True),
    )
    plain, never = an_element()
    nodes = {"images": ["sif"], "glibc": "2.34", "architecture_level": 3, "user_namespaces": True}
    known, driver = an_element(nodes=msgspec.convert(nodes, NodesEntry))
    for element in (plain, known):
        stage = Stage(element)
        stage.work.jobs |= dict.fromkeys(asking, 1)
        await stage.factory.cycle()

    assert never.pilots == {}
    assert len(driver.pilots) == 4


async def test_a_site_that_requires_isolation_gets_pilots_that_have_it() -> None:
    plain, never = an_element()
    shut, driver = an_element()
    shut.site_entry = SiteEntry(elements={"slurm": shut.entry}, isolation="namespaces")
    for element in (plain, shut):
        stage = Stage(element)
        stage.work.jobs[Need(isolation="namespaces")] = 1
        await stage.factory.cycle()

    assert never.pilots == {}
    (pilot,) = driver.pilots.values()
    assert b"--isolation=namespaces" in pilot.request.script


async def came_back_empty(stage: Stage, driver: FakeElement) -> None:
    """Let all pilots start, find nothing, and end."""
    for slot, one in list(driver.pilots.items()):
        if (await stage.states()).get(one.request.stamp) is PilotState.WAITING:
            await stage.register(one.request.stamp)
            await stage.store.write(
                pilot_records.move_pilot,
                one.request.stamp,
                PilotState.RUNNING,
                PilotState.DONE,
                stage.clock.wall(),
                "said good-bye",
            )
            stage.crew.empty.append(one.request.stamp)
        driver.says(slot, SlotState.ENDED, 0)


async def test_a_place_whose_pilots_come_back_empty_gets_fewer_and_fewer_until_one_works() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 10
    tried: list[int] = []
    for _ in range(240):  # an hour
        await stage.factory.cycle()
        tried.append(len(await stage.states()))
        await came_back_empty(stage, driver)
        stage.clock.now += 15
    stage.clock.now += 3_600
    await stage.factory.cycle()
    (trial,) = [one.request.stamp for one in driver.pilots.values()]
    await stage.register(trial)
    stage.crew.worked.append(trial)
    await stage.factory.cycle()
    stage.clock.now += 15
    await stage.factory.cycle()

    assert tried[0] == 10
    assert 14 <= tried[-1] <= 20, "one alone, after a minute, two, four …"
    assert len(driver.pilots) >= 10, "one that works ends that"
    assert sum(event == "place_in_doubt" for event, _ in stage.events) == 1


async def test_a_file_that_says_another_thing_ends_the_doubt_about_its_element() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 3
    await stage.factory.cycle()
    await came_back_empty(stage, driver)
    await stage.factory.cycle()
    doubted = len(await stage.states())
    element.entry = msgspec.structs.replace(element.entry, pilot=PilotEntry(os="el8"))
    await stage.factory.cycle()

    assert (doubted, len(await stage.states())) == (3, 6)


async def test_pilots_that_leave_when_no_job_waits_are_no_bad_sign() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 3
    await stage.factory.cycle()
    await came_back_empty(stage, driver)
    stage.work.jobs.clear()
    await stage.factory.cycle()
    stage.work.jobs[Need()] = 3
    stage.clock.now += 15
    await stage.factory.cycle()

    assert len(await stage.states()) == 6


async def test_no_more_pilots_come_where_new_ones_are_idle_though_jobs_wait() -> None:
    element, driver = an_element()
    other, elsewhere = an_element("other")
    stage = Stage(element, other)
    stage.work.jobs[Need()] = 2
    await stage.factory.cycle()
    before = len(driver.pilots), len(elsewhere.pilots)
    (idle,) = [one.request.stamp for one in driver.pilots.values()]
    await stage.register(idle)
    stage.crew.idlers[idle] = 15.0
    stage.work.jobs[Need()] = 8
    await stage.factory.cycle()
    held = len(driver.pilots), len(elsewhere.pilots)
    stage.crew.workers.add(idle)
    stage.work.jobs[Need()] = 20
    await stage.factory.cycle()

    assert before == (1, 1)
    assert held == (1, 8)
    assert len(driver.pilots) > 1, "an old pilot that has worked says nothing of new ones"


async def test_idle_pilots_go_where_others_are_needed_a_few_at_a_time() -> None:
    shapes = (Shape(cores=1, memory_mb=2_000), Shape(cores=8, memory_mb=16_000))
    element, driver = an_element(shapes=shapes, pilots_max=6, cancel_max=2)
    stage = Stage(element)
    stage.work.jobs[Need()] = 6
    await stage.factory.cycle()
    for one in list(driver.pilots.values()):
        await stage.register(one.request.stamp)
        stage.crew.workers.add(one.request.stamp)
    stage.work.jobs = {Need(cores_min=8): 3}
    pilots = sorted(await stage.states())
    stage.crew.idlers = dict(zip(pilots, [10.0, 20.0, 29.0, 31.0, 40.0, 50.0], strict=True))
    await stage.factory.cycle()
    few = set(stage.crew.drained)
    driver.is_down = True
    stage.crew.drained.clear()
    await stage.factory.cycle()
    unknown = set(stage.crew.drained)
    driver.is_down = False
    stage.work.jobs.clear()
    stage.clock.now += 100
    await stage.factory.cycle()

    assert few == set(pilots[-2:])
    assert unknown == set(), "an element that does not answer loses none"
    assert stage.crew.drained == {}, "nobody needs their places: they may wait for jobs"


async def test_an_element_that_swallows_jobs_gets_one_pilot_for_the_canary() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 5
    stage.crew.rooms["slurm"] = 0
    await stage.factory.cycle()
    suspended = len(driver.pilots)
    stage.crew.rooms["slurm"] = 1
    for _ in range(3):
        await stage.factory.cycle()

    assert (suspended, len(driver.pilots)) == (0, 1)


def a_class(
    *needs: Need, type_: str = "User", community: str = "ctao", number: int = 0
) -> ClassSpec:
    return ClassSpec(
        class_id=number, community=community, group="g", owner="o", type=type_, needs=needs
    )


async def test_it_is_said_why_no_pilot_comes() -> None:
    element, driver = an_element(pilots_max=2, queued_max=2)
    far, down = an_element("far", site="CSCS", pilot=PilotEntry(os="el8"))
    stage = Stage(element, far)
    down.is_down = True
    before = stage.factory.prospects(a_class(Need()))
    stage.work.jobs |= {Need(os="el9"): 1, Need(os="el8"): 1}
    await stage.factory.cycle()
    await stage.factory.cycle()
    coming = stage.factory.prospects(a_class(Need(os="el9")))
    for one in list(driver.pilots.values()):
        await stage.register(one.request.stamp)
    stage.work.jobs[Need(os="el9")] = 9
    await stage.factory.cycle()
    for one in list(driver.pilots.values()):
        if (await stage.states())[one.request.stamp] is PilotState.WAITING:
            await stage.register(one.request.stamp)
    await stage.factory.cycle()
    full = stage.factory.prospects(a_class(Need(os="el9")))
    unfit = stage.factory.prospects(a_class(Need(os="el9", cores_min=4)))
    pause = stage.factory.prospects(a_class(Need(os="el8")))
    stage.work.banned.add("PIC")
    banned = stage.factory.prospects(a_class(Need(os="el9")))
    stage.work.draining.add("PIC")
    draining = stage.factory.prospects(a_class(Need(os="el9"), type_="Test"))

    assert before == []
    assert coming == ["pilots that could run it are on their way: 1 at PIC/slurm"]
    assert full == ["no pilot comes: PIC/slurm is full: 2 of 2 pilots"]
    assert unfit == [
        "no pilot comes: no shape of pilots in the sites' files could run it: "
        "cores: it wants 4, there is 1 (2 of 2); os: it wants el9, there is el8 (1 of 2)"
    ]
    assert "CSCS/far has a pause of 30 s more" in pause[0]
    assert banned == ["no pilot comes: PIC/slurm is banned: only jobs of type Test run there"]
    assert "draining" in draining[0]


async def test_an_element_in_doubt_says_so_to_whoever_waits() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 2
    await stage.factory.cycle()
    await came_back_empty(stage, driver)
    await stage.factory.cycle()

    (said,) = stage.factory.prospects(a_class(Need()))

    assert "PIC/slurm is in doubt: 2 pilots ended without a job although jobs wait" in said
    assert "2 pilots ended" in stage.factory.held(element)
