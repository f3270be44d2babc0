"""Pilots that have ended and stay at their element, and those that start while it is asked."""

from collections.abc import Awaitable, Callable, Sequence

from pilotage.central.factory.element import Slot, SlotState
from pilotage.central.factory.errors import ElementOperation, ElementUnreachable
from pilotage.central.pilots import record as pilot_records, record_slots as slot_records
from pilotage.proto.documents.job import Need
from pilotage.proto.pilot_states import PilotState
from tests.fake_element import FakeElement
from tests.unit.factory.test_factory import Stage, an_element


class Stubborn(FakeElement):
    """One on which things happen while it is asked, and that does not cancel."""

    cancels = True
    when_asked: Callable[[], Awaitable[None]] | None = None

    async def states(self, slots: Sequence[str]) -> dict[str, Slot]:
        said = await super().states(slots)
        if self.when_asked is not None:
            await self.when_asked()
        return said

    async def cancel(self, slots: Sequence[str]) -> None:
        if not self.cancels:
            raise ElementUnreachable(ElementOperation.CANCEL, "scancel: timed out")
        await super().cancel(slots)


def there(driver: FakeElement) -> int:
    return sum(one.slot.state is not SlotState.ENDED for one in driver.pilots.values())


async def moved(stage: Stage, pilot: str, state: PilotState) -> None:
    wall = stage.clock.wall()
    assert await stage.store.write(
        pilot_records.move_pilot, pilot, PilotState.RUNNING, state, wall, "the test says so"
    )


async def test_pilots_that_said_good_bye_and_stay_take_up_their_places_and_are_cancelled() -> None:
    element, driver = an_element(pilots_max=3)
    stage = Stage(element)
    stage.work.jobs[Need()] = 3
    most = 0
    for _ in range(40):
        await stage.factory.cycle()
        most = max(most, there(driver))
        for row in await stage.store.read(slot_records.kept_slots, after="", limit=1_000):
            if row.state is PilotState.WAITING and row.slot is not None:
                driver.says(row.slot, SlotState.RUNNING)
                await stage.register(row.pilot)
                await moved(stage, row.pilot, PilotState.DONE)
        stage.clock.now += 15

    assert most == 3
    assert len(driver.cancelled) >= 3
    assert len(await stage.states()) > 3, "those that were cancelled make room"


async def test_pilots_that_cannot_be_cancelled_take_up_their_places() -> None:
    element, _ = an_element(pilots_max=5, queued_max=3)
    element.driver = driver = Stubborn()
    driver.cancels = False
    stage = Stage(element)
    stage.work.jobs[Need()] = 3

    for _ in range(30):
        await stage.factory.cycle()
        for slot in driver.pilots:
            driver.says(slot, SlotState.HELD)
        stage.clock.now += 900

    assert there(driver) == 3


async def test_a_lost_pilot_whose_batch_job_has_ended_gives_its_place_to_another() -> None:
    element, driver = an_element(pilots_max=1)
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    await stage.factory.cycle()
    (pilot,) = await stage.states()
    await stage.register(pilot)
    driver.says("1", SlotState.ENDED, 137)
    await stage.factory.cycle()
    stage.clock.now += 400
    await stage.factory.cycle()
    before = len(driver.pilots)
    await moved(stage, pilot, PilotState.LOST)
    await stage.factory.cycle()

    assert (before, len(driver.pilots)) == (1, 2)
    assert "with exit code 137" in stage.crew.given_up[pilot]


async def test_a_pilot_that_registers_while_it_is_taken_back_is_not_cancelled() -> None:
    driver = Stubborn()
    stage, pilot = await with_one_queued(driver)
    stage.work.jobs.clear()
    driver.when_asked = lambda: stage.register(pilot)
    await stage.factory.cycle()

    assert driver.cancelled == []
    assert await stage.states() == {pilot: PilotState.RUNNING}


async def test_a_pilot_that_speaks_at_the_end_of_the_patience_is_not_cancelled() -> None:
    driver = Stubborn()
    stage, pilot = await with_one_queued(driver)
    driver.says("1", SlotState.RUNNING)
    await stage.factory.cycle()
    stage.work.jobs.clear()
    stage.clock.now += 901
    driver.when_asked = lambda: stage.register(pilot)
    await stage.factory.cycle()

    assert driver.cancelled == []
    assert await stage.states() == {pilot: PilotState.RUNNING}
    assert not any(event == "pilot_failed" for event, _ in stage.events)


async def with_one_queued(driver: FakeElement) -> tuple[Stage, str]:
    element, _ = an_element()
    element.driver = driver
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    await stage.factory.cycle()
    await stage.factory.cycle()
    (pilot,) = await stage.states()
    return stage, pilot
