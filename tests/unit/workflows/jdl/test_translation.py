"""Every attribute of JDL and what it is of a job."""

from typing import Any

import msgspec
import pytest

from pilotage.proto.api.jdl import JdlContext, JdlPlatform
from pilotage.proto.documents.job import DataInput, DataOutput, Job, OutputPattern

from .reading import CONTEXT, job, mistakes, read

#    attributes                                        field of the job, and its value
FIELDS: list[tuple[str, str, object]] = [
    ('Executable = "/bin/echo"; Arguments = "-n \'a b\' $HOME *"', "command",
     ("/bin/echo", "-n", "a b", "$HOME", "*")),
    ('executable = "x"; ARGUMENTS = 7', "command", ("x", "7")),
    ('Executable = "run.sh"; InputSandbox = "run.sh"', "command", ("./run.sh",)),
    ('Executable = "run.sh"; InputSandbox = {"bin/*.sh"}', "command", ("./run.sh",)),
    ('Executable = "bin/run.sh"; InputSandbox = {"bin/run.sh"}', "command", ("./run.sh",)),
    ('Executable = "run"; InputSandbox = {"run.sh"}', "command", ("run",)),
    ('Executable = "r.sh"; InputSandbox = "LFN:/v/r.sh"; Arguments = 1', "command",
     ("/bin/sh", "-c", 'chmod +x "$0" && exec "$0" "$@"', "./r.sh", "1")),
    ('OutputSandbox = {"*.log", "std.err"}', "outputs",
     (OutputPattern(pattern="*.log", required=False),
      OutputPattern(pattern="std.err", required=False))),
    ('OutputSandbox = {"std.*"}', "stdout_file", "std.out"),
    ('OutputSandbox = {"std.*"}; StdOutput = ""', "stdout_file", ""),
    ('OutputSandbox = {"std.*"}', "stderr_file", "std.err"),
    ('OutputSandbox = {"a.txt"}', "stdout_file", ""),
    ('StdOutput = "my.out"; OutputData = "*.out"', "stdout_file", "my.out"),
    ('JobName = "gamma"', "name", "gamma"),
    ('JobType = "MCSimulation"', "type", "MCSimulation"),
    ("Priority = 1", "priority", 1),
    ("", "priority", 5),
    ('ExecutionEnvironment = {"A=1=2", "B= x"}', "environment", {"A": "1=2", "B": " x"}),
    ('JobName = "%j"', "id_placeholder", "%j"),
    ('Arguments = "%j"', "id_placeholder", "%j"),
    ('OutputData = "%j.h5"', "id_placeholder", "%j"),
    ("", "id_placeholder", ""),
    ('Pilotage = "{\\"retries\\": 3}"', "retries", 3),
]  # fmt: skip

#    attributes                                        needs, and their values
NEEDS: list[tuple[str, dict[str, Any]]] = [
    ("", {"cores_min": 1, "cores_max": 0, "sites": (), "os": ""}),
    ('Site = "A, B"', {"sites": ("A", "B")}),
    ('Site = {"A", "ANY"}', {"sites": ()}),
    ('Site = {"A", "B"}; BannedSites = {"B", "C"}', {"sites": ("A",), "banned_sites": ()}),
    ('BannedSites = "C,D"', {"banned_sites": ("C", "D")}),
    ('GridCE = "ce.example.org"', {"element": "ce.example.org"}),
    ('Platform = "Linux_x86_64_glibc-2.17"', {"architecture": "x86_64", "glibc_min": "2.17"}),
    ('Platform = "el9"', {"os": "el9", "architecture": ""}),
    ('Platform = "centos7"', {"os": "el7"}),
    ('Platform = "x86_64-el9"', {"os": "el9", "architecture": "x86_64"}),
    ('Platform = "ANY"', {"os": "", "architecture": "", "glibc_min": ""}),
    ("NumberOfProcessors = 4", {"cores_min": 4, "cores_max": 0}),
    ("MinNumberOfProcessors = 2", {"cores_min": 2, "cores_max": 4096}),
    ("MaxNumberOfProcessors = 8", {"cores_min": 1, "cores_max": 8}),
    ("MinNumberOfProcessors = 2; MaxNumberOfProcessors = 2", {"cores_min": 2, "cores_max": 0}),
    ("WholeNode = True", {"whole_node": True, "cores_max": 0}),
    ("MinRAM = 2000; MaxRAM = 3000", {"memory_mb": 3000}),
    ("MinRAM = 4000; MaxRAM = 3000", {"memory_mb": 4000}),
    ('Tags = {"a", "b"}; Tag = "c"', {"tags": "a & b & c"}),
    ('Tag = "GPU"', {"gpus_min": 1, "tags": ""}),
    ('Tags = "4Processors,WholeNode"', {"cores_min": 4, "whole_node": True, "tags": ""}),
    ('Tags = "MultiProcessor"', {"cores_min": 2, "cores_max": 4096, "tags": ""}),
    ('Tags = "MultiProcessor"; NumberOfProcessors = 8', {"cores_min": 8, "cores_max": 0}),
    ('CPUTime = "1000"; NumberOfProcessors = 4', {"cpu_work_hs23_s": 4000, "wall_s": 3600}),
    ("", {"cpu_work_hs23_s": 86_400, "wall_s": 17_280}),
]


