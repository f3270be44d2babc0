"""Elements that fail beside one that does not: who gets the pilots, and who is told of."""

from collections.abc import Sequence

import pytest

from pilotage.central.factory.element import PilotRequest, SlotState, SubmitResult
from pilotage.central.factory.errors import CredentialExpired, Denied, ElementOperation
from pilotage.proto.documents.job import Need
from pilotage.proto.pilot_states import PilotState
from tests.fake_element import FakeElement

from .test_factory import Stage, an_element

DEAD = [
    CredentialExpired("it has run out"),
    Denied(ElementOperation.AUTHORISE, "we do not know you"),
]


async def test_elements_with_a_broken_credential_do_not_starve_the_good_one_beside_them() -> None:
    dead = [an_element(name) for name in ("a", "b", "c")]
    good, driver = an_element("good")
    stage = Stage(*(element for element, _ in dead), good)
    for _, one in dead:
        one.breaks = CredentialExpired("it has run out")
    stage.work.jobs[Need()] = 1
    for _ in range(2):
        await stage.factory.cycle()
        stage.clock.now += 15

    assert len(driver.pilots) == 1
    assert all("credential: it has run out" in element.trouble for element, _ in dead)


class LetsUsLook(FakeElement):
    """Answers all questions, and takes no pilot."""

    why: Exception = DEAD[0]

    def called(self, step: ElementOperation) -> None:
        super().called(step)
        if step is ElementOperation.SUBMIT:
            raise self.why


@pytest.mark.parametrize("why", DEAD, ids=lambda why: why.step.value)
async def test_an_element_that_answers_but_takes_no_pilot_is_tried_less_and_less(
    why: Exception,
) -> None:
    element, _ = an_element()
    element.driver = driver = LetsUsLook()
    driver.why = why
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    for _ in range(240):  # an hour
        await stage.factory.cycle()
        stage.clock.now += 15

    assert 4 <= driver.calls.count("submit") <= 9, "after 30 s, a minute, two, four …"
    assert element.trouble == str(why)
    driver.why = Denied(ElementOperation.SUBMIT, "")
    element.driver = FakeElement()
    stage.clock.now += 1_000
    await stage.factory.cycle()

    assert (element.trouble, element.pause_s) == ("", 0.0)


async def test_one_that_has_just_failed_comes_after_one_that_did_not_and_then_in_its_turn() -> None:
    (bad, refusing), (good, driver) = an_element("bad"), an_element("good")
    stage = Stage(bad, good)
    refusing.refuses = True
    stage.work.jobs[Need()] = 1
    await stage.factory.cycle()
    refusing.refuses = False
    stage.clock.now = bad.open_at + 1
    stage.work.jobs[Need()] = 3
    await stage.factory.cycle()
    just_after = len(refusing.pilots), len(driver.pilots)
    stage.clock.now += bad.pause_s + 1
    stage.work.jobs[Need()] = 6
    await stage.factory.cycle()

    assert just_after == (0, 3)
    assert len(refusing.pilots) == 3


async def test_an_element_with_no_pilots_is_asked_at_once_and_then_each_minute() -> None:
    (up, driver), (down, broken), (off, idle) = (
        an_element("up"),
        an_element("down"),
        an_element("off", enabled=False),
    )
    stage = Stage(up, down, off)
    broken.is_down = True
    await stage.factory.cycle()
    first = [len(one.calls) for one in (driver, broken, idle)]
    known = up.found is not None, down.found is not None, off.found is not None
    for _ in range(8):  # two minutes
        stage.clock.now += 15
        await stage.factory.cycle()

    assert first == [1, 1, 0]
    assert known == (True, False, False)
    assert driver.calls == ["reach"] * 3
    assert "reach" in down.trouble
    assert down.pause_s > 30.0


async def test_an_element_that_has_taken_a_pilot_after_all_refuses_no_more() -> None:
    element, driver = an_element()
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    driver.loses_replies = True
    await stage.factory.cycle()
    refused = element.trouble
    driver.loses_replies = False
    stage.clock.now = element.open_at
    await stage.factory.cycle()

    assert "the line was cut" in refused
    assert element.trouble == ""
    assert [one.slot.state for one in driver.pilots.values()] == [SlotState.QUEUED]


class RefusesEach(FakeElement):
    """Has a word for each pilot, and takes none."""

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        self.called(ElementOperation.SUBMIT)
        return SubmitResult({}, {one.stamp: "no queue for it" for one in requests})


async def test_one_that_refuses_each_pilot_by_itself_has_a_pause_as_well() -> None:
    element, _ = an_element()
    element.driver = driver = RefusesEach()
    stage = Stage(element)
    stage.work.jobs[Need()] = 1
    for _ in range(240):  # an hour
        await stage.factory.cycle()
        stage.clock.now += 15

    assert 4 <= driver.calls.count("submit") <= 9
    assert element.trouble == "submit: no queue for it"
    assert set((await stage.states()).values()) == {PilotState.ABORTED}
