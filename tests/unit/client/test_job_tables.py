"""Jobs as a table: for pandas, polars and notebooks."""

import sys
from datetime import UTC, datetime

import msgspec
import pytest

from pilotage.central.client.errors import MissingPackage
from pilotage.central.client.notebooks.job_tables import JobTable
from pilotage.proto.documents.job import Mark
from pilotage.proto.job_states import JobState

from .stub_central import view

TABLE = JobTable(
    [
        msgspec.structs.replace(
            view(1, JobState.DONE),
            name="<fit>",
            exit_code=0,
            submitted_at="2026-01-02T03:04:05.000Z",
            started_at="2026-01-02T03:04:06.500Z",
            ended_at="2026-01-02T03:05:06.500Z",
        ),
        msgspec.structs.replace(
            view(2, JobState.RUNNING),
            marks=(Mark.STALLED, Mark.KILLING),
            submitted_at="2026-01-02T03:04:05.000Z",
        ),
    ]
)
SUBMITTED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_columns_have_texts_and_times() -> None:
    columns = TABLE.columns()

    assert columns["state"] == ["Done", "Running"]
    assert columns["marks"] == ["", "stalled, killing"]
    assert columns["submitted_at"] == [SUBMITTED, SUBMITTED]
    assert columns["ended_at"][1] is None
    assert columns["run_s"] == [60.0, None]


def test_pandas_gets_times_and_numbers() -> None:
    frame = TABLE.to_frame("pandas")

    assert str(frame["submitted_at"].dtype).startswith("datetime64")
    assert str(frame["submitted_at"].dt.tz) == "UTC"
    assert frame["submitted_at"][0] == SUBMITTED
    assert frame["run_s"].sum() == 60
    assert list(frame["exit_code"].isna()) == [False, True]
    assert len(JobTable().to_frame("pandas")) == 0


def test_polars_gets_times_and_numbers() -> None:
    frame = TABLE.to_frame("polars")

    assert str(frame["ended_at"].dtype) == "Datetime(time_unit='us', time_zone='UTC')"
    assert frame["submitted_at"][0] == SUBMITTED
    assert frame["exit_code"].to_list() == [0, None]
    assert len(JobTable().to_frame("polars")) == 0


def test_without_a_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingPackage, match="pandas or polars: run `pip install pandas`"):
        TABLE.to_frame()
    with pytest.raises(ValueError, match="expected pandas or polars"):
        TABLE.to_frame("numpy")


def test_a_notebook_shows_a_table() -> None:
    html = TABLE._repr_html_()

    assert html.startswith("<table><thead><tr><th>id</th><th>name</th>")
    assert "<td>&lt;fit&gt;</td><td>Done</td>" in html
    assert "2026-01-02 03:04:05+00:00" in html
    many = JobTable(list(TABLE) * 50)._repr_html_()
    assert many.count("<tr>") == 21
    assert many.endswith("<p>… of 100 jobs</p>")
