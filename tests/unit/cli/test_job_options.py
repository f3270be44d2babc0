"""A job from the command line."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest

from pilotage.central.cli.exit_codes import UsageError
from pilotage.central.cli.jobs.job_options import (
    JobOptions,
    draft_of,
    parse_array,
    refuse_with_file,
)
from pilotage.central.cli.options import filled, filling, option
from pilotage.proto.documents.job import (
    NEED_HELP,
    Job,
    JobData,
    JobLimits,
    Need,
    PayloadToken,
    Preference,
    Word,
)


def options_of(**said: Any) -> JobOptions:
    """Return options, of which a type checker does not know those that are derived."""
    return JobOptions(**said)


WRONG: dict[str, tuple[JobOptions, str]] = {
    "cores": (options_of(cores=0), "--cores: expected a whole number from 1 to 4096, found 0"),
    "wall": (options_of(wall_s=-1), "--wall: expected"),
    "memory": (options_of(memory_mb=-1), "--memory: expected"),
    "cpu": (options_of(cpu_s=-1), "--cpu-s: expected a whole number of seconds from 0"),
    "signal": (options_of(warning_signal="KILL"), "--warning-signal: unknown word 'KILL', one of"),
    "priority": (
        options_of(priority=11),
        "--priority: expected a whole number from 0 to 10, found 11",
    ),
    "site": (options_of(site=("a b",)), "--site: expected"),
    "output": (options_of(output=("",)), "--output: expected"),
    "type": (options_of(type=""), "--type: expected"),
    "gpus": (options_of(gpus=-1), "--gpus: expected a whole number from 0 to 1024"),
    "glibc": (options_of(glibc_min="new"), "--glibc-min: expected text of numbers with points"),
    "level": (options_of(architecture_level_min=5), "--architecture-level-min: expected"),
    "vendor": (options_of(gpu_vendor="NVIDIA"), "--gpu-vendor: expected text of small letters"),
    "env": (options_of(env=("A",)), "--env 'A': expected KEY=VALUE"),
    "preferred": (
        options_of(preferred_site=("P C",)),
        "--preferred-site: expected text of letters",
    ),
    "preferred for": (
        options_of(preferred_site=("PIC",), preferred_for_s=-1),
        "--preferred-for-s: expected a whole number of seconds from 0 to 604800, found -1",
    ),
    "preferred where": (options_of(preferred_for_s=60), "--preferred-for-s needs --preferred-site"),
    "token": (options_of(token=("a",)), "--token 'a': expected NAME=AUDIENCE or NAME=AUDIENCE,"),
    "no audience": (options_of(token=("a=",)), "--token 'a=': expected NAME=AUDIENCE"),
    "token twice": (options_of(token=("a=b", "a=c")), "--token 'a=c': a was given before"),
    "token name": (options_of(token=("A=b",)), "--token: expected text of small letters"),
    "audience": (options_of(token=("a=é",)), "--token: expected text of 1 to 512 printable"),
    "scope": (options_of(token=("a=b,c d",)), "--token: expected text of 1 to 256 letters"),
    "query": (options_of(data_query=("run",)), "--data-query 'run': expected a mapping"),
    "no yaml": (options_of(data_query=("{a",)), "--data-query '{a': "),
    "stored what": (options_of(data_storage=("pic",)), "--data-storage needs --data-output"),
    "no name": (options_of(data_output=("x=",)), "--data-output 'x=': expected PATTERN"),
    "did": (options_of(data_input=("a" * 700,)), "--data-input: expected"),
    "name": (options_of(data_output=(f"x={'n' * 600}",)), "--data-output: expected"),
    "input": (options_of(input=(Path("nowhere/absent"),)), "there is no such file"),
}


def test_options_of_tokens_say_what_a_job_file_says() -> None:
    given = ("default=https://se.example.org,storage.read:/ctao,storage.create:/ctao/a=b", "x=y")
    job = draft_of(options_of(token=given), ("true",)).job

    assert job.tokens == {
        "default": PayloadToken(
            audience="https://se.example.org",
            scopes=("storage.read:/ctao", "storage.create:/ctao/a=b"),
        ),
        "x": PayloadToken(audience="y"),
    }


def test_options_of_data_say_what_a_job_file_says(tmp_path: Path) -> None:
    options = options_of(
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
    assert draft_of(options_of(), ("run",)).job.data is None
    with pytest.raises(UsageError, match="--data-input is for a command"):
        refuse_with_file(options_of(data_input=("ctao:a",)))


def test_options_become_a_job(tmp_path: Path) -> None:
    options = options_of(
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
    options = options_of(gpus=2, whole_node=True, glibc_min="2.28", element="ce1", scratch_mb=7)
    need = draft_of(options, ("true",)).job.needs[0]

    assert need == Need(gpus_min=2, whole_node=True, glibc_min="2.28", element="ce1", scratch_mb=7)
    assert filled(options_of(), Need).keys() | {"amounts"} == set(Need.__struct_fields__)
    assert NEED_HELP.keys() | {"amounts"} == set(Need.__struct_fields__)
    assert draft_of(options_of(), ("true",)).job == Job(command=("true",))


def test_named_amounts_are_options_that_repeat() -> None:
    draft = draft_of(options_of(need=("net=100", "licence.matlab=1")), ("true",))

    assert draft.job.needs == (Need(amounts={"net": 100, "licence.matlab": 1}),)


#   option                     what is said of it
BAD_NEEDS = """
    net                        found 'net', expected NAME=AMOUNT
    net=-1                     found 'net=-1', expected NAME=AMOUNT
    net=1,net=2                net: found twice
    cores=4                    cores is built in: use --cores
    memory_mb=4                memory_mb is built in: use --memory
    Net=1                      found the name 'Net', expected at most 64 characters: lower-case
    net=9999999999999999       net: found 9999999999999999, expected a whole number from 0 to
