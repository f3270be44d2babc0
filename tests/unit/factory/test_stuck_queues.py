"""Pilots in a queue that stands still do not keep jobs from running elsewhere."""

import random
from collections import Counter

import pytest

from pilotage.central.factory.element import Slot, SlotState
from pilotage.central.factory.planning.plans import (
    Demand,
    ElementShape,
    ElementState,
    FactoryPlan,
    PlanBounds,
    plan,
)
from pilotage.central.factory.reconciliation import FactoryTimeouts, SlotHistory, reconcile
from pilotage.central.pilots import record as pilot_records, record_slots as slot_records
from pilotage.central.pilots.record_slots import SlotRow
from pilotage.proto.documents.job import Need
from pilotage.proto.pilot_states import PilotState
from tests.fake_element import FakeElement

from .test_factory import Stage, an_element

BOUNDS = PlanBounds()


def element(pilots: int = 0) -> ElementState:
    return ElementState(
        "e", pilots=pilots, queued=pilots, pilots_max=100, queued_max=50, submit_max=9, cancel_max=9
    )


def pilots(driver: FakeElement, state: SlotState = SlotState.QUEUED) -> int:
    return sum(one.slot.state is state for one in driver.pilots.values())


def test_late_pilots_are_kept_for_their_jobs_while_others_come_elsewhere() -> None:
    stuck, other = ElementShape(0, cores=1, queued=4, late=4), ElementShape(1, cores=1)
    come = ElementShape(1, cores=1, queued=4)

    first = plan([stuck, other], [element(4), element()], [Demand(0b11, 4)], BOUNDS)
    then = plan([stuck, come], [element(4), element(4)], [Demand(0b11, 4)], BOUNDS)
    fewer = plan([stuck, come], [element(4), element(4)], [Demand(0b11, 1)], BOUNDS)
    over = plan([stuck, come], [element(4), element(4)], [], BOUNDS)

    assert first == FactoryPlan({1: 4})
    assert then == FactoryPlan()
    assert fewer == FactoryPlan({}, {0: 3, 1: 3})
    assert over == FactoryPlan({}, {0: 4, 1: 4})


def test_where_pilots_are_late_none_come_for_the_same_jobs() -> None:
    late, full = (
        ElementShape(0, cores=1, queued=4, late=4),
        ElementShape(1, cores=1, queued=4, late=4),
    )
    shapes = [ElementShape(0, cores=8), late]

    alone = plan([late], [element(4)], [Demand(1, 4)], BOUNDS)
    both = plan([late, full], [element(4), element(4)], [Demand(0b11, 4)], BOUNDS)
    more = plan([late], [element(4)], [Demand(1, 6)], BOUNDS)
    beside = plan(shapes, [element(4)], [Demand(0b11, 4)], BOUNDS)

    assert (alone, beside) == (FactoryPlan(), FactoryPlan())
    assert both == FactoryPlan(), "each job has one on its way at each, and keeps its turn there"
    assert more == FactoryPlan({0: 2})


def test_of_late_pilots_and_newer_ones_only_as_many_wait_as_jobs() -> None:
    places = [ElementShape(0, cores=1, queued=6, late=3)]

    assert plan(places, [element(6)], [Demand(1, 4)], BOUNDS) == FactoryPlan({}, {0: 2})


async def test_a_job_comes_to_run_though_the_first_queue_stands_still() -> None:
    (bad, stuck), (good, moves) = an_element(site="A"), an_element(site="B")
    stage = Stage(bad, good)
    stage.work.jobs[Need()] = 6
    most = Counter[str]()
    first_at: float | None = None
    began = stage.clock.now
    while stage.clock.now < began + 4 * 3_600:
        await stage.factory.cycle()
        for row in await stage.store.read(slot_records.kept_slots, after="", limit=1_000):
            if row.site == "B" and row.state is PilotState.WAITING and row.slot is not None:
                await stage.register(row.pilot)
                wall = stage.clock.wall()
                args = (row.pilot, PilotState.RUNNING, PilotState.DONE, wall, "said good-bye")
                await stage.store.write(pilot_records.move_pilot, *args)
                moves.says(row.slot, SlotState.ENDED, 0)
                stage.work.jobs[Need()] = max(0, stage.work.jobs[Need()] - 1)
        if not stage.work.jobs[Need()] and first_at is None:
            first_at = stage.clock.now - began
        most["A"] = max(most["A"], pilots(stuck))
        stage.clock.now += 60

    assert first_at is not None, f"{stage.work.jobs[Need()]} jobs wait still"
    assert first_at <= 2 * 1_800 + 120
    assert most["A"] <= 6
    assert pilots(stuck) == 0, "nobody needs them any more"
    assert len(await stage.states()) <= 12


async def test_a_queue_that_stands_still_alone_gets_no_more_pilots_than_jobs() -> None:
    one, driver = an_element()
    stage = Stage(one)
    stage.work.jobs[Need()] = 5
    for _ in range(100):
        await stage.factory.cycle()
        stage.clock.now += 900

    assert len(await stage.states()) == 5
    assert pilots(driver) == 5


@pytest.mark.parametrize("seed", range(20))
def test_no_element_ever_has_more_pilots_than_there_are_jobs(seed: int) -> None:
    chance = random.Random(seed)
    jobs, there = chance.randint(1, 12), [0, 0, 0]
    for _ in range(60):
        late = [chance.randint(0, count) for count in there]
        places = [
            ElementShape(at, cores=1, queued=there[at], late=late[at]) for at in range(len(there))
        ]
        found = plan(places, [element(count) for count in there], [Demand(0b111, jobs)], BOUNDS)
        for at in range(len(there)):
            assert found.cancel.get(at, 0) <= max(0, sum(there) - jobs)
            there[at] += found.submit.get(at, 0) - found.cancel.get(at, 0)

        assert sum(there) >= jobs
        assert max(there) <= jobs


def test_pilots_count_ever_less_the_longer_they_wait() -> None:
    found = [late_of(10, age_s) for age_s in (0, 1_800, 2_700, 3_600, 99_999)]

    assert found == [0, 0, 5, 10, 10]


def late_of(pilots: int, age_s: float) -> int:
    rows = [
        SlotRow(
            pilot=f"p{number}",
            community="ctao",
            site="PIC",
            element="slurm",
            shape="shape 0",
            slot=str(number),
            state=PilotState.WAITING,
            made_at=1e6 - age_s,
            registered_at=None,
            ended_at=None,
            host="",
        )
        for number in range(pilots)
    ]
    said = {str(number): Slot(SlotState.QUEUED) for number in range(pilots)}
    found = reconcile(rows, said, SlotHistory(), wall=1e6, now=0.0, patience=FactoryTimeouts())
    return found.late(("shape 0", rows[0].community))