@pytest.mark.parametrize(("text", "field", "right"), FIELDS)
def test_an_attribute_is_a_field_of_the_job(text: str, field: str, right: object) -> None:
    assert getattr(job(text), field) == right


@pytest.mark.parametrize(("text", "right"), NEEDS)
def test_an_attribute_is_a_need(text: str, right: dict[str, Any]) -> None:
    need = job(text).needs[0]

    assert {name: getattr(need, name) for name in right} == right


def test_a_node_of_unknown_speed_gives_the_cpu_time_as_run_time() -> None:
    known, unknown = job("CPUTime = 40000").needs

    assert (known.cpu_work_hs23_s, known.wall_s) == (40_000, 8_000)
    assert (unknown.cpu_work_hs23_s, unknown.wall_s) == (0, 40_000)


def test_platforms_and_factors_are_those_of_the_central() -> None:
    context = msgspec.structs.replace(
        CONTEXT,
        platforms={"ours": JdlPlatform(os="debian13")},
        hs23_per_hs06=0.0,
        hs06_per_core_min=10.0,
    )

    one, two = job('Platform = {"ours", "el9"}; CPUTime = 40000', context).needs

    assert (one.os, two.os, one.wall_s, one.cpu_work_hs23_s) == ("debian13", "el9", 40_000, 0)


def test_files_of_storages_are_named_in_a_scope() -> None:
    text = """InputData = {"LFN:/v/a", "/v/b"}; InputSandbox = {"LFN:/v/c", "/v/local"};
        OutputData = {"*.h5", "LFN:/v/x/out.root"}; OutputSE = "S1,S2"; OutputPath = "/v/{u}/%j";"""
    found = job(text).data
    configured = msgspec.structs.replace(CONTEXT, scope="vo")
    theirs = job(text, configured).data

    assert found is not None
    assert theirs is not None
    assert {one.did for one in found.inputs} == {"users:v/a", "users:v/b", "users:v/c"}
    assert found.outputs == (
        DataOutput(pattern="*.h5", name="v/{{u}}/{job}/{file}", storages=("S1", "S2")),
        DataOutput(pattern="out.root", name="v/x/out.root", storages=("S1", "S2")),
    )
    assert theirs.inputs[0] == DataInput(did="vo:v/c")
    assert theirs.outputs[0].scope == "vo"


def test_outputs_go_to_the_folder_of_the_user_and_the_job() -> None:
    found = job('OutputData = {"a.h5", "sub/*.h5"};').data

    assert found is not None
    assert [one.name for one in found.outputs] == [
        "ada/{job}/{file}",
        "ada/{job}/{stem}{suffix}",
    ]


def test_what_has_no_effect_is_named_once() -> None:
    text = """Executable = "x"; loglevel = DEBUG; JobConfigArgs = "a"; Owner = "me"; Priority = 3;
        JobRequirements = [ A = 1 ]; InputDataPolicy = "Protocol"; JobGroup = "prod6";
        InputDataModule = "DIRAC.Client.DownloadInputData"; """
    found = read(text)

    assert found.label == "prod6"
    assert found.notes == (
        "without effect here: LogLevel, JobConfigArgs, Owner, JobRequirements",
        "InputDataPolicy = 'Protocol': input files are always downloaded here",
        "Priority = 3: without it, a job has 5 here, not 1",
    )