"""


@pytest.mark.parametrize("line", BAD_NEEDS.strip().splitlines())
def test_a_wrong_amount_is_refused_with_the_right_form(line: str) -> None:
    words, said = line.split(maxsplit=1)

    with pytest.raises(UsageError, match=re.escape(f"--need: {said}")):
        draft_of(options_of(need=tuple(words.split(","))), ("true",))


def test_every_limit_of_a_payload_has_an_option() -> None:
    options = options_of(
        cpu_s=60, streams_mb=0, processes=8, stall_s=0, warning_s=30, warning_signal="USR2"
    )

    assert draft_of(options, ("true",)).job.limits == JobLimits(
        cpu_s=60, streams_mb=0, processes=8, stall_s=0, warning_s=30, warning_signal="USR2"
    )
    assert {one.name for one in fields(JobOptions)} > set(JobLimits.__struct_fields__)
    assert draft_of(options_of(), ("true",)).job.limits == JobLimits()


def test_preferred_sites_become_the_preference() -> None:
    options = options_of(preferred_site=("PIC", "CSCS"), preferred_for_s=60)

    assert draft_of(options, ("true",)).job.preference == Preference(
        sites=("PIC", "CSCS"), for_s=60
    )
    assert draft_of(options_of(), ("true",)).job.preference is None


@pytest.mark.parametrize(("options", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_value_names_its_option(options: JobOptions, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        draft_of(options, ("true",))

    assert said in str(caught.value)


def test_options_of_a_job_do_not_go_with_a_file() -> None:
    refuse_with_file(options_of(name="n", group="g"))

    with pytest.raises(UsageError, match="--memory is for a command"):
        refuse_with_file(options_of(memory_mb=5))


@pytest.mark.parametrize(
    ("text", "numbers", "most"),
    [
        ("3", [1, 2, 3], 0),
        ("1", [1], 0),
        ("5-7", [5, 6, 7], 0),
        ("0-0", [0], 0),
        ("1-9:4", [1, 5, 9], 0),
        ("1-2,7,10-12:2", [1, 2, 7, 10, 12], 0),
        ("1-4%2", [1, 2, 3, 4], 2),
        ("3%1", [1, 2, 3], 1),
    ],
)
def test_an_array_has_the_forms_of_slurm(text: str, numbers: list[int], most: int) -> None:
    found, running_max = parse_array(text)
    assert (list(found), running_max) == (numbers, most)


@pytest.mark.parametrize(
    "text",
    [
        "0",
        "7-5",
        "a",
        "1-2-3",
        "-1",
        "1-1000001",
        "1-5:0",
        "1,1",
        "1,,2",
        "1%",
        "1%0",
        "1%x",
        "1-٣",
    ],
)
def test_what_is_no_array_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"--array {re.escape(text)}: "):
        parse_array(text)


class Boat(msgspec.Struct, frozen=True):
    sails: Annotated[int, msgspec.Meta(ge=1)] = 2
    ports: tuple[Word, ...] = ()
    has_oars: bool = False
    flag: Literal["red", "blue"] = "red"
    name: str = "Ann"


@dataclass(frozen=True)
@filling(
    Boat,
    {"ports": "P.", "sails": "S.", "has_oars": "O.", "flag": "F."},
    before="last",
    names={"ports": "port"},
)
class BoatOptions:
    first: int = option(1, "First.")
    last: int = option(9, "Last.")


def test_a_field_with_a_help_is_an_option_with_its_type_and_default() -> None:
    made = {one.name: (one.type, one.default, one.metadata["help"]) for one in fields(BoatOptions)}

    assert made == {
        "first": (int, 1, "First."),
        "port": (tuple[str, ...], (), "P."),
        "sails": (int, 2, "S."),
        "has_oars": (bool, False, "O."),
        "flag": (str, "red", "F."),
        "last": (int, 9, "Last."),
    }
    assert list(made) == ["first", "port", "sails", "has_oars", "flag", "last"]
    assert filled(BoatOptions(), Boat).keys() == {"ports", "sails", "has_oars", "flag"}
