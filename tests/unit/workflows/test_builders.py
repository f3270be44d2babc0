"""Workflows written in Python."""

from pathlib import Path

import pytest

from pilotage import production


def test_a_workflow_of_python_runs_as_its_docstring_tells(tmp_path: Path) -> None:
    (tmp_path / "simulate.sh").write_text(
        'for n in 1 5; do echo $1 > $n.txt; echo "{\\"nsb\\": $n}" > $n.txt.meta.json; done'
    )
    flow = production.Workflow("demo", metadata={"MCCampaign": "DEMO"}, folder=tmp_path)
    runs = flow.step(
        "simulate",
        ["sh", "simulate.sh", "{task}"],
        files=["simulate.sh"],
        tasks=4,
        outputs={"events": production.files_like("*.txt", sets={"nsb": [1, 5]})},
    )
    flow.step(
        "merge",
        ["sh", "-c", "cat $PILOTAGE_INPUTS > all"],
        inputs={"events": production.files(runs["events"], where={"nsb": 1})},
        grouping="all",
        outputs={"all": "all"},
    )

    outcome = flow.run(tmp_path / "run")

    assert outcome.complete, outcome.failures
    assert (tmp_path / "run/merge/1/all").read_text().split() == ["1", "2", "3", "4"]
    assert str(flow.plan().tasks) == "≈ 5"
    assert flow.text() == "simulate\n└─ merge"
    assert flow.svg().startswith("<svg ")


def test_values_and_parameters(tmp_path: Path) -> None:
    flow = production.Workflow("values", parameters={"words": ["a", "b"]})
    each = flow.step(
        "each",
        ["sh", "-c", "echo '\"{word}{more}\"' > v.json"],
        inputs={"word": production.parameter("words"), "more": production.value("!")},
        scatter=["word"],
        outputs={"said": production.value_in("v.json", "string")},
    )
    flow.step("all", ["echo", "{said}"], inputs={"said": each["said"]}, gather=["said"])

    outcome = flow.run(tmp_path / "run")

    assert outcome.complete, outcome.failures
    assert outcome.record.values["each"]["said"] == ["a!", "b!"]
    assert (tmp_path / "run/all/1.stdout").read_text() == "a! b!\n"


def test_mistakes_are_told_where_they_are_made() -> None:
    flow = production.Workflow("wrong", keys={"k": "number"})
    made = flow.step("make", ["x"], outputs={"events": "*"})

    with pytest.raises(production.BadWorkflow, match="did you mean 'events'"):
        made["event"]
    with pytest.raises(production.BadWorkflow, match="did you mean 'scatter'"):
        flow.step("use", ["x"], scater=["a"])
    with pytest.raises(production.BadWorkflow, match="there is already a step with this name"):
        flow.step("make", ["x"])
    with pytest.raises(production.BadWorkflow, match="step bad: "):
        flow.step("bad", ["x"], tasks=-1)
    flow.step("use", ["x"], inputs={"i": production.query({"kk": 1})})
    flow.step("of", ["x"], inputs={"i": production.dataset("no-scope")})
    with pytest.raises(production.BadWorkflow) as caught:
        flow.build()
    assert len(caught.value.lines) == 2


def test_a_file_is_read_into_the_same_form(tmp_path: Path) -> None:
    flow = production.Workflow("same", metadata={"a": 1})
    made = flow.step("make", ["x", "{task}"], tasks=2, outputs={"o": "*"})
    flow.step("use", ["y"], inputs={"i": production.files(made["o"])}, grouping=2)
    file = tmp_path / "same.yaml"
    file.write_text("""
workflow: same
metadata: {a: 1}
steps:
  make: {job: {command: [x, "{task}"]}, tasks: 2, outputs: {o: "*"}}
  use: {job: {command: [y]}, inputs: {i: make.o}, grouping: 2}
""")

    assert production.read_workflow(file).workflow == flow.build()
