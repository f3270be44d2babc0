"""What a dry run at a central prints: what is a bound, and what is near, is not told as a count."""

import json

import pytest

from pilotage.central.cli.productions.plans import previewed, reuse_in_words
from pilotage.central.cli.productions.submit_options import ProductionOptions
from pilotage.proto.api.productions import ProductionPreview, StepPreview
from pilotage.proto.documents.job import Job
from pilotage.proto.documents.workflow import Step, Workflow

STEP = StepPreview(
    step="use",
    name="w-use",
    tasks=5_000,
    exact=False,
    inputs={"raw": 10_000, "tables": 3},
    outputs={"o": 5_000},
    document={},
    more=["raw"],
)
SHARED = StepPreview(
    step="use",
    name="w-use",
    tasks=4,
    exact=True,
    inputs={"raw": 8, "tables": 10_000},
    outputs={"o": 4},
    document={},
    more=["tables"],
)


def _preview(step: StepPreview) -> ProductionPreview:
    return ProductionPreview(
        name="w", steps=[step], tasks=step.tasks, files=step.outputs["o"], definition=""
    )


def test_of_files_that_were_not_all_counted_there_are_at_least_so_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    previewed(_preview(STEP), "").print(json=False)
    said = capsys.readouterr().out

    assert "at least 10 000 raw, ≈ 3 tables" in said
    assert "w: 1 step, ≈ 5 000 jobs, ≈ 5 000 files" in said
    assert "at least: the catalogue has more files than were counted" in said


def test_files_that_all_share_leave_the_jobs_exact(capsys: pytest.CaptureFixture[str]) -> None:
    previewed(_preview(SHARED), "").print(json=False)
    said = capsys.readouterr().out

    assert "8 raw, at least 10 000 tables" in said and "≈" not in said
    assert "w: 1 step, 4 jobs, 4 files" in said


def test_as_json_they_are_not_exact(capsys: pytest.CaptureFixture[str]) -> None:
    previewed(_preview(SHARED), "").print(json=True)
    (step,) = json.loads(capsys.readouterr().out)["steps"]

    assert step["inputs"] == {
        "raw": {"count": 8, "exact": True},
        "tables": {"count": 10_000, "exact": False},
    }


@pytest.mark.parametrize(
    ("reuse", "options", "said"),
    [
        (False, ProductionOptions(), "reuse: off (no `reuse: true`)"),
        (True, ProductionOptions(), "reuse: all steps take the results of equal earlier tasks"),
        (True, ProductionOptions(no_reuse=True), "reuse: off (--no-reuse), all tasks run"),
    ],
)
def test_a_dry_run_says_whether_results_are_reused(
    reuse: bool, options: ProductionOptions, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow = Workflow(name="w", reuse=reuse, steps={"use": Step(job=Job(command=("true",)))})

    previewed(_preview(STEP), reuse_in_words(workflow, options)).print(json=False)

    assert said in capsys.readouterr().out
