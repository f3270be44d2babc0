"""How far productions are, in words: states, parts, what stands and why, what to type next."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pilotage.central.cli.exit_codes import ExitCode
from pilotage.central.cli.productions.status_texts import (
    how_far,
    next_command,
    node_of,
    percent,
    what_stays,
    why_it_is_stuck,
    without_missing,
    words_of,
)
from pilotage.central.cli.productions.views import outcome_of, print_production, print_report
from pilotage.central.client.waiting.production_ends import is_stuck
from pilotage.proto.api.productions import (
    Eta,
    ProductionDetail,
    ProductionReport,
    ProductionView,
    StepFailures,
    StepReport,
    StepView,
)
from pilotage.proto.failures import FailureClass
from pilotage.proto.production_states import ProductionState as P
from pilotage.proto.transformation_states import (
    InputState as I,
    TaskState as T,
    TransformationState as S,
)

NOW = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)


def step(name: str = "merge", **fields: Any) -> StepView:
    given: dict[str, Any] = {
        "step": name,
        "transformation": 7,
        "name": f"w-{name}",
        "title": "",
        "state": S.ACTIVE,
        "reason": "",
        "parents": (),
        "inputs": {},
        "tasks": {},
        "tasks_made": 0,
        "tasks_expected": 4,
    }
    return StepView(**{**given, **fields})


def view(*steps: StepView, **fields: Any) -> ProductionView:
    given: dict[str, Any] = {
        "id": 3,
        "name": "w",
        "title": "",
        "state": P.ACTIVE,
        "reason": "",
        "community": "ctao",
        "group": "dpps",
        "owner": "someone",
        "steps": list(steps),
        "progress": 0.5,
        "eta": None,
        "marks": (),
        "priority": None,
        "rerun_of": None,
        "definition": "0" * 64,
        "made_at": "",
        "changed_at": "",
    }
    return ProductionView(**{**given, **fields})


def detail_of(its: ProductionView, **fields: Any) -> ProductionDetail:
    given: dict[str, Any] = {"workflow": {}, "files": {}, "written": {}, "rules": ""}
    more: dict[str, Any] = {"software": {}, "images": {}, "version": ""}
    return ProductionDetail(view=its, **{**given, **more, **fields})


@pytest.mark.parametrize(("part", "said"), [(0.0, "0 %"), (0.999, "99 %"), (1.0, "100 %")])
def test_all_is_said_only_of_all(part: float, said: str) -> None:
    assert percent(part) == said


def test_the_time_of_the_end_is_told_with_its_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    at = ("2026-03-01T12:00:00.000Z", "2026-03-01T11:30:00.000Z", "2026-03-01T12:40:00.000Z")
    later = (*at[:2], "2026-03-02T01:00:00.000Z")

    today = how_far(view(eta=Eta(*at)), NOW)
    assert today.startswith("50 % done, complete about ") and today.count(":") == 3
    assert " Mar " in how_far(view(eta=Eta(*later)), NOW)
    assert how_far(view(), NOW) == "50 % done"


STUCK = {
    "nothing": (step(), ""),
    "a brake": (step(state=S.PAUSED, reason="40 of 100 failed"), "40 of 100 failed"),
    "stuck files": (
        step(inputs={I.STUCK: 3, I.MISSING: 1, I.UNUSED: 5}),
        "3 files failed too often and 1 file cannot be read",
    ),
    "files left over": (step(state=S.COMPLETED, reason="2 inputs are left"), "2 inputs are left"),
}


@pytest.mark.parametrize("case", STUCK)
def test_a_stuck_step_is_shown_with_its_reason(case: str) -> None:
    given, said = STUCK[case]

    assert why_it_is_stuck(given, P.ACTIVE) == said
    assert node_of(given, P.ACTIVE).look == ("stuck" if said else "")


def test_a_step_that_is_paused_with_all_others_is_not_stuck_by_itself() -> None:
    assert why_it_is_stuck(step(state=S.PAUSED, reason="paused with w"), P.PAUSED) == ""


def test_a_step_is_told_in_tasks() -> None:
    tasks = {T.DONE: 1_200, T.CREATED: 3, T.FAILED: 1}

    assert words_of(step(tasks=tasks, tasks_made=1_204)) == "1 200/≈ 4 done, 3 run, 1 failed"
    assert words_of(step(tasks_expected=None)) == "0/? done"
    assert words_of(step(parents=("dl1",))) == "0/≈ 4 done, waits for files"
    assert words_of(step(state=S.PAUSED, expected_exactly=True)) == "0/4 done, paused"


def first_of(its: ProductionView) -> str:
    """Return the first of the commands to type next, without that for a mistake in the file."""
    return next_command(its).partition(";")[0]


def test_what_to_type_next_follows_from_how_it_stands() -> None:
    over = step("merge", state=S.COMPLETED, parents=("make",), outputs="dpps:transformation-7")

    assert next_command(view(state=P.NEW)) == "pilotage prod start w"
    assert next_command(view(step(tasks_wanted=4))) == "pilotage prod wait w"
    for alone in (S.PAUSED, S.STOPPED):
        assert first_of(view(step(state=alone))).endswith("pilotage prod resume w")
    assert (
        next_command(view(step(inputs={I.STUCK: 1})))
        .partition(";")[0]
        .endswith("pilotage prod fix w")
    )
    assert next_command(view(state=P.PAUSED)) == "pilotage prod resume w"
    braked = view(step(state=S.PAUSED, inputs={I.STUCK: 2}))
    assert first_of(braked).endswith("pilotage prod fix w"), "resume would leave the files"
    assert next_command(braked).endswith(
        "correct it, then pilotage prod submit FILE --name w --correct"
    )
    bad = next_command(view(step(state=S.PAUSED, inputs={I.PROBLEMATIC: 2})))
    assert bad.partition(";")[0].endswith("pilotage prod fix w --problematic")
    found = next_command(
        view(step("make", state=S.COMPLETED, outputs="a:b"), over, state=P.COMPLETED)
    )
    assert found == "pilotage data find dataset=dpps:transformation-7"
    assert next_command(view(state=P.CLEANED)) == ""


def test_what_ends_only_when_no_more_files_come_is_to_be_completed() -> None:
    done = step("sum", parents=("make",), tasks={T.DONE: 1})
    waits = "pilotage prod complete w, if no more files of the catalogue come"

    assert next_command(view(step("make", inputs={I.UNUSED: 1}), done)) == waits
    for others in (
        {"tasks": {T.CREATED: 1}},
        {"marks": ("looking for inputs",)},
        {"marks": ("closing",)},
        {"state": S.COMPLETING},
        {"state": S.COMPLETED},
    ):
        assert next_command(view(step("make", **others), done)) == "pilotage prod wait w", others
    running = step("sum", parents=("make",), tasks={T.CREATED: 1})
    assert next_command(view(step("make"), running)) == "pilotage prod wait w"


def test_of_what_is_put_away_it_is_said_what_stays_and_how_that_goes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_production(detail_of(view(step(), state=P.ARCHIVED)))
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "its files stay in the catalogue, and its name is free",
        "next: pilotage prod clean 3, if its files should be removed too",
    ]

    print_production(detail_of(view(step(), state=P.CLEANED)))
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "its files were removed from the catalogue, and its name is free"
    assert what_stays(view(step(), state=P.COMPLETED)) == ""


@pytest.mark.parametrize("alone", [S.PAUSED, S.STOPPED])
def test_it_is_stuck_if_nothing_runs_and_nothing_will(alone: S) -> None:
    stands, below = step("a", state=alone), step("b", parents=("a",))

    assert is_stuck(view(stands, below))
    assert not is_stuck(view(step("a", state=alone, tasks={T.CREATED: 1}), below))
    assert not is_stuck(view(step("a"), below))
    assert not is_stuck(view(step("a", state=S.COMPLETED), step("b", parents=("a",))))
    assert is_stuck(view(step(), state=P.PAUSED))


@pytest.mark.parametrize("mark", ["stuck", "waits for a person"])
def test_a_mark_of_release_0_1_is_read_too(mark: str) -> None:
    its = view(step("a", marks=(mark,)), step("b", parents=("a",)))

    assert is_stuck(its)
    assert without_missing(its) == ["pilotage prod complete w --step a"]


def partial(allowed: float, *more: StepView, failed: int = 1, **fields: Any) -> ProductionView:
    """Some of four tasks of `make` have failed, and `merge` has run without these."""
    make = step(
        "make", state=S.COMPLETED, tasks_wanted=4, tasks={T.DONE: 4 - failed, T.FAILED: failed}
    )
    given: dict[str, Any] = {"parents": ("make",), "reason": f"made without {failed} of 4 tasks"}
    given |= fields
    merge = step("merge", state=S.COMPLETED, allow_partial=allowed, **given)
    return view(make, *more, merge, state=P.COMPLETED)


PAIR = step("pair", state=S.COMPLETED, parents=("make",), inputs={I.PROCESSED: 2, I.STUCK: 1})
ENDS = {
    "so much may be missing": (partial(0.25), ExitCode.OK),
    "more is missing than may be": (partial(0.24), ExitCode.FAILED),
    "what is missing adds up": (partial(0.49, PAIR, parents=("pair",)), ExitCode.FAILED),
    "what is missing adds up, and may be": (partial(0.5, PAIR, parents=("pair",)), ExitCode.OK),
    "another step allows nothing": (
        partial(0.25, step("x", state=S.COMPLETED, parents=("make",))),
        ExitCode.FAILED,
    ),
    "a step that feeds none": (
        view(
            step(state=S.COMPLETED, inputs={I.STUCK: 1, I.PROCESSED: 3}, allow_partial=1.0),
            state=P.COMPLETED,
        ),
        ExitCode.FAILED,
    ),
    "all well": (view(step(state=S.COMPLETED), state=P.COMPLETED), ExitCode.OK),
    "a file too bad": (view(step(inputs={I.PROBLEMATIC: 1}), state=P.COMPLETED), ExitCode.FAILED),
    "a task failed": (view(step(tasks={T.FAILED: 1}), state=P.COMPLETED), ExitCode.FAILED),
    "tried again, and well": (
        view(step(inputs={I.PROCESSED: 2}, tasks={T.FAILED: 1, T.DONE: 1}), state=P.COMPLETED),
        ExitCode.OK,
    ),
    "stopped": (view(step(), state=P.STOPPED), ExitCode.FAILED),
    "archived": (view(step(state=S.ARCHIVED), state=P.ARCHIVED), ExitCode.FAILED),
    "braked": (view(step(state=S.PAUSED)), ExitCode.HELD),
    "one step stopped alone": (view(step(state=S.STOPPED)), ExitCode.HELD),
}


@pytest.mark.parametrize("case", ENDS)
def test_the_exit_code_says_how_it_ended(case: str) -> None:
    given, code = ENDS[case]

    assert outcome_of(given) is code


def test_a_production_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    steps = (
        step("make", state=S.COMPLETED, tasks={T.DONE: 4}, done=1.0, expected_exactly=True),
        step("merge", state=S.PAUSED, reason="2 of 2 failed", parents=("make",)),
    )
    did = ["step merge makes 2 more"]
    print_production(detail_of(view(*steps, marks=("step merge is stuck",)), did=did))

    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "production 3: w is Active (step merge is stuck): 50 % done",
        "step merge makes 2 more",
        "step transformation state done run wait failed stuck how far",
        "make 7 Completed 4/4 100 %",
        "merge 7 Paused 0/≈ 4 0 %",
        "step merge is stuck: 2 of 2 failed",
        "next: pilotage prod report w, then pilotage prod resume w; or, after a mistake in the "
        "file: correct it, then pilotage prod submit FILE --name w --correct",
    ]


def test_a_step_that_was_made_without_some_inputs_is_not_stuck(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_production(detail_of(partial(0.25)))

    said = capsys.readouterr().out
    assert "step merge: made without 1 of 4 tasks" in said.splitlines()
    assert "stuck:" not in said


FULL = "waits: owner 'ada' of community 'ctao' has 4 of 4 jobs, and this adds at least 1"


def test_a_step_that_a_quota_stops_is_shown_with_the_quota(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_production(detail_of(view(step("make", reason=FULL))))
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"step make {FULL}",
        "next: pilotage prod wait w",
    ]

    print_report(ProductionReport(view=view(step("make", reason=FULL)), steps=[], files=0, bytes=0))
    assert f"step make {FULL}" in capsys.readouterr().out.splitlines()
    print_production(detail_of(view(step("make", reason=FULL), state=P.STOPPED)))
    assert FULL not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("failed", "said"),
    [
        (0, "no attempt has failed (new failures are counted within ten seconds)"),
        (1, "1 task has failed: details follow within ten seconds"),
        (10, "10 tasks have failed: details follow within ten seconds"),
    ],
)
def test_a_report_never_says_that_nothing_failed_where_tasks_did(
    failed: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    its = view(step(tasks={T.FAILED: failed}))
    report = StepReport(step="merge", failures=[], waits="", stuck={}, task_s=None, memory_mb=None)
    print_report(ProductionReport(view=its, steps=[report], files=0, bytes=0))

    assert capsys.readouterr().out.splitlines()[1] == said


def test_a_report_names_for_each_cause_the_command_that_shows_it_and_quotes_its_last_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def failed(of: FailureClass, *jobs: int, stderr: str = "") -> StepFailures:
        return StepFailures(
            failure=of, attempts=2, jobs=1, examples=jobs, said="exit code 2", stderr=stderr
        )

    failures = [
        failed(FailureClass.PAYLOAD, 12, 14, stderr="no such run: 17"),
        failed(FailureClass.MEMORY, 13),
        failed(FailureClass.TIME),
    ]
    report = StepReport(
        step="merge",
        failures=failures,
        waits="",
        stuck={},
        task_s=None,
        memory_mb=None,
    )
    print_report(ProductionReport(view=view(step()), steps=[report], files=0, bytes=0))

    lines = capsys.readouterr().out.splitlines()
    assert lines[5:-2] == [
        "step merge, payload: pilotage logs 12 --stream stderr",
        "    no such run: 17",
        "step merge, limit.memory: pilotage logs 13 --stream stderr",
    ]


def test_a_report_advises_what_comes_after_it_and_counts_one_file_as_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = StepReport(
        step="merge",
        failures=[],
        waits="",
        stuck={I.PROBLEMATIC: 1},
        task_s=None,
        memory_mb=None,
    )
    its = view(step(inputs={I.PROBLEMATIC: 1}))
    print_report(ProductionReport(view=its, steps=[report], files=1, bytes=8))

    assert capsys.readouterr().out.splitlines()[2:] == [
        "step merge: 1 file is Problematic",
        "step merge is stuck: 1 file is bad",
        "1 file, 8 bytes in the catalogue",
        "next: pilotage prod fix w --problematic; or, after a mistake in the file: correct it, "
        "then pilotage prod submit FILE --name w --correct",
    ]


def test_a_step_that_no_pilot_fits_does_not_run() -> None:
    why = "no pilot fits: cores 99 (the closest pilot has 8)"
    one = step(tasks={T.CREATED: 3}, unfit=why)

    assert words_of(one) == "0/≈ 4 done, 3 wait"
    assert why_it_is_stuck(one, P.ACTIVE) == why
    assert node_of(one, P.ACTIVE).look == "waits", "such a pilot may come by itself"
    assert words_of(step(tasks={T.CREATED: 3})) == "0/≈ 4 done, 3 run"
