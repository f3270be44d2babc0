"""Ends that come in quick succession travel together: each request costs pilot and central."""

import pytest

from pilotage.pilot.mind import commands as c

from .stories import Story, job_of


def running() -> Story:
    """Return a pilot of three cores and three payloads that it was given together."""
    story = Story(cores=3)
    story.tell("0     bus up            ask 1")
    story.happen(["got", *"ABC"], 0.01)
    return story


def ended(story: Story, name: str, at: float) -> list[c.Command]:
    """A payload is gone and leaves nothing: return what the pilot then does."""
    story.happen(["gone", name, "0"], at)
    return story.happen(["collected", name], at)


def told(commands: list[c.Command]) -> list[int]:
    turns = [one.turn for one in commands if isinstance(one, c.SendTurn)]
    return [report.job for turn in turns for report in turn.reports]


def test_the_first_end_of_a_burst_waits_for_the_next_and_a_pause_ends_the_waiting() -> None:
    story = running()

    assert told(ended(story, "A", 0.050)) == []
    assert story.brain.due() == pytest.approx(0.053)
    assert told(ended(story, "B", 0.052)) == []
    assert story.brain.due() == pytest.approx(0.055)
    assert told(story.happen(["tick"], 0.055)) == [job_of("A"), job_of("B")]


def test_when_the_last_has_ended_nobody_is_waited_for() -> None:
    story = running()
    for name in "AB":
        assert told(ended(story, name, 0.050)) == []

    assert told(ended(story, "C", 0.051)) == [job_of(name) for name in "ABC"]


def test_ends_without_a_pause_are_told_after_fifteen_milliseconds() -> None:
    story = Story(cores=16)
    story.tell("0     bus up            ask 1")
    story.happen(["got", *"ABCDEFX"], 0.01)
    found = [told(ended(story, name, 0.050 + 0.0029 * n)) for n, name in enumerate("ABCDEF")]

    assert not any(found)
    assert story.brain.due() == pytest.approx(0.065)
    assert len(told(story.happen(["tick"], 0.0651))) == 6


def test_an_end_that_comes_alone_is_told_at_once() -> None:
    story = running()

    assert told(ended(story, "A", 5.0)) == [job_of("A")]
