"""Templates, parameters, and what is refused before anything is stored."""

import msgspec
import pytest

from pilotage.central.errors import Refused
from pilotage.central.jobs.definition.checks import check, check_characters
from pilotage.central.jobs.definition.rendering import ExitCodes, exit_codes_of, fill, uses_in
from pilotage.proto.documents.job import Input, Job, Need, OutputPattern

SHA = "0" * 64


def test_parameters_fill_command_environment_and_file_names() -> None:
    template = Job(
        name="run {seed}",
        command=("run", "--seed={seed}", "{{literal}}"),
        environment={"SITE": "{site}"},
        outputs=(OutputPattern(pattern="out{seed}.h5"),),
    )
    job = fill(template, {"seed": 3, "site": "PIC"})

    assert uses_in(template) == {"seed": 3, "site": 1}
    assert job.name == "run 3"
    assert job.command == ("run", "--seed=3", "{literal}")
    assert job.environment == {"SITE": "PIC"}
    assert job.outputs[0].pattern == "out3.h5"


@pytest.mark.parametrize("word", ["{", "}", "{seed!r}", "{seed:>3}", "{0}", "{seed.x}", "{}"])
def test_braces_that_are_no_parameter_are_refused_by_place(word: str) -> None:
    with pytest.raises(Refused) as refused:
        uses_in(Job(command=("run", word)))

    assert refused.value.field == "template.command[1]"
    assert "Write literal braces, as in a shell program, as `{{` and `}}`" in refused.value.message


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
    "command[0]": Job(command=("", "b")),
    "image": Job(command=("x",), image="ctao/ctapipe.sif"),
    "environment.LD_PRELOAD\n": Job(command=("x",), environment={"LD_PRELOAD\n": "x"}),
    "environment.PILOTAGE_JOB": Job(command=("x",), environment={"PILOTAGE_JOB": "1"}),
}


@pytest.mark.parametrize("field", REFUSED)
def test_what_types_cannot_refuse_is_refused_by_field(field: str) -> None:
    with pytest.raises(Refused) as refused:
        check(REFUSED[field], "jobs[3]")

    assert refused.value.field == f"jobs[3].{field}"


NUL_IN = {
    "name": Job(command=("x",), name="a\0b"),
    "command[1]": Job(command=("x", "a\0b")),
    "environment.A": Job(command=("x",), environment={"A": "a\0b"}),
    "inputs[0].name": Job(command=("x",), inputs=(Input(name="\0", sha256=SHA, size_bytes=1),)),
    "outputs[0].pattern": Job(command=("x",), outputs=(OutputPattern(pattern="*\0"),)),
    "needs[1].os": Job(command=("x",), needs=(Need(), Need(os="el9\0"))),
}


@pytest.mark.parametrize("field", NUL_IN)
def test_nul_is_refused_wherever_it_stands(field: str) -> None:
    with pytest.raises(Refused) as refused:
        check_characters(msgspec.to_builtins(NUL_IN[field]), "jobs[3]")

    assert refused.value.field == f"jobs[3].{field}"


def test_the_exit_codes_of_a_stored_job_come_without_filling_it_in() -> None:
    template = msgspec.json.encode(
        Job(command=("{not given}",), success_codes=(0, 3), retry_codes=(75,))
    )
    plain = msgspec.json.encode(Job(command=("x",)))

    assert exit_codes_of(template, b"{}") == ExitCodes((0, 3), (75,))
    assert exit_codes_of(None, plain) == ExitCodes((0,), ())
