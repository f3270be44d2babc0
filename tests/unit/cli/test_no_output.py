"""`status` without unfinished jobs, `logs` without output, and the figures of `show`."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from pilotage.central.cli.jobs import show
from pilotage.central.cli.jobs.outputs import what_lacks
from pilotage.central.cli.main import run
from pilotage.central.client.errors import NotFound
from pilotage.central.client.files import Downloaded
from pilotage.central.client.waiting.job_output import OnPart, OutputPart
from pilotage.proto.api.jobs import (
    JobDetail,
    JobFilter,
    JobPage,
    JobView,
    Outputs,
    Summary,
    SummaryBy,
    SummaryRow,
)
from pilotage.proto.api.limits import LimitsView
from pilotage.proto.api.outputs import JobOutputs
from pilotage.proto.api.pilots import PilotView
from pilotage.proto.api.sites import Sites
from pilotage.proto.job_states import JobState

from .stub_client import give


def view_of(state: JobState, epoch: int) -> JobView:
    return JobView(
        id=9000,
        submission=1,
        name="",
        type="User",
        community="local",
        group="users",
        owner="ann",
        state=state,
        epoch=epoch,
    )


class Central:
    """Has one job, which wrote nothing."""

    def __init__(self, state: JobState, epoch: int, *, is_late: bool = False) -> None:
        self.view = view_of(state, epoch)
        self._part = OutputPart(attempt=0, newest=epoch, is_late=is_late)

    async def log(self, *_: object, on_part: OnPart, **__: object) -> AsyncGenerator[bytes, None]:
        on_part(self._part)
        yield b""

    async def outputs(self, job: int) -> Outputs:
        return Outputs(job=job, outputs=[])

    async def outputs_of(self, jobs: object) -> AsyncGenerator[JobOutputs, None]:
        assert isinstance(jobs, JobFilter)
        if jobs.submission == 1:
            yield JobOutputs(view=self.view)

    async def search(self, jobs: JobFilter) -> AsyncGenerator[JobView, None]:
        if jobs.submission != 99:
            yield self.view

    async def detail(self, _: int) -> JobDetail:
        return JobDetail(view=self.view, job=None)

    async def summary(self, *_: object) -> Summary:
        row = SummaryRow(key="", counts={JobState.DONE: 1})
        return Summary(by=SummaryBy.STATE, total=1, rows=[row])

    async def submission(self, id: int) -> "Central":
        if id != 1:
            raise NotFound("not_found", f"there is no submission {id}")
        return self

    def ids(self) -> Iterator[int]:
        yield self.view.id

    async def pilots(self, **_: object) -> AsyncGenerator[PilotView, None]:
        none: list[PilotView] = []
        for pilot in none:
            yield pilot

    async def sites(self) -> Sites:
        return Sites(sites=[])

    async def limits(self) -> LimitsView:
        return LimitsView(shares={}, limits=())

    async def page(self, *_: object, **__: object) -> JobPage:
        return JobPage(jobs=[], after=None)


EMPTY = {
    (JobState.WAITING, 0): "job 9000 waits and has not run yet: `pilotage explain 9000` says why",
    (JobState.KILLED, 0): "job 9000 has not run",
    (JobState.RUNNING, 1): "job 9000 has written nothing to stdout yet",
    (JobState.DONE, 1): "job 9000 has written nothing to stdout",
}


@pytest.mark.parametrize(("state", "epoch"), EMPTY)
def test_logs_say_that_there_is_no_output(
    state: JobState,
    epoch: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    give(Central(state, epoch), monkeypatch)

    assert run(["logs", "9000"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"pilotage: {EMPTY[state, epoch]}\n")


def test_logs_do_not_take_silence_of_a_pilot_for_silence_of_a_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(Central(JobState.RUNNING, 1, is_late=True), monkeypatch)

    assert run(["logs", "9000"]) == 0
    late = "the pilot of job 9000 did not send its stdout within 15 s: try again, or add --follow"
    assert capsys.readouterr().err == f"pilotage: {late}\n"


def test_outputs_are_of_given_jobs_or_of_a_submission(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(Central(JobState.DONE, 1), monkeypatch)

    assert run(["output"]) == 2
    assert run(["output", "3-4", "--submission", "1"]) == 2
    assert run(["output", "3-4", "--to", "a", "--tar", "b"]) == 2
    assert run(["output", "--submission", "1"]) == 0
    assert run(["output", "--submission", "99"]) == 3
    assert run(["output", "--filter", "state=Held"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "pilotage: no jobs: give ids as in 12 or 20-29, or a filter such as --submission 3, or "
        "--all",
        "pilotage: give either ids or a filter, not both",
        "pilotage: give either --to or --tar, not both",
        "pilotage: job 9000 kept no such files",
        "pilotage: there is no submission 99",
        "pilotage: no jobs match state Held",
    ]


def test_what_lacks_is_told_in_one_line() -> None:
    found = Downloaded([], [7], [1, 2, 3, 5, 9, 11, 13, 15], [100, 101], [(4, "a"), (6, "b")])

    assert what_lacks(found) == (
        "job 7 has not ended; 8 jobs kept no such files (1-3, 5, 9, 11, 13, …); 2 jobs do not "
        "exist (100-101); the central no longer has a of job 4 and 1 more"
    )
    assert what_lacks(Downloaded([], [], [], [], [])) == ""


def test_logs_of_several_jobs_come_in_their_order(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    class Logs(Central):
        async def log(
            self, *words: object, on_part: OnPart | None = None, **_: object
        ) -> AsyncGenerator[bytes, None]:
            job = words[0]
            assert isinstance(job, int) and on_part is None
            if job == 3:
                raise NotFound("not_found", "there is no job 3")
            await asyncio.sleep(0.01 * (job % 3))
            yield {1: b"one\n", 2: b"", 20: b"tw"}.get(job, b"en\n")
            yield b"enty" if job == 20 else b""

    give(Logs(JobState.DONE, 1), monkeypatch)

    assert run(["logs", "1-3", "20", "--json"]) == 1
    assert run(["logs", "1-3", "5-14", "20"]) == 1
    assert run(["logs", "1-3", "--follow"]) == 2
    assert run(["logs", "--submission", "99"]) == 3
    said, told = capfdbinary.readouterr()
    rows = [json.loads(line)["text"] for line in said.splitlines()[:3]]
    assert rows == ["one\n", "", "twenty"]
    others = b"".join(b"==> job %d <==\nen\n" % job for job in range(5, 15))
    assert said.endswith(
        b"==> job 1 <==\none\n==> job 2 <==\n" + others + b"==> job 20 <==\ntwenty\n"
    )
    assert told.decode().splitlines() == [
        "pilotage: job 3 does not exist",
        "pilotage: job 3 does not exist",
        "pilotage: --follow takes a single job",
        "pilotage: there is no submission 99",
    ]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (JobState.RUNNING, "job 9000 kept no files yet: it has not ended"),
        (JobState.DONE, "job 9000 kept no files"),
    ],
)
def test_outputs_of_an_unfinished_job_may_still_come(
    state: JobState, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(Central(state, 1), monkeypatch)

    assert run(["output", "9000"]) == 0
    assert capsys.readouterr().err == f"pilotage: {said}\n"


def test_status_says_that_no_job_is_unfinished(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(Central(JobState.DONE, 1), monkeypatch)
    monkeypatch.setattr("pilotage.central.cli.presentation.on_terminal", lambda: True)

    assert run(["status"]) == 0
    assert capsys.readouterr().out == "1 job: 1 Done\nno unfinished jobs\n"
    assert run(["status", "--state", "Held"]) == 0
    assert capsys.readouterr().out == "no jobs match state Held\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("status", "no unfinished jobs"),
        ("status --after 5", "no unfinished jobs after job 5"),
        ("status --submission 1", "no jobs match submission=1, any state"),
        ("pilot list", "no live pilots: start one with `pilotage pilot start`"),
        ("pilot list --state Lost", "no Lost pilots"),
        ("pilot list --all", "there are no pilots"),
        ("site list", "there are no sites"),
        ("limits show", "there are no limits"),
    ],
)
def test_a_pipe_stays_empty_and_the_standard_error_says_that_there_is_none(
    words: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(Central(JobState.DONE, 1), monkeypatch)

    assert run(words.split()) == 0
    heard = capsys.readouterr()
    assert heard.out in ("", "1 job: 1 Done\n")  # `status` alone counts all jobs first
    assert heard.err == f"pilotage: {said}\n"


def test_status_of_an_unknown_submission_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(Central(JobState.DONE, 1), monkeypatch)

    assert run(["status", "--submission", "99"]) == 3
    assert capsys.readouterr().err == "pilotage: there is no submission 99\n"


def test_figures_are_rounded_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    usage: dict[str, Any] = {"wall_s": 0.009691832000044087, "memory_peak_mb": 12.0}
    show._print(JobDetail(view=view_of(JobState.DONE, 1), job=None, usage=usage))
    said = capsys.readouterr().out.splitlines()

    assert "used.wall_s              0.01" in said
    assert "used.memory_peak_mb      12" in said
