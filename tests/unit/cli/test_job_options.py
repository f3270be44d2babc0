"""A job from the command line."""

import re
from dataclasses import fields
from pathlib import Path

import msgspec
import pytest

from pilotage.central.cli.exit_codes import UsageError
from pilotage.central.cli.job_options import JobOptions, draft_of, refuse_with_file
from pilotage.central.cli.options import filled
from pilotage.central.cli.submit import parse_array
from pilotage.proto.job import Job, JobData, JobLimits, Need, Preference

WRONG: dict[str, tuple[JobOptions, str]] = {
    "cores": (JobOptions(cores=0), "--cores: expected a whole number from 1 to 4096, found 0"),
    "wall": (JobOptions(wall_s=-1), "--wall-s: expected"),
    "memory": (JobOptions(memory_mb=-1), "--memory-mb: expected"),
    "cpu": (JobOptions(cpu_s=-1), "--cpu-s: expected a whole number from 0"),
    "signal": (JobOptions(warning_signal="KILL"), "--warning-signal: unknown word 'KILL', one of"),
    "priority": (
        JobOptions(priority=11),
        "--priority: expected a whole number from 0 to 10, found 11",
    ),
    "site": (JobOptions(site=("a b",)), "--site: expected"),
    "output": (JobOptions(output=("",)), "--output: expected"),
    "type": (JobOptions(type=""), "--type: expected"),
    "gpus": (JobOptions(gpus=-1), "--gpus: expected a whole number from 0 to 1024"),
    "glibc": (JobOptions(glibc_min="new"), "--glibc-min: expected text of numbers with points"),
    "level": (JobOptions(architecture_level_min=5), "--architecture-level-min: expected"),
    "vendor": (JobOptions(gpu_vendor="NVIDIA"), "--gpu-vendor: expected text of small letters"),
    "env": (JobOptions(env=("A",)), "--env 'A': expected KEY=VALUE"),
    "preferred": (
        JobOptions(preferred_site=("P C",)),
        "--preferred-site: expected text of letters",
    ),
    "preferred for": (
        JobOptions(preferred_site=("PIC",), preferred_for_s=-1),
        "--preferred-for-s: expected a whole number from 0 to 604800, found -1",
    ),
    "preferred where": (JobOptions(preferred_for_s=60), "--preferred-for-s: say where"),
    "query": (JobOptions(data_query=("run",)), "--data-query 'run': expected a mapping"),
    "no yaml": (JobOptions(data_query=("{a",)), "--data-query '{a': "),
    "stored what": (JobOptions(data_storage=("pic",)), "--data-storage: say what is stored"),
    "no name": (JobOptions(data_output=("x=",)), "--data-output 'x=': expected PATTERN"),
    "did": (JobOptions(data_input=("a" * 700,)), "--data-input: expected"),
    "name": (JobOptions(data_output=(f"x={'n' * 600}",)), "--data-output: expected"),
    "input": (JobOptions(input=(Path("nowhere/absent"),)), "there is no such file"),
}


def test_options_of_data_say_what_a_job_file_says(tmp_path: Path) -> None:
    options = JobOptions(
        data_input=("ctao:a", "ctao:set"),
        data_query=('{particle: gamma, run: {">=": 5}}',),
        data_output=("*.h5", "log=logs/{job}.txt"),
        data_storage=("pic", "cscs"),
    )
    data = {
        "inputs": [
            {"did": "ctao:a"},
            {"did": "ctao:set"},
            {"query": {"particle": "gamma", "run": {">=": 5}}},
        ],
        "outputs": [
            {"pattern": "*.h5", "storages": ["pic", "cscs"]},
            {"pattern": "log", "name": "logs/{job}.txt", "storages": ["pic", "cscs"]},
        ],
    }

    assert draft_of(options, ("run",)).job.data == msgspec.convert(data, JobData)
    assert draft_of(JobOptions(), ("run",)).job.data is None
    with pytest.raises(UsageError, match="--data-input is for a command"):
        refuse_with_file(JobOptions(data_input=("ctao:a",)))


