"""Ctrl-C: it says whether the jobs were submitted, or what continues and how to wait again."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, NoReturn

import pytest

from pilotage.central.cli.jobs.submit import SentJobs
from pilotage.central.cli.main import run
from pilotage.central.client.handles import AsyncSubmissionHandle
from pilotage.proto.api.jobs import IdRange, Submitted
from pilotage.proto.api.productions import ProductionDetail

from .stub_client import give


async def interrupt() -> NoReturn:
    """Press Ctrl-C, and wait for its effect."""
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(60)
    raise AssertionError("the interrupt had no effect")


class Central:
    """A central at which somebody presses Ctrl-C: in `submit`, or in the waiting after it."""

    def __init__(self, sent: int | None = None) -> None:
        self.sent = sent  # jobs of an interrupted submission that were sent; None: it is accepted
        self.keys: list[str] = []

    async def submit(self, *, key: str, progress: Callable[[int], None], **_: Any) -> Any:
        self.keys.append(key)
        if self.sent is not None:
            progress(self.sent)
            await interrupt()
        done = Submitted(submission=7, count=1, ids=[IdRange(first=12, count=1)])
        return AsyncSubmissionHandle(self, done)  # type: ignore[arg-type]

    async def wait_for(self, *_: object) -> None:
        await interrupt()

    async def log(self, *_: object, **__: object) -> AsyncGenerator[bytes, None]:
        yield b""
        await interrupt()

    async def production(self, _: str | int) -> ProductionDetail:
        await interrupt()

    async def summary(self, _: object) -> NoReturn:
        await interrupt()

    async def search(self, wanted: object) -> AsyncIterator[object]:
        if getattr(wanted, "include_deleted", False):  # of `watch`
            await interrupt()
        for one in tuple[object, ...]():
            yield one


WAITS = {
    "submit --wait -- true": "the jobs continue; to wait again: pilotage wait --submission 7",
    "submit --follow -- true": "the job continues; to wait again: pilotage logs 12 --follow",
    "wait 12 13": "the jobs continue; to wait again: pilotage wait 12 13",
    "wait 1 2 3 4 5 6": "the jobs continue; to wait again: run this command again",
    "watch 7": "the jobs continue; to wait again: pilotage watch 7",
    "watch": "the jobs continue; to wait again: pilotage watch",
    "logs 12 --follow": "the job continues; to wait again: pilotage logs 12 --follow",
    "prod wait chain": "the production continues; to wait again: pilotage prod wait chain",
}


@pytest.mark.parametrize("line", WAITS)
def test_an_interrupted_wait_says_what_continues(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(Central(), monkeypatch)

    assert run(line.split()) == 130
    assert capsys.readouterr().err == f"pilotage: interrupted: {WAITS[line]}\n"


def test_an_interrupted_submission_that_was_not_sent_is_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(Central(sent=2_999), monkeypatch)

    assert run(["submit", "--array", "3000", "--", "true"]) == 130
    assert capsys.readouterr().err == "pilotage: interrupted: nothing was submitted\n"


def test_an_interrupted_submission_that_was_sent_names_its_key(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    central = Central(sent=1)
    give(central, monkeypatch)

    assert run(["submit", "--", "true"]) == 130
    (key,) = central.keys
    said = capsys.readouterr().err
    assert "the jobs may have been submitted" in said
    assert f"the same command with --key {key} gives the same jobs" in said


def test_a_repeated_submission_counts_its_longest_try() -> None:
    sent, moved = SentJobs(3), list[int]()
    hear = sent.watched(moved.append)
    for count in (2, 3, 1):
        hear(count)

    assert sent.may_be_accepted
    assert moved == [2, 3, 1]
    assert not SentJobs(0).may_be_accepted
