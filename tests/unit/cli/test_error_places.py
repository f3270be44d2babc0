"""A refusal of the central, told by what the person typed."""

from pathlib import Path

import pytest

from pilotage.central.cli.jobs.error_places import by_line_of, by_ndjson_line, by_option, in_place
from pilotage.central.client.documents.job_files import parse_job_file
from pilotage.central.client.errors import Refused

#    field, message of the central, what the person reads
OPTIONS = [
    (
        "jobs[0].needs[0].cores_max",
        "2 is less than cores_min 4",
        "--cores-max: 2 is less than --cores 4",
    ),
    (
        "job.needs[0].gpu_vendor",
        "say gpus_min of 1 or more",
        "--gpu-vendor: say --gpus of 1 or more",
    ),
    ("job.needs[0].banned_sites", "PIC is also in sites", "--banned-site: PIC is also in --site"),
    ("template.command[0]", "it must not be empty", "the command: it must not be empty"),
    ("jobs[0].environment.A-B", "'A-B' is not usable", "--env: 'A-B' is not usable"),
    ("job.preference.sites[0]", "no", "--preferred-site: no"),
    ("job.data.inputs[0].query.knd", "no", "--data-query: no"),
    ("job.data.inputs[0].did", "no", "--data-input: no"),
    ("job.data.outputs[0].storages", "name one", "--data-storage: name one"),
]
FILES = {
    "one job": (
        "command: [a]\nneeds:\n  os: el 9\n",
        "job.needs[0].os",
        "f.yaml:3: needs[0].os: no",
    ),
    "a list": ("- command: [a]\n  needs:\n    os: el 9\n", "job.needs[0].os", "f.yaml:3: [0]."),
    "jobs": ("jobs:\n- command: [a]\n  name: x\n", "jobs[0].name", "f.yaml:3: jobs[0].name: no"),
    "template": (
        "template:\n  command: [a]\n  name: x\nparameters: [{n: 1}]\n",
        "job.name",
        "f.yaml:3: template.name: no",
    ),
}


@pytest.mark.parametrize(("field", "why", "said"), OPTIONS)
def test_what_is_wrong_with_a_command_is_told_by_its_option(
    field: str, why: str, said: str
) -> None:
    refused = in_place(Refused("invalid", f"$.{field}: {why}", f"$.{field}"), by_option)

    assert str(refused) == said


@pytest.mark.parametrize("kind", FILES)
def test_what_is_wrong_with_a_file_is_told_by_its_line(kind: str) -> None:
    text, field, said = FILES[kind]
    told = by_line_of(parse_job_file(text, "f.yaml", Path()))

    assert str(in_place(Refused("invalid", f"{field}: no", field), told)).startswith(said)


def test_blank_lines_of_an_ndjson_file_count(tmp_path: Path) -> None:
    file = tmp_path / "f.ndjson"
    file.write_text("{}\n\n{}\n")

    assert by_ndjson_line(file, "jobs[1].name", "no") == f"{file}:3: name: no"


def test_what_is_of_no_job_is_left_as_it_is() -> None:
    refused = Refused("forbidden", "not yours", "")

    assert in_place(refused, by_option) is refused
