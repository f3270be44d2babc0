"""What one job breaks ends that job: neither the pilot nor the payloads beside it."""

import asyncio
from collections.abc import Mapping

import pytest

from pilotage.pilot.containment import WorkFailed, contained
from pilotage.pilot.events import EVENTS
from pilotage.pilot.ports import UnsafePath
from pilotage.proto.limits import check
from pilotage.proto.messages import Assignment, Attempt, How, InputFile, OutputRule, Report
from tests.fake_pilot import FakePilot
from tests.scripted_central import ABC, Central, assignment

from .test_agent import live, until

MANY = tuple(OutputRule(f"output-number-{number:05}.fits.fz") for number in range(300))


def beside_a_neighbour(
    bad: Assignment, breaks: Mapping[str, Exception]
) -> tuple[Report, FakePilot, Central]:
    """Run a job for which something breaks beside one that sleeps; return what became of it."""

    async def story(central: Central, pilot: FakePilot) -> None:
        central.blobs[ABC] = b"abc"
        central.queue.append(assignment(2, "sleep", "100"))
        await until(lambda: bool(pilot.guard.started))
        pilot.workspace.breaks.update(breaks)
        central.queue.append(bad)
        await until(lambda: len(central.ended) == 2)

    central, pilot, code = live(story, cores=2)

    assert code == 0
    assert central.ended[Attempt(2, 1)].how is How.EXITED
    assert not pilot.journal.assignments() and not pilot.journal.ended()
    return central.ended[Attempt(1, 1)], pilot, central


@pytest.mark.parametrize(
    "error", [RecursionError("too deep"), MemoryError(), RuntimeError("odd"), OverflowError("big")]
)
def test_input_that_breaks_what_reads_it_fails_its_own_attempt(error: Exception) -> None:
    bad = assignment(1, "true", inputs=(InputFile("in", ABC, 3, unpack=True),))

    ended, pilot, _ = beside_a_neighbour(bad, {"unpack": error})

    assert (ended.how, ended.detail) == (How.INPUT, f"{type(error).__name__}: {error}")
    told = dict(pilot.log)["work_failed"]
    assert set(told) == EVENTS["work_failed"]
    assert "Traceback" in str(told["traceback"]) and told["work"] == "staging"


def test_an_archive_that_cannot_be_read_fails_the_job_and_is_not_tried_elsewhere() -> None:
    bad = assignment(1, "true", inputs=(InputFile("a\0b", ABC, 3, unpack=True),))

    ended, _, _ = beside_a_neighbour(bad, {"unpack": UnsafePath("the archive cannot be read")})

    assert ended.how is How.NO_START
    assert ended.detail == "input 'a\\x00b': the archive cannot be read"


def test_outputs_that_break_what_collects_them_fail_their_own_attempt() -> None:
    bad = assignment(1, "true", outputs=(OutputRule("*"),))

    ended, _, _ = beside_a_neighbour(
        bad, {"collect": UnicodeEncodeError("utf-8", "\udcff", 0, 1, "")}
    )

    assert ended.how is How.OUTPUT
    assert ended.detail.startswith("outputs cannot be kept: UnicodeEncodeError: 'utf-8' codec")


def test_a_folder_that_cannot_be_removed_stays_and_nothing_else_happens() -> None:
    ended, _, _ = beside_a_neighbour(assignment(1, "true"), {"remove": RecursionError("deep")})

    assert ended.how is How.EXITED


def test_a_disk_without_room_for_a_folder_fails_the_start() -> None:
    ended, _, _ = beside_a_neighbour(assignment(1, "true"), {"make": OSError(28, "no space")})

    assert ended.how is How.NO_START
    assert ended.detail == "its folder cannot be created: [Errno 28] no space"


def test_hundreds_of_missing_outputs_fail_the_attempt_once_in_few_words() -> None:
    ended, _, central = beside_a_neighbour(assignment(1, "true", outputs=MANY), {})

    assert ended.how is How.OUTPUT
    assert ended.detail == (
        "no file matches 'output-number-00000.fits.fz', 'output-number-00001.fits.fz', "
        "'output-number-00002.fits.fz' and 297 more"
    )
    for turn in central.turns:
        check(turn)


def test_a_pattern_with_nul_fails_the_attempt_readably() -> None:
    ended, _, central = beside_a_neighbour(assignment(1, "true", outputs=(OutputRule("a\0b"),)), {})

    assert ended.detail == "no file matches 'a\\x00b'"
    for turn in central.turns:
        check(turn)


async def test_cancellation_goes_through_and_what_is_known_comes_as_it_is() -> None:
    logged: list[str] = []

    def log(event: str, facts: Mapping[str, object]) -> None:
        logged.append(event)

    async def work(error: BaseException) -> None:
        raise error

    with pytest.raises(asyncio.CancelledError):
        await contained(work(asyncio.CancelledError()), log, 1, "w")
    with pytest.raises(KeyError):
        known = (KeyError,)
        await contained(work(KeyError()), log, 1, "w", known=known)
    assert not logged
    with pytest.raises(WorkFailed, match="ValueError: odd"):
        await contained(work(ValueError("odd")), log, 1, "w")
    assert logged == ["work_failed"]
