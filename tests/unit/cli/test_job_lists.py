"""Columns and order of lists of jobs, on wide and narrow terminals."""

import io

import pytest
from rich.console import Console

from pilotage.central.cli.exit_codes import UsageError
from pilotage.central.cli.jobs.columns import (
    COLUMNS,
    OF_HISTORY,
    OF_STATUS,
    ListOptions,
    job_table,
)
from pilotage.central.cli.presentation import fit, rich_table
from pilotage.proto.api.jobs import JobView
from pilotage.proto.job_states import JobState


def a_view(id: int, **fields: object) -> JobView:
    given: dict[str, object] = {
        "submission": 1, "name": f"fit-{id}", "type": "User", "community": "ctao", "group": "sim",
        "owner": "ada", "state": JobState.DONE, "submitted_at": "2026-12-03T08:15:04Z",
    }  # fmt: skip
    return JobView(id=id, **{**given, **fields})  # type: ignore[arg-type]


def test_a_list_shows_what_jobs_used() -> None:
    view = a_view(7, run_s=3_725.0, cpu_s=5_587.5, cores=2, memory_peak_mb=912.4, memory_mb=2_000)
    names = "id,run,cpu,efficiency,memory,given,submitted"
    table = job_table(ListOptions(columns=names), "")

    assert table.headers == [f"{name}#" for name in names.split(",")]
    assert table.rows([view]) == [[7, "1h02m", "1h33m", "75%", "912MB", "2000MB", "12-03 08:15"]]
    assert table.rows([a_view(8, run_s=0.4)])[0][1:4] == ["0.4s", "-", "-"]


def test_a_list_is_sorted_by_any_column() -> None:
    views = [a_view(n, run_s=run, exit_code=code) for n, run, code in
             [(1, 90.0, None), (2, 700.0, 1), (3, 90.0, 0)]]  # fmt: skip

    def order(sort: str) -> list[int]:
        return [one.id for one in job_table(ListOptions(sort=sort), OF_STATUS).in_order(views)]

    assert order("run") == [1, 3, 2]
    assert order("-run") == [2, 1, 3]
    assert order("code") == [1, 3, 2]
    for name in COLUMNS:
        assert sorted(order(name)) == [1, 2, 3]


@pytest.mark.parametrize("options", [ListOptions(columns="id,tme"), ListOptions(sort="runn")])
def test_an_unknown_column_is_refused(options: ListOptions) -> None:
    with pytest.raises(UsageError, match="unknown column"):
        job_table(options, OF_STATUS)


@pytest.mark.parametrize("width", [60, 80, 100, 200])
@pytest.mark.parametrize("columns", [OF_STATUS, OF_HISTORY])
def test_each_job_takes_one_line_of_a_narrow_terminal(columns: str, width: int) -> None:
    table = job_table(ListOptions(), columns)
    views = [
        a_view(123_456 + n, reason="its pilot was lost: no heartbeat for 600 s", site="PIC",
               state=JobState.RUNNING, name="a-rather-long-name-of-a-job", exit_code=1)
        for n in range(3)
    ]  # fmt: skip
    cells = [[str(value) for value in row] for row in table.rows(views)]
    screen = io.StringIO()
    rows = fit(table.headers, cells, width)
    kept = table.headers[: len(rows[0])]
    Console(file=screen, width=width).print(rich_table(kept, rows, "", no_wrap=True))
    lines = [line for line in screen.getvalue().splitlines() if line.strip()]

    assert len(lines) == 2 + len(views)
    assert all(str(view.id) in line for view, line in zip(views, lines[2:], strict=True))
    assert all(len(line) <= width for line in lines)
    assert all("Running" in line for line in lines[2:])
    if width >= 80:
        assert kept == table.headers


def test_what_fits_is_not_cut() -> None:
    assert fit(["id#", "reason"], [["1", "no retries left"]], 40) == [["1", "no retries left"]]
    assert fit(["id#", "reason"], [["1", "no retries left"]], 15) == [["1", "no retri…"]]
    assert fit(["id#", "reason"], [["1", "no retries left"]], 9) == [["1"]]
