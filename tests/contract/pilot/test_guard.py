"""What a guard promises to its pilot, of the shipped one and of both fakes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from pilotage.pilot.ports import Ended

from .guards import DRIVERS, SLEEPS, Stage, Story

Play = Callable[[Story], None]


@pytest.fixture(params=DRIVERS)
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    return lambda story: DRIVERS[request.param](story, tmp_path)


async def the_end(stage: Stage, attempt: int) -> Ended:
    while True:
        news = await stage.news(attempt)
        if news.ended is not None:
            return news.ended


@pytest.mark.parametrize(("program", "code"), [("true", 0), ("false", 1)])
def test_a_payload_is_started_and_ends_with_its_code(play: Play, program: str, code: int) -> None:
    async def story(stage: Stage) -> None:
        stage.start(1, program)
        first, ended = await stage.news(), await the_end(stage, 1)

        assert (first.attempt_id, first.started) == (1, True)
        assert (ended.attempt_id, ended.exit_code, ended.signal) == (1, code, None)
        assert (ended.why, ended.warned, ended.frozen_s) == ("", False, 0.0)
        assert ended.usage.wall_s > 0.0

    play(story)


def test_what_it_writes_lies_in_its_folder(play: Play) -> None:
    async def story(stage: Stage) -> None:
        folders = {attempt: stage.start(attempt, "echo", str(attempt)) for attempt in (1, 2)}
        await the_end_of_all(stage, set(folders))

        assert {stage.read(folder / "stdout") for folder in folders.values()} == {b"1\n", b"2\n"}

    async def the_end_of_all(stage: Stage, left: set[int]) -> None:
        while left:
            news = await stage.news()
            if news.ended is not None:
                left.discard(news.attempt_id)

    play(story)


def test_a_program_that_is_not_there_is_named_and_nothing_more_is_said(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.start(1, "no-such-program")
        said = await stage.news()
        stage.start(2, "true")
        next_said = await stage.news()

        assert "no-such-program" in said.not_started
        assert (said.started, said.ended) == (False, None)
        assert (next_said.attempt_id, next_said.started) == (2, True)

    play(story)


@pytest.mark.parametrize("grace_s", [0.0, 5.0])
def test_a_payload_that_is_stopped_ends_by_a_signal(play: Play, grace_s: float) -> None:
    async def story(stage: Stage) -> None:
        stage.start(1, *SLEEPS)
        await stage.news()
        stage.guard.stop(1, grace_s)
        ended = await the_end(stage, 1)

        assert ended.exit_code is None
        assert ended.signal is not None
        assert ended.usage.wall_s < 5.0

    play(story)


def test_orders_about_what_is_not_there_change_nothing(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.guard.fence(7, stage.now())
        stage.guard.stop(7, 0.0)
        stage.start(1, "true")
        assert (await stage.news()).attempt_id == 1
        await the_end(stage, 1)
        stage.guard.stop(1, 0.0)
        stage.start(2, "true")

        assert (await stage.news()).attempt_id == 2

    play(story)


def test_a_payload_that_is_started_twice_runs_once(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.start(1, *SLEEPS)
        stage.start(1, *SLEEPS)
        assert (await stage.news()).started
        stage.guard.stop(1, 0.0)

        assert (await stage.news()).ended is not None

    play(story)


def test_at_its_fence_a_payload_freezes_and_goes_on_when_that_moves(play: Play) -> None:
    async def story(stage: Stage) -> None:
        began = stage.now()
        stage.start(1, "sleep", "0.6", fence_s=0.2)
        assert (await stage.news()).started
        assert (await stage.news()).frozen
        await asyncio.sleep(0.3)
        stage.guard.fence(1, stage.now() + 600.0)
        assert (await stage.news()).thawed
        ended = await the_end(stage, 1)

        assert (ended.exit_code, ended.why) == (0, "")
        assert ended.frozen_s >= 0.25 and ended.usage.frozen_s == ended.frozen_s
        took_s = stage.now() - began
        assert ended.usage.wall_s + ended.frozen_s <= took_s + 0.01, "no time counts twice"

    play(story)


@pytest.mark.parametrize("grace_s", [0.0, 300.0])
def test_no_grace_is_given_behind_the_fence(play: Play, grace_s: float) -> None:
    async def story(stage: Stage) -> None:
        stage.start(1, *SLEEPS, fence_s=0.0)
        assert (await stage.news()).started
        assert (await stage.news()).frozen
        stage.guard.stop(1, grace_s)
        said = await stage.news()

        assert said.ended is not None, "it does not run again to hear a soft signal"
        assert (said.ended.why, said.ended.signal) == ("killed", 9)

    play(story)


def test_a_payload_ends_at_its_wall_time_by_that_word(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.start(1, *SLEEPS, wall_s=0.3)
        ended = await the_end(stage, 1)

        assert (ended.why, ended.exit_code) == ("wall", None)
        assert 0.25 <= ended.usage.wall_s < 60.0

    play(story)


def test_an_attempt_is_seen_dead_once_it_is(play: Play) -> None:
    attempt = 4_711  # of no other test: all processes of the node are looked at

    async def story(stage: Stage) -> None:
        stage.start(attempt, *SLEEPS)
        await stage.news()
        alive = stage.seen_dead(attempt)
        stage.guard.stop(attempt, 0.0)
        await the_end(stage, attempt)

        assert (alive, stage.seen_dead(attempt)) == (False, True)

    play(story)
