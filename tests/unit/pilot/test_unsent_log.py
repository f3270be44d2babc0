"""What the central has not been told: kept over lives, bounded, whatever the disk did."""

import json
import os
from pathlib import Path

import pytest

from pilotage.pilot.events import EVENTS, QUIET, SOON, WARNINGS
from pilotage.pilot.talk.unsent_log import BURST, LINES_MAX, RATE_A_S, FileUntoldLog, text_of
from pilotage.proto.limits import TEXT_MAX, check
from pilotage.proto.messages import PilotLine, PilotLog


class Wall:
    def __init__(self, at: float = 1_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "untold.log"


def waiting(untold: FileUntoldLog, most: int = 10_000) -> list[PilotLine]:
    return list(untold.lines(most, 10**9))


def said(untold: FileUntoldLog) -> list[str]:
    return [f"{one.event} {one.text}".strip() for one in waiting(untold)]


def noted(untold: FileUntoldLog, job: int) -> None:
    untold.note("ended", {"job": job, "epoch": 1, "how": "exited"})


def test_each_event_with_another_urgency_is_in_the_table() -> None:
    assert set(EVENTS) >= WARNINGS | SOON | QUIET
    assert not SOON & QUIET


#    facts                                              text
TEXTS: list[tuple[dict[str, object], str]] = [
    ({"job": 7, "epoch": 1, "how": "exited"}, "how=exited"),
    ({"attempt_id": 5, "why": "no room left"}, 'why="no room left"'),
    ({"why": ""}, 'why=""'),
    ({"code": 0, "wait_s": 1.5, "signal": None}, "code=0 wait_s=1.5 signal=null"),
    ({"traceback": "a\n b"}, 'traceback="a\\n b"'),
    ({"facts": {"os": "el9"}}, 'facts={"os":"el9"}'),
    ({"why": "\x1b[31m\ud800"}, "why=\\x1b[31m\\ud800"),
    ({"path": Path("/a")}, 'path="/a"'),
]


@pytest.mark.parametrize(("facts", "text"), TEXTS)
def test_facts_read_as_people_search_them(facts: dict[str, object], text: str) -> None:
    assert text_of(facts) == text


def test_what_is_told_is_gone_and_what_is_not_is_there_in_the_next_life(
    file: Path, wall: Wall
) -> None:
    untold = FileUntoldLog(file, wall)
    for job in (1, 2, 3):
        noted(untold, job)
    untold.told(waiting(untold)[0].n)
    wall.at += 60.0
    again = FileUntoldLog(file, wall)
    again.note("pilot_started", {"version": "1"})
    lines = waiting(again)

    assert said(again) == ["ended how=exited", "ended how=exited", "pilot_started version=1"]
    assert [one.ago_s for one in lines] == [60.0, 60.0, 0.0]
    assert [one.n for one in lines] == sorted({one.n for one in lines})
    again.told(lines[-1].n)
    assert waiting(FileUntoldLog(file, wall)) == []


def test_numbers_grow_over_lives_also_where_the_file_is_lost_or_the_clock_went_back(
    file: Path, wall: Wall
) -> None:
    first = FileUntoldLog(file, wall)
    noted(first, 1)
    last = waiting(first)[-1].n
    wall.at -= 500.0
    second = FileUntoldLog(file, wall)
    noted(second, 2)
    assert waiting(second)[-1].n == last + 1
    file.unlink()
    wall.at += 600.0
    third = FileUntoldLog(file, wall)
    noted(third, 3)

    assert waiting(third)[-1].n > last + 1


def test_lines_get_higher_numbers_where_the_central_knows_higher_ones(
    file: Path, wall: Wall
) -> None:
    untold = FileUntoldLog(file, wall)
    noted(untold, 1)
    noted(untold, 2)
    untold.renumber(10**9)
    noted(untold, 3)

    numbers = [10**9 + 1, 10**9 + 2, 10**9 + 3]
    assert [one.n for one in waiting(untold)] == numbers
    assert [one.n for one in waiting(FileUntoldLog(file, wall))] == numbers


@pytest.mark.parametrize(
    "spoilt",
    [b"[12", b"\xff\xfe\n", b"{}\n", b'[1,2]\n["a"]\n[null]\n', b"[5,1,2,3,[]]\nnull\n7\n"],
)
def test_what_cannot_be_read_costs_itself_alone(file: Path, wall: Wall, spoilt: bytes) -> None:
    untold = FileUntoldLog(file, wall)
    noted(untold, 1)
    with open(file, "ab") as more:
        more.write(spoilt)

    assert said(FileUntoldLog(file, wall)) == ["ended how=exited"]


def test_a_disk_that_takes_nothing_costs_nothing_but_the_next_life(
    tmp_path: Path, wall: Wall
) -> None:
    nowhere = FileUntoldLog(tmp_path / "no" / "folder", wall)
    noted(nowhere, 1)
    full = FileUntoldLog(Path("/dev/full"), wall) if os.access("/dev/full", os.W_OK) else nowhere
    noted(full, 1)
    full.told(0)

    assert said(nowhere)[-1:] == said(full)[-1:] == ["ended how=exited"]


def test_lines_of_an_attempt_have_its_number(file: Path, wall: Wall) -> None:
    untold = FileUntoldLog(file, wall)
    untold.about(7, 2, 4711)
    untold.note("ended", {"job": 7, "epoch": 2, "how": "exited"})
    untold.note("ended", {"job": 7, "epoch": 1, "how": "lost"})
    untold.note("work_failed", {"attempt_id": 12, "work": "staging", "why": "", "traceback": ""})
    untold.note("bus_down", {"url": "mqtt://b", "why": "gone"})

    assert [one.attempt_id for one in waiting(untold)] == [4711, 0, 12, 0]
    assert [one.warning for one in waiting(untold)] == [False, False, True, True]


def test_only_some_events_press_and_some_are_no_reason_to_speak(file: Path, wall: Wall) -> None:
    untold = FileUntoldLog(file, wall)
    untold.note("token_renewed", {"expires_in_s": 1.0})
    wall.at += 100.0
    assert (untold.is_pressing(), untold.waits_s()) == (False, 0.0)
    untold.note("assigned", {"job": 1, "epoch": 1})
    wall.at += 30.0
    assert (untold.is_pressing(), untold.waits_s()) == (False, 30.0)
    noted(untold, 1)

    assert untold.is_pressing()


def test_who_logs_too_much_leaves_out_what_is_no_warning_and_says_so(
    file: Path, wall: Wall
) -> None:
    untold = FileUntoldLog(file, wall)
    for job in range(int(BURST) + 500):
        noted(untold, job)
        untold.told(waiting(untold, 1)[-1].n if waiting(untold, 1) else 0)
    untold.note("bus_down", {"url": "b", "why": "x"})
    assert said(untold) == ["log_gap lines=500", "bus_down url=b why=x"]
    wall.at += 10.0
    untold.told(waiting(untold)[-1].n)
    for job in range(1_000):
        noted(untold, job)

    assert len(waiting(untold)) == pytest.approx(10.0 * RATE_A_S, abs=5)


def test_a_central_that_is_away_for_long_costs_the_oldest_lines(file: Path, wall: Wall) -> None:
    untold = FileUntoldLog(file, wall)
    for job in range(3 * LINES_MAX):
        wall.at += 1.0
        untold.note("declined", {"job": job, "epoch": 1, "why": str(job)})
    assert len(waiting(untold)) == LINES_MAX
    assert waiting(untold)[-1].text == f"why={3 * LINES_MAX - 1}"
    assert file.stat().st_size < 2_000_000

    assert len(waiting(FileUntoldLog(file, wall))) == LINES_MAX


def test_the_file_stays_small_while_all_is_told(file: Path, wall: Wall) -> None:
    untold = FileUntoldLog(file, wall)
    for job in range(20_000):
        wall.at += 1.0
        noted(untold, job)
        untold.told(waiting(untold)[-1].n)

    assert file.stat().st_size < 1_000_200


def test_a_parcel_is_what_the_central_takes(file: Path, wall: Wall) -> None:
    untold = FileUntoldLog(file, wall)
    untold.note("work_failed", {"attempt_id": 1, "work": "w", "why": "", "traceback": "x" * 9_999})
    for job in range(5):
        noted(untold, job)
    wall.at = 9e12
    check(PilotLog("g", 1, tuple(waiting(untold))))

    assert len(waiting(untold)[0].text) == TEXT_MAX
    assert len(untold.lines(3, 10**9)) == 3
    assert len(untold.lines(100, TEXT_MAX)) == len(untold.lines(100, 10)) == 1
    assert len(json.dumps([one.text for one in untold.lines(100, TEXT_MAX + 20)])) < TEXT_MAX + 99
