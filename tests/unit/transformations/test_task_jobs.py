"""From documents to jobs, and what is refused."""

from typing import Any

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.transformations.groupings.rule_names import rule_of
from pilotage.central.transformations.task_jobs import Template, checked
from pilotage.proto.documents.job import DataInput, DataOutput, Input, Job, JobData
from pilotage.proto.documents.transformation import InputSpec, Transformation


def template(job: Job, **fields: Any) -> Template:
    given: dict[str, Any] = {"name": "t", "inputs": (InputSpec(query={"level": 1}),), **fields}
    return Template(Transformation(job=job, **given), "dpps:out")


def test_braces_are_filled_and_inputs_are_left_to_the_pilot() -> None:
    job = Job(
        command=("run", "--seed", "{task}", "{{x}}", "{inputs}"),
        name="t{transformation}-{particle}",
        environment={"MERGED": "{merged}"},
    )
    made = template(job).job(
        transformation_id=7, number=3, metadata={"particle": "gamma", "merged": True, "other": 1}
    )

    assert made.command == ("run", "--seed", "3", "{x}", "{inputs}")
    assert (made.name, made.environment) == ("t7-gamma", {"MERGED": "true"})
    assert made.data is not None
    assert [one.query for one in made.data.inputs] == [{"level": 1}]


def test_outputs_lie_in_the_dataset_of_the_transformation_with_its_metadata() -> None:
    outputs = (
        DataOutput(pattern="*.dl1", name="{task}/{file}", metadata={"particle": "{particle}"}),
        DataOutput(pattern="x", dataset="dpps:mine"),
        DataOutput(pattern="y", did="dpps:copy"),
    )
    job = Job(command=("run",), data=JobData(outputs=outputs))
    made = template(job, metadata={"level": 2, "particle": "none"}).job(
        transformation_id=7, number=3, metadata={"particle": "gamma"}
    )

    assert made.data is not None
    first, second, third = made.data.outputs
    assert (first.name, first.dataset) == ("3/{file}", "dpps:out")
    assert first.metadata == {"level": 2, "particle": "gamma"}
    assert (second.dataset, second.metadata) == ("dpps:mine", {"level": 2, "particle": "none"})
    assert third == outputs[2]


def test_inherited_keys_replace_defaults_if_all_files_agree() -> None:
    outputs = (
        DataOutput(pattern="x", metadata={"own": "{task}"}),
        DataOutput(pattern="y"),
    )
    job = Job(command=("run",), data=JobData(outputs=outputs))
    made = template(job, metadata={"sct": "False", "nsb": 1}, inherit=("sct", "own", "nsb"))
    keys = {"sct": "{a}", "own": 5}

    first, second = _outputs(made, keys)

    assert first == {"sct": "{{a}}", "nsb": 1, "own": 2}
    assert second == {"sct": "{{a}}", "nsb": 1, "own": 5}
    assert _outputs(made, {}) == [{"sct": "False", "nsb": 1, "own": 2}, {"sct": "False", "nsb": 1}]


def _outputs(made: Template, metadata: dict[str, Any]) -> list[dict[str, Any]]:
    job = made.job(transformation_id=1, number=2, metadata=metadata)
    assert job.data is not None
    return [one.metadata for one in job.data.outputs]


def test_a_key_that_the_files_have_not_in_common_is_named() -> None:
    with pytest.raises(LookupError, match=r"uses \{particle\}, but the files of task 3"):
        template(Job(command=("run", "{particle}"))).job(transformation_id=7, number=3, metadata={})


LONG: list[tuple[str, dict[str, Any]]] = [
    ("job.name", {"name": "{note}"}),
    ("job.inputs[0].name", {"inputs": (Input(name="{note}" * 4, sha256="0" * 64, size_bytes=1),)}),
    (
        "job.data.outputs[0].name",
        {"data": JobData(outputs=(DataOutput(pattern="*", name="{note}{note}"),))},
    ),
    ("job.data.inputs", {"data": JobData(inputs=(DataInput(did="a:b"),) * 1_000)}),
]


@pytest.mark.parametrize(("field", "fields"), LONG)
def test_what_would_not_read_when_a_pilot_asks_for_it_is_refused(
    field: str, fields: dict[str, Any]
) -> None:
    with pytest.raises(Refused) as raised:
        template(Job(command=("run",), **fields)).job(
            transformation_id=7, number=3, metadata={"note": "x" * 300}
        )

    assert raised.value.field == field


def test_a_job_without_data_and_inputs_stays_as_it_is() -> None:
    job = Job(command=("run",))

    assert template(job, inputs=(), tasks=2).job(
        transformation_id=1, number=1, metadata={}
    ) == job  # fmt: skip


RIGHT = {"name": "t", "tasks": 2, "job": {"command": ["run"]}}
WRONG: list[tuple[str, dict[str, object]]] = [
    ("tasks", {"tasks": 0}),
    ("tasks", {"inputs": [{"query": {"a": 1}}]}),
    ("job", {"job": {"command": ["run", "{particle}"]}}),
    ("job", {"job": {"command": ["run", "{inputs}"]}}),
    ("job.command", {"job": {"command": ["run", "x{inputs}"]}}),
    ("inputs", {"tasks": 0, "inputs": [{"query": {"a": 1}, "use": "shared"}]}),
    ("inputs[0].query", {"tasks": 0, "inputs": [{}]}),
    ("inputs[1].name", {"tasks": 0, "inputs": [{"query": {"a": 1}}, {"query": {"a": 1}}]}),
    ("grouping.bytes_max", {"tasks": 0, "inputs": [{"from": "x"}], "grouping": {"rule": "bytes"}}),
    ("grouping.keys", {"tasks": 0, "inputs": [{"from": "x"}], "grouping": {"rule": "key"}}),
    ("grouping.keys", {"tasks": 0, "inputs": [{"from": "x"}], "grouping": {"rule": "join"}}),
    (
        "grouping.rule",
        {"tasks": 0, "inputs": [{"name": "a", "from": "x"}, {"name": "b", "from": "y"}]},
    ),
    ("grouping.after_s", {"tasks": 0, "inputs": [{"from": "x"}], "grouping": {"partial": "after"}}),
    ("job.environment.PILOTAGE_X", {"job": {"command": ["x"], "environment": {"PILOTAGE_X": ""}}}),
]


def test_a_right_document_passes() -> None:
    assert checked(msgspec.convert(RIGHT, Transformation)).names == frozenset()


@pytest.mark.parametrize(("field", "change"), WRONG)
def test_a_wrong_document_is_refused_by_its_field(field: str, change: dict[str, object]) -> None:
    with pytest.raises(Refused) as refused:
        checked(msgspec.convert({**RIGHT, **change}, Transformation))

    assert refused.value.field == field
    assert field.split("[")[0].split(".")[0] in refused.value.message


def test_a_rule_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(Refused, match="unknown rule 'counts': did you mean 'count'"):
        rule_of("counts")
    with pytest.raises(Refused, match="known are all, bytes, count, join, key, site"):
        rule_of("zzz")
