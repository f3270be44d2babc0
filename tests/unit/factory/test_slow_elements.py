"""An element that answers some calls and lets others hang holds nobody up."""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence

import pytest

from pilotage.central.factory import factory
from pilotage.central.factory.element import PilotOutput, PilotRequest, SlotState, SubmitResult
from pilotage.central.factory.errors import ElementOperation, ElementUnreachable
from pilotage.proto.documents.job import Need
from pilotage.proto.pilot_states import PilotState
from tests.fake_element import FakeElement

from .test_factory import Stage, an_element


class Hanging(FakeElement):
    """One of which some calls take until their time-out."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs: set[str] = set()
        self.timed_out: Counter[str] = Counter()

    def _hang(self, call: str, step: ElementOperation) -> None:
        if call in self.hangs:
            self.timed_out[call] += 1
            raise ElementUnreachable(step, "not ended after 60 s")

    async def cancel(self, slots: Sequence[str]) -> None:
        self._hang("cancel", ElementOperation.CANCEL)
        await super().cancel(slots)

    async def output(self, slot: str) -> PilotOutput:
        self._hang("output", ElementOperation.OUTPUT)
        return await super().output(slot)

    async def forget(self, slots: Sequence[str]) -> None:
        self._hang("forget", ElementOperation.OUTPUT)
        await super().forget(slots)


async def with_failed_pilots() -> tuple[Stage, Hanging]:
    element, _ = an_element()
    element.driver = driver = Hanging()
    stage = Stage(element)
    stage.work.jobs[Need()] = 8
    await stage.factory.cycle()
    stage.work.jobs.clear()
    for slot in driver.pilots:
        driver.says(slot, SlotState.ENDED, 1)
    await stage.factory.cycle()
    return stage, driver


@pytest.mark.parametrize("call", ["output", "forget", "cancel"])
async def test_a_call_that_hangs_is_made_once_in_a_round_and_ends_the_turn(call: str) -> None:
    stage, driver = await with_failed_pilots()
    (element,) = stage.watched
    if call == "cancel":
        for slot in driver.pilots:
            driver.says(slot, SlotState.RUNNING)
    driver.hangs = {"cancel", "output", "forget"}
    stage.clock.now += 1_000
    await stage.factory.cycle()
    told = element.trouble

    assert driver.timed_out.total() == 1
    assert "not ended after 60 s" in told
    assert element.open_at > stage.clock.now


async def test_outputs_that_cannot_be_had_are_given_up_one_by_one() -> None:
    stage, driver = await with_failed_pilots()
    (element,) = stage.watched
    driver.hangs = {"output"}
    for _ in range(30):
        stage.clock.now += 1_000
        await stage.factory.cycle()

    assert driver.pilots == {}
    assert driver.timed_out["output"] <= 16
    assert set((await stage.states()).values()) == {PilotState.FAILED}
    assert not element.tried


class Gated(FakeElement):
    """One that takes what it gets when a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.asked = asyncio.Event(), 0

    async def submit(self, requests: Sequence[PilotRequest]) -> SubmitResult:
        self.asked += 1
        await self.gate.wait()
        return await super().submit(requests)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while True:
            if holds():
                return
            await asyncio.sleep(0.005)


async def test_others_go_round_while_one_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(factory, "WAIT_S", 0.05)
    (slow, _), (other, driver) = an_element("slow"), an_element("other")
    slow.driver = gated = Gated()
    stage = Stage(slow, other)
    stage.work.jobs[Need()] = 4
    async with asyncio.TaskGroup() as group:
        running = group.create_task(stage.factory.run())
        await until(lambda: gated.asked == 1 and driver.calls.count("states") >= 5)
        told, while_busy = slow.trouble, (slow.found, len(driver.pilots))
        stage.work.jobs[Need()] = 6
        await until(lambda: len(driver.pilots) == 6)
        gated.gate.set()
        await until(lambda: slow.found is not None and slow.found.pilots == 2 and not slow.trouble)
        running.cancel()

    assert "not done after 0.05 s" in told
    assert while_busy == (None, 4)
    assert gated.asked == 1, "its turn went on: it was not asked twice"
