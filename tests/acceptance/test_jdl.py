"""Descriptions in JDL on a real central and a pilot: each attribute of docs/jdl.md once."""

import json
import platform
from collections.abc import Generator
from pathlib import Path

import pytest

from pilotage.central.client.errors import BadDescription
from pilotage.proto.job_states import JobState

from .running import RunningCentral, running_central

RUN = """#!/bin/sh
echo "$# $1 $2 seed $SEED"
echo warned >&2
cat in.txt conf/a.cfg
echo result > result_$PILOTAGE_JOB.txt
"""
FIRST = f"""
# The first job stores the input and the program of the second.
[
    Executable = "make.sh";        // a file of the sandbox
    InputSandbox = {{"make.sh"}};
    JobGroup = "prod6"; JobType = "Test"; LogLevel = "INFO"; Owner = "me";
    OutputData = {{"LFN:/data/in.txt", "LFN:/data/run.sh"}};
    OutputSE = "DISK";
    Platform = "Linux_{platform.machine()}_glibc-2.17";
    BannedSites = "CSCS"; CPUTime = 1000;
]
"""
SECOND = """
Executable = "run.sh";
Arguments = "'two words' %j";
JobName = "second %j";
InputSandbox = {"LFN:/data/run.sh", "conf"};
InputData = "/data/in.txt";
InputDataPolicy = "Protocol";
StdOutput = "my.out";
OutputSandbox = {"my.out", "std.err", "result_%j.txt", "never.there"};
OutputData = {"result_*.txt", "my.out"};
OutputPath = "/results/%j";
ExecutionEnvironment = {"SEED=s%j"};
Site = {"PIC", "CSCS"}; BannedSites = "CSCS"; GridCE = "local"; Priority = 7;
NumberOfProcessors = 2; MinRAM = 100; MaxRAM = 200; Tags = {"fast", "2Processors"};
"""
SHAPES = """
Executable = "/bin/sh";
Arguments = "-c 'echo $PILOTAGE_CORES $PILOTAGE_GPUS %n %s %(WHAT)s'";
Parameters = 2; ParameterStart = 0.5; ParameterStep = 1;
Parameters.WHAT = {"a b", "c"};
MinNumberOfProcessors = 2; MaxNumberOfProcessors = 3; Tag = "GPU";
"""
WHOLE = 'Executable = "/bin/sh"; Arguments = "-c \'echo $PILOTAGE_CORES\'"; WholeNode = true;'


@pytest.fixture(scope="module")
def central(tmp_path_factory: pytest.TempPathFactory) -> Generator[RunningCentral]:
    folder = tmp_path_factory.mktemp("jdl")
    files, disk = folder / "central" / "storages", folder / "disk"
    files.mkdir(parents=True)
    files.parent.chmod(0o700)
    disk.mkdir()
    (files / "DISK.yaml").write_text(f"type: file\nurl: file://{disk}\ndefault: true\n")
    (folder / "conf").mkdir()
    (folder / "conf" / "a.cfg").write_text("configured\n")
    program = RUN.replace("$", "\\$")
    (folder / "make.sh").write_text(
        f"#!/bin/sh\ncat > run.sh <<END\n{program}END\necho gamma > in.txt\n"
    )
    with running_central(folder) as found:
        found.pilot("PIC", cores=4, gpus=1, tags=("fast",))
        yield found


def submit(central: RunningCentral, name: str, text: str, *words: str) -> list[int]:
    """Submit a description on the command line, wait for its jobs, and return their ids."""
    (central.folder / name).write_text(text)
    ids = json.loads(central.type("submit", name, "--json", *words))
    for job in ids:
        view = central.client.job(job).wait(timeout_s=120)
        assert (view.state, view.reason) == (JobState.DONE, "")
    return [int(one) for one in ids]


def printed(central: RunningCentral, job: int) -> str:
    return b"".join(central.client.job(job).log()).decode()


def test_each_attribute_has_its_effect_on_a_pilot(central: RunningCentral) -> None:
    (first,) = submit(central, "first.jdl", FIRST)
    (second,) = submit(central, "second.jdl", SECOND, "-f", "ids")
    shapes = submit(central, "shapes.jdl", SHAPES)
    (whole,) = submit(central, "whole", f"[ {WHOLE} ]")

    client = central.client
    view, detail = client.detail(first).view, client.detail(second)
    assert (view.type, view.name) == ("Test", "prod6")
    assert set(client.detail(first).made) == {"users:data/in.txt", "users:data/run.sh"}
    assert printed(central, second) == f"2 two words {second} seed s{second}\ngamma\nconfigured\n"
    assert (detail.view.name, detail.view.priority) == (f"second {second}", 7)
    assert detail.view.site == "PIC"
    assert {one.name for one in detail.outputs} == {"my.out", "std.err", f"result_{second}.txt"}
    assert set(detail.made) == {
        f"users:results/{second}/my.out",
        f"users:results/{second}/result_{second}.txt",
    }
    assert (detail.attempts[0].cores, detail.attempts[0].memory_mb) == (2, 200)
    assert (central.folder / "ids").read_text() == f"{second}\n"
    assert [printed(central, one) for one in shapes] == ["3 1 0 0.5 a b\n", "3 1 1 1.5 c\n"]
    assert printed(central, whole) == "4\n"
    found = central.type("status", "--filter", "submission_name=prod6", "--json")
    assert [json.loads(line)["id"] for line in found.splitlines()] == [first]


def test_a_shown_job_is_the_same_when_it_is_submitted_again(central: RunningCentral) -> None:
    (central.folder / "third.jdl").write_text(SECOND.replace("my.out", "other.out"))
    said = central.type("submit", "third.jdl", "--json")
    (before,) = json.loads(said)

    (central.folder / "shown.jdl").write_text(central.type("show", str(before), "--jdl"))
    (after,) = json.loads(central.type("submit", "shown.jdl", "--json"))

    client = central.client
    assert client.detail(after).job == client.detail(before).job


def test_nothing_of_a_wrong_description_is_stored(central: RunningCentral) -> None:
    (central.folder / "bad.jdl").write_text('Executable = "x"\nInputSandbox = "none.sh";\nSit = 1;')
    (central.folder / "good.jdl").write_text('Executable = "/bin/true";')
    before = central.client.summary().total

    said = central.type("submit", "bad.jdl", "good.jdl", code=2)

    assert said.splitlines()[0].startswith("JobID = ")
    assert [line.split(": ")[1] for line in said.splitlines()[1:]] == [
        "bad.jdl:2:1",
        "bad.jdl:2:16",
        "bad.jdl:3:1",
    ]
    assert central.client.summary().total == before + 1


def test_programs_submit_texts_and_files(central: RunningCentral, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    text = 'Executable = "/bin/cat"; Arguments = "a.txt"; InputSandbox = "a.txt"; Parameters = 2;'
    handle = central.client.submit_jdl(text, folder=tmp_path)

    assert handle.count == 2
    for one in handle.handles():
        assert one.wait(timeout_s=120).state is JobState.DONE
    with pytest.raises(BadDescription, match="JDL:1:1: unknown attribute 'Exe'"):
        central.client.submit_jdl('Exe = "x";')
    with pytest.raises(BadDescription, match="No such file"):
        central.client.submit_jdl(tmp_path / "none.jdl")
