"""`submit --wait` prints what a single job wrote."""

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest

from pilotage.central.cli.main import run
from pilotage.central.client.handles import AsyncSubmissionHandle
from pilotage.central.client.waiting.job_output import OnPart, OutputPart
from pilotage.proto.api.jobs import IdRange, JobView, Submitted
from pilotage.proto.job_states import JobState

from .stub_client import give
from .test_no_output import view_of


class Central:
    """A central whose jobs end at once, in one state."""

    def __init__(self, state: JobState, written: list[bytes], left_out: int = 0) -> None:
        self._state, self._written, self._left_out = state, written, left_out

    async def submit(self, **given: Any) -> AsyncSubmissionHandle:
        count = len(given.get("parameters", "1"))
        done = Submitted(submission=7, count=count, ids=[IdRange(first=12, count=count)])
        return AsyncSubmissionHandle(self, done)  # type: ignore[arg-type]

    async def wait_for(self, *_: object) -> None:
        pass

    async def search(self, _: object) -> AsyncIterator[JobView]:
        yield view_of(self._state, 1)

    async def log(self, *_: object, on_part: OnPart, **__: object) -> AsyncGenerator[bytes]:
        on_part(OutputPart(attempt=1, newest=1, left_out=self._left_out))
        for piece in self._written:
            yield piece


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ([b"hel", b"lo\n"], "hello\n1 Done\n"),
        ([b"no line end"], "no line end\n1 Done\n"),
        ([b""], "1 Done\n"),
        ([], "1 Done\n"),
    ],
)
def test_the_output_of_a_single_job_is_printed_at_its_end(
    written: list[bytes],
    shown: str,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    give(Central(JobState.DONE, written), monkeypatch)

    assert run(["submit", "--wait", "--", "true"]) == 0
    assert capfdbinary.readouterr().out.decode() == f"submission 7: job 12\n{shown}"


def test_missing_bytes_are_told(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    give(Central(JobState.FAILED, [b"end\n"], left_out=800_000), monkeypatch)

    assert run(["submit", "--wait", "--", "true"]) == 1
    told = capfdbinary.readouterr()
    assert b"\nend\n1 Failed" in told.out
    assert b"800 000 bytes are missing" in told.err


@pytest.mark.parametrize("words", [["--json"], []])
def test_json_and_held_jobs_have_no_output(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    give(Central(JobState.DONE if words else JobState.HELD, [b"hello"]), monkeypatch)

    run(["submit", "--wait", *words, "--", "true"])

    assert b"hello" not in capfdbinary.readouterr().out


def test_an_array_names_the_command(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    give(Central(JobState.DONE, [b"hello"]), monkeypatch)

    assert run(["submit", "--wait", "--array", "3", "--", "true"]) == 0
    told = capfdbinary.readouterr()
    assert b"hello" not in told.out
    assert b"their output: pilotage logs --submission " in told.err