WRONG = [
    ("", ["1:1: Executable: it is missing"]),
    ('Executable = ""', ["1:1: Executable: it is empty"]),
    ('Executble = "x"', ["1:1: unknown attribute 'Executble': did you mean 'Executable'?"]),
    ('Executable = "x";\nArguments = "it\'s"', ["2:1: Arguments: no closing quotation"]),
    ('Executable = "x"; EXECUTABLE = "y"', ["1:19: EXECUTABLE is given twice: first at a.jdl:1:1"]),
    ('Executable = {"x"}', ["1:14: Executable: found a list, expected a text"]),
    ('Executable = "x"; Site = "a b"; CPUTime = 3; MinRAM = "2GB"; WholeNode = maybe',
     ["1:26: Site: found 'a b', expected only letters",
      "1:33: CPUTime: found '3', expected a whole number from 100 to 500000",
      "1:46: MinRAM: found '2GB', expected a whole number",
      "1:62: WholeNode: found 'maybe', expected true or false"]),
    ('Executable = "x"; Site = "A"; BannedSites = "A"', ["1:31: BannedSites: it has all of Site"]),
    ('Executable = "x"; MinNumberOfProcessors = 4; MaxNumberOfProcessors = 2',
     ["1:46: MaxNumberOfProcessors: 2 is less than MinNumberOfProcessors 4"]),
    ('Executable = "x"; NumberOfProcessors = 4; MaxNumberOfProcessors = 4',
     ["1:19: NumberOfProcessors: give either it, or MinNumberOfProcessors"]),
    ('Executable = "x"; NumberOfProcessors = 4; Tags = "8Processors"',
     ["1:43: Tags: '8Processors' is not the number of processors"]),
    ('Executable = "x"; Platform = "Linux_x86"',
     ["1:30: Platform: unknown platform 'Linux_x86': did you mean 'Linux_x86_64_glibc-2.17'?"]),
    ('Executable = "x"; InputData = {"LFN:/a//b", "b"}',
     ["1:32: InputData: found 'LFN:/a//b', expected LFN:/a/b or /a/b, without //",
      "1:45: InputData: found 'b', expected LFN:/a/b or /a/b, without //"]),
    ('Executable = "x"; InputSandbox = "SB:Prod|/a"',
     ["1:34: InputSandbox: 'SB:Prod|/a' is a sandbox of a DIRAC service"]),
    ('Executable = "x"; ExecutionEnvironment = {"A"}',
     ["1:43: ExecutionEnvironment: found 'A', expected {\"KEY=VALUE\", …}"]),
    ('Executable = "x"; StdOutput = "o"; StdError = "o"',
     ["1:36: StdError: 'o' is StdOutput too"]),
    ('Executable = "x"; Priority = 11', ["1:19: Priority: found '11', expected a whole number"]),
    ('Executable = "x"; Pilotage = "{\\"retrys\\": 1}"', ["1:19: Pilotage: "]),
    ('Executable = "x"; OutputSandbox = {{"a"}}',
     ["1:36: OutputSandbox: found a list in the list, expected a text"]),
    ('Executable = "x"; JobGroup = "%n"; Parameters = 2',
     ["1:19: JobGroup: all jobs of one description have one group"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "right"), WRONG)
def test_all_mistakes_are_named_by_their_attribute(text: str, right: list[str]) -> None:
    found = mistakes(text)

    assert len(found) == len(right)
    for line, begins in zip(found, right, strict=True):
        assert line.startswith(f"a.jdl:{begins}")


def test_lfns_need_a_scope() -> None:
    with pytest.raises(Exception, match="LFNs need a scope"):
        read('Executable = "x"; InputData = "/a"', JdlContext())


def test_the_least_description_is_a_job() -> None:
    assert job('Executable = "true"') == Job(
        command=("true",), needs=job('Executable = "true"').needs
    )