def test_options_become_a_job(tmp_path: Path) -> None:
    options = JobOptions(
        name="n",
        cores=4,
        site=("PIC", "CSCS"),
        output=("*.json",),
        env=("A=1", "B=x=y"),
        input=(tmp_path,),
        tags="cvmfs",
    )
    draft = draft_of(options, ("echo", "-n", "--json"))

    need = draft.job.needs[0]
    assert draft.job.command == ("echo", "-n", "--json")
    assert (need.cores_min, need.sites, need.tags) == (4, ("PIC", "CSCS"), "cvmfs")
    assert draft.job.environment == {"A": "1", "B": "x=y"}
    assert [one.pattern for one in draft.job.outputs] == ["*.json"]
    assert [one.path for one in draft.files] == [tmp_path]


def test_every_clause_of_a_need_has_an_option() -> None:
    options = JobOptions(gpus=2, whole_node=True, glibc_min="2.28", element="ce1", scratch_mb=7)
    need = draft_of(options, ("true",)).job.needs[0]

    assert need == Need(gpus_min=2, whole_node=True, glibc_min="2.28", element="ce1", scratch_mb=7)
    assert filled(JobOptions(), Need).keys() | {"amounts"} == set(Need.__struct_fields__)
    assert draft_of(JobOptions(), ("true",)).job == Job(command=("true",))


def test_named_amounts_are_options_that_repeat() -> None:
    draft = draft_of(JobOptions(need=("net=100", "licence.matlab=1")), ("true",))

    assert draft.job.needs == (Need(amounts={"net": 100, "licence.matlab": 1}),)


#   option                     what is said of it
BAD_NEEDS = """
    net                        found 'net', expected NAME=AMOUNT
    net=-1                     found 'net=-1', expected NAME=AMOUNT
    net=1,net=2                net: found twice
    cores=4                    cores is built in: use the field cores_min
    Net=1                      found the name 'Net', expected at most 64 characters: small letters
    net=9999999999999999       net: found 9999999999999999, expected a whole number from 0 to
"""


@pytest.mark.parametrize("line", BAD_NEEDS.strip().splitlines())
def test_a_wrong_amount_is_refused_with_the_right_form(line: str) -> None:
    words, said = line.split(maxsplit=1)

    with pytest.raises(UsageError, match=re.escape(f"--need: {said}")):
        draft_of(JobOptions(need=tuple(words.split(","))), ("true",))


def test_every_limit_of_a_payload_has_an_option() -> None:
    options = JobOptions(
        cpu_s=60, streams_mb=0, processes=8, stall_s=0, warning_s=30, warning_signal="USR2"
    )

    assert draft_of(options, ("true",)).job.limits == JobLimits(
        cpu_s=60, streams_mb=0, processes=8, stall_s=0, warning_s=30, warning_signal="USR2"
    )
    assert {one.name for one in fields(JobOptions)} > set(JobLimits.__struct_fields__)
    assert draft_of(JobOptions(), ("true",)).job.limits == JobLimits()


def test_preferred_sites_become_the_preference() -> None:
    options = JobOptions(preferred_site=("PIC", "CSCS"), preferred_for_s=60)

    assert draft_of(options, ("true",)).job.preference == Preference(
        sites=("PIC", "CSCS"), for_s=60
    )
    assert draft_of(JobOptions(), ("true",)).job.preference is None


@pytest.mark.parametrize(("options", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_names_its_option(options: JobOptions, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        draft_of(options, ("true",))

    assert said in str(caught.value)


def test_options_of_a_job_do_not_go_with_a_file() -> None:
    refuse_with_file(JobOptions(name="n", group="g"))

    with pytest.raises(UsageError, match="--memory-mb is for a command"):
        refuse_with_file(JobOptions(memory_mb=5))


@pytest.mark.parametrize(
    ("text", "numbers"), [("3", [1, 2, 3]), ("1", [1]), ("5-7", [5, 6, 7]), ("0-0", [0])]
)
def test_an_array_is_a_number_or_a_range(text: str, numbers: list[int]) -> None:
    assert list(parse_array(text)) == numbers


@pytest.mark.parametrize("text", ["0", "7-5", "a", "1-2-3", "-1", "1-1000001", "1,2"])
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected N or A-B"):
        parse_array(text)
