"""What a payload is to run with is found before it starts; what is not there has its own end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from pilotage.pilot.ports import Outfit, OutfitMissing
from pilotage.proto.messages import Assignment, How, Report, Stop, Turn, TurnReply, What
from tests import virtual
from tests.fake_pilot import FakePilot
from tests.scripted_central import Central, assignment

LIMIT_S = 1_000.0


@dataclass
class FakeOutfitter:
    """Takes a while, and then has what it has."""

    takes_s: float = 1.0
    fails: Exception | None = None
    asked: list[Assignment] = field(default_factory=list[Assignment])

    async def outfit(self, assignment: Assignment, folder: Path) -> Outfit:
        self.asked.append(assignment)
        await asyncio.sleep(self.takes_s)
        if self.fails is not None:
            raise self.fails
        return Outfit("apptainer", {})


def live(
    outfitter: FakeOutfitter | None,
    *assignments: Assignment,
    central: Central | None = None,
    until: Callable[[Central], bool] = lambda central: bool(central.ended),
) -> tuple[Central, FakePilot]:
    """Let a pilot run these jobs until the story is over."""
    central = central or Central()
    central.queue.extend(assignments)
    pilot = FakePilot(central)
    pilot.outfitter = outfitter

    async def story() -> None:
        agent = pilot.agent()
        running = asyncio.get_running_loop().create_task(agent.run())
        end = virtual.now() + LIMIT_S
        while not until(central):
            assert virtual.now() < end, "it never came"
            await asyncio.sleep(0.1)
        agent.drain("the story is over")
        await running

    virtual.run(story(), limit_s=2 * LIMIT_S)
    return central, pilot


WANTS: dict[str, dict[str, object]] = {
    "image": {"image": "/a.sif"},
    "software": {"software": ("/opt/a",)},
    "modules": {"modules": ("gcc",)},
}


def _last(central: Central) -> Report:
    (report,) = central.ended.values()
    return report


@pytest.mark.parametrize("wanted", WANTS)
def test_what_is_wanted_is_found_before_the_start_and_its_rung_is_reported(wanted: str) -> None:
    outfitter = FakeOutfitter()

    central, pilot = live(outfitter, assignment(1, "sleep", "3", **WANTS[wanted]))

    assert [one.job for one in outfitter.asked] == [1]
    assert pilot.guard.outfits == {1_001: Outfit("apptainer", {})}
    assert (_last(central).how, _last(central).isolation) == (How.EXITED, "apptainer")
    started = [report for report in central.reports if report.what is What.STARTED]
    assert [report.isolation for report in started] == ["apptainer"]


def test_a_payload_that_wants_nothing_waits_for_nobody() -> None:
    outfitter = FakeOutfitter()

    central, pilot = live(outfitter, assignment(1, "true"))

    assert outfitter.asked == []
    assert pilot.guard.outfits == {1_001: None}
    assert _last(central).isolation == "fake"


def test_what_is_not_there_ends_the_attempt_with_its_own_word() -> None:
    outfitter = FakeOutfitter(fails=OutfitMissing("image /a.sif is not on this node"))

    central, pilot = live(outfitter, assignment(1, "true", image="/a.sif"))

    last = _last(central)
    assert (last.how, last.detail) == (How.SOFTWARE, "image /a.sif is not on this node")
    assert pilot.guard.started == []


def test_a_pilot_without_an_outfitter_says_so() -> None:
    central, _ = live(None, assignment(1, "true", image="/a.sif"))

    last = _last(central)
    assert (last.how, last.detail) == (
        How.SOFTWARE,
        "this pilot does not support images, software or modules",
    )


def test_what_nobody_foresaw_ends_one_attempt_and_not_the_pilot() -> None:
    outfitter = FakeOutfitter(fails=ZeroDivisionError("odd"))
    jobs = assignment(1, "true", image="/a.sif"), assignment(2, "true")

    central, _ = live(outfitter, *jobs, until=lambda central: len(central.ended) == 2)

    assert [report.how for report in central.ended.values()] == [How.INPUT, How.EXITED]


class StoppingCentral(Central):
    """Wants the first job to stop as soon as it is given."""

    def _turn(self, turn: Turn) -> TurnReply:
        return replace(super()._turn(turn), stop=(Stop(1, 1),))


def test_a_stop_does_not_wait_for_software_that_takes_long() -> None:
    outfitter = FakeOutfitter(takes_s=10_000.0)
    job = assignment(1, "true", software=("/opt/a",))

    central, pilot = live(outfitter, job, central=StoppingCentral())

    assert _last(central).how is How.KILLED
    assert pilot.guard.started == []
