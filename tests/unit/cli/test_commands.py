"""`pilotage prod`: what it prints, its exit codes, and what it leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pilotage.central.cli.exit_codes import ExitCode
from pilotage.central.cli.main import run
from pilotage.central.cli.productions.workflow_files import (
    FromFile,
    read_file,
    read_rules_for,
    with_lines,
)
from pilotage.central.client.errors import Refused
from pilotage.proto.problems import Code

FLOW = """
workflow: demo
parameters: {runs: 2, word: hello}
steps:
  make: {tasks: "{runs}", job: {command: [sh, -c, "echo {word} > out"]}, outputs: {o: out}}
  join: {inputs: {i: make.o}, grouping: all, job: {command: [sh, -c, "cat */* > all"]},
         outputs: {all: all}}
"""
USE = """\
  use: {inputs: {i: join.all}, job: {command: [sh, -c, "cat */* > use"]}, outputs: {use: use}}
"""


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PILOTAGE_DATA", str(tmp_path / "nobody"))
    file = tmp_path / "demo.yaml"
    file.write_text(FLOW)
    return file


def test_a_run_here_leaves_what_was_made_and_says_so(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["prod", "submit", "demo.yaml", "--local", "--set", "runs=3", "--set", "word=hi"]
    assert run([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)

    assert said == json.loads((flow.parent / "demo.run" / "run.json").read_text())
    assert said["complete"] and said["steps"]["make"]["done"] == 3
    assert (flow.parent / "demo.run/join/1/all").read_text() == "hi\nhi\nhi\n"
    assert run(words) == 2
    assert "is not empty: give another folder" in capsys.readouterr().err


def test_a_run_here_waits_for_what_is_missing_and_each_remedy_leads_on(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = FLOW.replace(
        "echo {word} > out", "test -e ../../../mended -o {task} = 2 && echo {word} > out"
    )
    flow.write_text(broken + USE)
    words = ["prod", "submit", "demo.yaml", "--local"]
    assert run(words) == 1
    said = capsys.readouterr()
    why = "step join: waits for what is missing: 1 of 2 tasks of demo-make; "
    assert why + "50 % is missing; at most 0 % is allowed" in said.err
    assert not (flow.parent / "demo.run/join").exists()

    assert run([*words, "--folder", "some", "--allow-partial", "0.5"]) == 1, "a task failed"
    assert "step join: made without 1 of 2 tasks of demo-make" in capsys.readouterr().err
    record = json.loads((flow.parent / "some/run.json").read_text())
    assert record["steps"]["join"]["missing"] == "made without 1 of 2 tasks of demo-make"
    made = [one for one in record["files"] if one["step"] in ("join", "use")]
    missing = [one["metadata"]["missing_inputs"] for one in made]
    assert missing == ["1 of 2 tasks of demo-make"] * 2  # also of what is made of it
    assert not record["complete"]

    (flow.parent / "mended").touch()
    for folder in ("demo.run", "some"):  # also where it was made of less before
        assert run([*words, "--folder", folder, "--resume"]) == 0
        assert (flow.parent / folder / "join/1/all").read_text() == "hello\nhello\n"
        record = json.loads((flow.parent / folder / "run.json").read_text())
        assert record["steps"]["join"]["missing"] == ""
        assert "missing_inputs" not in str(record["files"])


@pytest.mark.parametrize("word", ["5", "1.01", "nan", "five%", "101%", "-1%", "%", "nan%"])
def test_a_part_that_may_be_missing_is_a_percentage(
    flow: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["prod", "submit", "demo.yaml", "--local", f"--allow-partial={word}"]) == 2
    assert f"--allow-partial {word}: expected a percentage" in capsys.readouterr().err


def test_a_task_that_failed_is_told_with_what_it_said(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text(FLOW.replace("echo {word} > out", "echo no >&2; exit {task}"))

    assert run(["prod", "submit", "demo.yaml", "--local"]) == 1
    said = capsys.readouterr()
    assert "step make, task 2 failed: exit code 2" in said.err
    assert "pilotage: no\n" in said.err
    assert "not complete, because earlier steps failed: join" in said.err
    assert "not complete: 0 files in demo.run" in said.out


def test_a_dry_run_gives_the_documents_of_the_transformations(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["prod", "submit", "demo.yaml", "--dry-run", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)

    assert [one["tasks"]["count"] for one in said["steps"]] == [2, 1]
    assert said["transformations"]["join"]["inputs"] == [
        {"name": "i", "from": "demo-make", "to": "i"}
    ]
    assert said["obstacles"] == []
    assert not (flow.parent / "demo.run").exists()


def test_what_could_not_run_on_pilots_is_told_with_its_line(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text(FLOW.replace("grouping: all", "grouping: all, when: {task: 1}"))

    assert run(["prod", "submit", "demo.yaml", "--dry-run"]) == 0
    said = capsys.readouterr()
    why = (
        "demo.yaml:6: step join: when.task: a condition on task works only in a run on one machine"
    )
    assert f"it cannot run on pilots: {why}" in said.err
    assert run(["prod", "check", "demo.yaml"]) == 0
    said = capsys.readouterr()
    assert "no mistakes" in said.out
    assert f"it cannot run on pilots: {why}" in said.err
    for words in ([], ["--jobs"]):
        assert run(["prod", "submit", "demo.yaml", *words]) == 2
        assert f"pilotage: {why}" in capsys.readouterr().err


def test_rules_of_failover_are_checked_with_the_workflow(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text(FLOW + "failure_rules:\n- {name: a, then: [{do: retri}]}\n")

    assert run(["prod", "check", "demo.yaml"]) == 2
    said = capsys.readouterr().err
    assert "demo.yaml:9: failure_rules.failures[0].then[0].do: unknown word 'retri'" in said


def test_rules_for_a_submission_are_checked_before_anything_travels(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rules = "- name: again\n  when: {steps: [make]}\n  then: [{do: retry}]\n"
    (flow.parent / "rules.yaml").write_text(rules)
    written = read_file(flow, (), ())
    text = read_rules_for(written, flow.parent / "rules.yaml")
    assert FromFile(written, text).production().rules == rules
    assert FromFile(written, read_rules_for(written, None)).production().rules == ""

    (flow.parent / "rules.yaml").write_text(rules.replace("make", "mak"))
    submit = ["prod", "submit", "demo.yaml", "--rules", "rules.yaml"]
    for words in ([], ["--dry-run"]):
        assert run([*submit, *words]) == 2
        said = capsys.readouterr().err
        assert "rules.yaml:2: failures[0].when.steps[0]: unknown step 'mak': did you mea" in said


# the command line, and what is said
MISUSED = {
    "both": (
        ["submit", "demo.yaml", "--local", "--dry-run"],
        "give either --local or --dry-run, not both",
    ),
    "jobs here": (
        ["submit", "demo.yaml", "--local", "--jobs"],
        "give either --local or --jobs, not both",
    ),
    "of a run here": (["submit", "demo.yaml", "--resume"], "--cores and --resume need --local"),
    "of productions": (
        ["submit", "demo.yaml", "--local", "--name", "x"],
        "cannot be used with --local",
    ),
    "rules here": (
        ["submit", "demo.yaml", "--local", "--rules", "x"],
        "cannot be used with --local",
    ),
    "no rules": (["submit", "demo.yaml", "--rules", "no"], "--rules no: No such file"),
    "no file": (["check", "none.yaml"], "none.yaml: No such file"),
    "no value": (["check", "demo.yaml", "--set", "runs"], "--set runs: expected NAME=VALUE"),
    "no parameter": (["check", "demo.yaml", "--set", "run=1"], "did you mean 'runs'?"),
    "no number": (["check", "demo.yaml", "--set", "runs=x"], "runs: found 'x', expected a number"),
    "no folder": (["submit", "demo.yaml", "--local", "--inputs", "no"], "no file below it has"),
    "no run": (["graph", "demo.yaml", "--run", "no"], "no/run.json: No such file"),
}


@pytest.mark.parametrize("name", MISUSED)
def test_what_is_wrong_with_the_command_is_told(
    name: str, flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, said = MISUSED[name]

    assert run(["prod", *words]) == 2
    assert said in capsys.readouterr().err


def test_files_of_the_catalogue_need_a_folder(
    flow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text(
        "{workflow: w, keys: {k: number}, steps: {a: {inputs: {i: {query: {k: 1}}},"
        " job: {command: [x]}}}}"
    )
    assert run(["prod", "submit", "demo.yaml", "--local"]) == 2
    assert "step a: inputs.i takes files of the catalogue" in capsys.readouterr().err

    data = flow.parent / "data"
    data.mkdir()
    (data / "f").touch()
    (data / "f.meta.json").write_text('{"k": 2}')
    assert run(["prod", "submit", "demo.yaml", "--local", "--inputs", "data"]) == 0
    assert "no file in the folder meets the query of inputs.i" in capsys.readouterr().err


def test_the_graph_is_drawn(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["prod", "graph", "demo.yaml"]) == 0
    assert capsys.readouterr().out == "make\n└─ join\n"
    assert run(["prod", "graph", "demo.yaml", "--svg", "demo.svg"]) == 0
    assert capsys.readouterr().out == "demo.svg: the graph of 2 steps, as SVG\n"
    assert (flow.parent / "demo.svg").read_text().startswith("<svg ")


def test_an_order_to_stop_ends_all_that_runs(flow: Path) -> None:
    flow.write_text(FLOW.replace("echo {word} > out", "sleep 600 & echo $! > pid; wait"))
    command = [sys.executable, "-m", "pilotage.central.cli", "prod", "submit", "demo.yaml"]
    process = subprocess.Popen(
        [*command, "--local", "--cores", "2"], cwd=flow.parent, stderr=subprocess.PIPE, text=True
    )
    pids = [flow.parent / "demo.run/make" / str(n) / "pid" for n in (1, 2)]
    until = time.monotonic() + 60
    while not all(pid.exists() and pid.read_text().strip() for pid in pids):
        assert time.monotonic() < until and process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "stopped: all tasks have ended" in said
    for pid in pids:
        state = Path(f"/proc/{pid.read_text().strip()}/stat")
        while state.exists() and b") Z" not in state.read_bytes():
            assert time.monotonic() < until + 60
            time.sleep(0.01)
    assert sorted(os.listdir(flow.parent / "demo.run")) == [".run", "make"]


def test_element_types_of_a_community_come_by_option_or_environment(
    flow: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    flow.write_text(
        "{Common: {MCCampaign: A, configuration_id: 1},"
        " ProdSteps: [{ID: 1, job_config: {type: Painting}}]}"
    )
    types = flow.parent / "our types"
    types.mkdir()
    (types / "painting.yaml").write_text(
        "{types: {Painting: {simulates: true, command: [touch, a.png],"
        " outputs: {data: {pattern: '*.png'}}}}}"
    )

    assert run(["prod", "check", "demo.yaml"]) == 2
    assert "unknown type 'Painting'" in capsys.readouterr().err
    assert run(["prod", "check", "demo.yaml", "--types", "our types"]) == 0
    monkeypatch.setenv("PILOTAGE_ELEMENT_TYPES", "our types")
    assert run(["prod", "submit", "demo.yaml", "--local"]) == 0
    assert (flow.parent / "demo.run/Step1_Painting/1/a.png").exists()


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("workflow.steps.join", "demo.yaml:6: no"),
        ("workflow.steps.join.inputs.i", "demo.yaml:6: no"),
        ("workflow.steps.make.job", "demo.yaml:5: no"),
        ("workflow.steps.other", "no"),
        ("name", "no"),
    ],
)
def test_what_a_central_refuses_of_a_step_is_told_with_its_line(
    field: str, said: str, flow: Path
) -> None:
    written = read_file(Path("demo.yaml"), (), ())

    with pytest.raises(Refused) as found, with_lines(written):
        raise Refused(Code.INVALID, "no", field, 422)
    assert found.value.message == said


@pytest.mark.parametrize("word", ["check", "submit"])
def test_a_transformation_is_told_by_the_command_that_takes_it(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.yaml"
    file.write_text("name: t\njob: {command: [a]}\n")

    assert run(["prod", word, str(file)]) == ExitCode.USAGE
    assert f"not a workflow: use `pilotage transformation add {file}`" in capsys.readouterr().err
