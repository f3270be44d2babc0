"""Silent pilots: they count until their element reports their end."""

from pilotage.central.factory.element import SlotState
from pilotage.proto.documents.job import Need

from .test_factory import Stage, an_element


async def test_a_silent_pilot_that_its_element_reports_as_ended_frees_its_place_at_once() -> None:
    element, driver = an_element(pilots_max=1)
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    await stage.factory.cycle()
    (pilot,) = await stage.states()
    await stage.register(pilot)
    driver.says("1", SlotState.ENDED, 11)
    await stage.factory.cycle()
    talks = dict(stage.crew.lost), len(driver.pilots)
    stage.crew.mute.add(pilot)
    await stage.factory.cycle()

    assert talks == ({}, 1)
    reason = "lost: it is silent, and its element reports its end, with exit code 11"
    assert stage.crew.lost == {pilot: reason}
    assert len(driver.pilots) == 2, "another one has come"
