"""Transformation files: what people write, and what is wrong with it, by line."""

from pathlib import Path

import pytest

from pilotage.central.client.documents.transformation_files import (
    parse_transformation,
    place_in_file,
)
from pilotage.central.client.errors import BadJobFile

RIGHT = """
name: dl1
inputs:
  - name: events
    query: {particle: gamma, run: {">=": 7}}
grouping: {size: 4, partial: after, after_s: 600}
job:
  command: [process, --chunk, 007, "{inputs}"]
  needs: {memory_mb: 2000}
  environment: {N: 1.50}
  data:
    outputs: ["*.dl1.h5"]
"""


def test_a_file_is_read_as_people_write_it() -> None:
    made = parse_transformation(RIGHT, "dl1.yaml")

    assert made.job.command == ("process", "--chunk", "007", "{inputs}")
    assert made.job.environment == {"N": "1.50"}
    assert made.job.needs[0].memory_mb == 2_000
    assert made.job.data is not None and made.job.data.outputs[0].pattern == "*.dl1.h5"
    assert made.inputs[0].query == {"particle": "gamma", "run": {">=": 7}}
    assert (made.grouping.size, made.grouping.partial) == (4, "after")


def test_sizes_and_times_have_units() -> None:
    typed = RIGHT.replace("memory_mb: 2000", "memory: 2GB").replace("after_s: 600", "after_s: 10m")

    assert parse_transformation(typed, "dl1.yaml") == parse_transformation(RIGHT, "dl1.yaml")


def test_keys_are_read_as_they_stand_also_those_that_yaml_takes_for_true() -> None:
    text = RIGHT.replace("  - name: events\n", "  - name: events\n    on: [run, tel]\n")
    made = parse_transformation(text.replace("run: {", "yes: true, off: {"), "dl1.yaml")

    assert made.inputs[0].on == ("run", "tel")
    assert made.inputs[0].query == {"particle": "gamma", "yes": True, "off": {">=": 7}}


WRONG = {
    "a key that is not known": (("grouping: {", "groupings: {"), 6, "groupings"),
    "a value that is none": (("partial: after", "partial: later"), 6, "never"),
    "a query that is no mapping": (("{particle: gamma, run", "[{particle: gamma, run"), 5, ""),
    "no name": (("name: dl1\n", ""), None, "name"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_told_with_its_line(case: str) -> None:
    (old, new), line, word = WRONG[case]
    text = RIGHT.replace(old, new, 1).replace("7}}", "7}}]" if new.startswith("[") else "7}}")
    with pytest.raises(BadJobFile) as wrong:
        parse_transformation(text, "dl1.yaml")

    assert word in str(wrong.value)
    assert line is None or f"dl1.yaml:{line}" in str(wrong.value)


def test_what_the_central_refuses_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "dl1.yaml"
    file.write_text(RIGHT)

    assert place_in_file(file, "document.inputs[0].query.run") == f"{file}:5"
    assert place_in_file(file, "grouping.keys.rn") == f"{file}:6"
    assert place_in_file(tmp_path / "gone", "name") == f"{tmp_path}/gone"


def test_a_workflow_is_told_by_the_command_that_takes_it() -> None:
    with pytest.raises(BadJobFile, match=r"^w\.yaml: it is a workflow, .*`pilotage prod submit w"):
        parse_transformation("workflow: w\nsteps: {a: {job: {command: [a]}}}\n", "w.yaml")
