"""Templates, parameters, and what is refused before anything is stored."""

import pytest

from pilotage.central.errors import Refused
from pilotage.central.jobs.checking import check
from pilotage.central.jobs.rendering import fill, names_in
from pilotage.proto.job import Input, Job, Need, OutputPattern

SHA = "0" * 64


def test_parameters_fill_command_environment_and_file_names() -> None:
    template = Job(
        name="run {seed}",
        command=("run", "--seed={seed}", "{{literal}}"),
        environment={"SITE": "{site}"},
        outputs=(OutputPattern(pattern="out{seed}.h5"),),
    )
    job = fill(template, {"seed": 3, "site": "PIC"})

    assert names_in(template) == {"seed", "site"}
    assert job.name == "run 3"
    assert job.command == ("run", "--seed=3", "{literal}")
    assert job.environment == {"SITE": "PIC"}
    assert job.outputs[0].pattern == "out3.h5"


@pytest.mark.parametrize("word", ["{", "}", "{seed!r}", "{seed:>3}", "{0}", "{seed.x}", "{}"])
def test_braces_that_are_no_parameter_are_refused_by_place(word: str) -> None:
    with pytest.raises(Refused) as refused:
        names_in(Job(command=("run", word)))

    assert refused.value.field == "template.command[1]"


REFUSED = {
    "needs[0].cores_max": Job(command=("x",), needs=(Need(cores_min=4, cores_max=2),)),
    "needs[1].tags": Job(command=("x",), needs=(Need(), Need(tags="gpu &"))),
    "needs[0].banned_sites": Job(
        command=("x",), needs=(Need(sites=("PIC",), banned_sites=("PIC",)),)
    ),
    "inputs[0].name": Job(
        command=("x",), inputs=(Input(name="../evil", sha256=SHA, size_bytes=1),)
    ),
    "outputs[0].pattern": Job(command=("x",), outputs=(OutputPattern(pattern="/etc/*"),)),
    "command": Job(command=("a\0b",)),
    "image": Job(command=("x",), image="ctao/ctapipe.sif"),
    "environment.PILOTAGE_JOB": Job(command=("x",), environment={"PILOTAGE_JOB": "1"}),
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_types_cannot_refuse_is_refused_by_field(field: str) -> None:
    with pytest.raises(Refused) as refused:
        check(REFUSED[field], "jobs[3]")

    assert refused.value.field == f"jobs[3].{field}"
