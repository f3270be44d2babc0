"""Runs on this machine: real processes, folders, values, scatter, retries, a clean stop."""

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

from pilotage.central.workflows.local_runs import RunEnvironment, run
from pilotage.central.workflows.workflow_files import files_in
from pilotage.pilot.files.globs import compile_glob

from .written_here import ENVIRONMENT, made, run_here, workflow

# CWL's revsort by hand: a file is turned around line by line, then its lines are sorted.
REVSORT = """
    workflow: revsort
    parameters: {flags: ["--reverse"]}
    steps:
      rev:
        files: [whale.txt]
        job: {command: [sh, -c, "rev whale.txt > output.txt"]}
        outputs: {output: output.txt}
      sorted:
        inputs: {input: rev.output, flags: {parameter: flags}}
        job: {command: [sort, "{flags}", -o, output.txt, "{input}"]}
        outputs: {output: output.txt}
"""


@pytest.mark.parametrize("reverse", [True, False])
def test_revsort(reverse: bool, tmp_path: Path) -> None:
    lines = ["abc", "zyx", "mno"]
    (tmp_path / "whale.txt").write_text("\n".join(lines) + "\n")
    text = REVSORT if reverse else REVSORT.replace('["--reverse"]', "[]")

    outcome = run_here(workflow(tmp_path, text), tmp_path)

    (path,) = made(outcome, "sorted", "output")
    found = (tmp_path / "run" / path).read_text().split()
    assert outcome.complete
    assert found == sorted((line[::-1] for line in lines), reverse=reverse)


SCATTER = """
    workflow: scatter
    parameters: {words: [whale, "a b", sea]}
    steps:
      each:
        inputs: {word: {parameter: words}}
        scatter: word
        when: {word: {"!=": sea}}
        job:
          command: [sh, -c, 'printf %s "$1" | wc -c > n.json', sh, "{word}"]
        outputs: {length: {value: n.json, type: integer}}
      sum:
        inputs: {lengths: {from: each.length, type: "any[]"}}
        gather: lengths
        job: {command: [sh, -c, 'echo "$*" > all; echo \\"$*\\" > all.json', sh, "{lengths}"]}
        outputs: {all: all, text: {value: all.json, type: string}}
"""


def test_values_go_through_a_scatter_and_come_together_in_order(tmp_path: Path) -> None:
    outcome = run_here(workflow(tmp_path, SCATTER), tmp_path)

    assert outcome.complete, outcome.failures
    assert outcome.record.values["each"]["length"] == [5, 3]
    assert outcome.record.values["sum"]["text"] == ["5 3 "]
    assert outcome.record.steps["each"].skipped == 1
    assert (tmp_path / "run" / "sum" / "1" / "all").read_text().split() == ["5", "3"]


PAYLOAD = """
    workflow: payload
    parameters: {name: gamma}
    metadata: {campaign: A}
    steps:
      make:
        tasks: 2
        files: [make.sh]
        job: {command: [sh, make.sh, "{task}"], environment: {WHAT: "run {task} of {{{name}}}"}}
        metadata: {run: "{task}", text: "run {task}"}
        outputs: {o: {pattern: "*.out", sets: {nsb: [1, 5]}}}
      use:
        inputs: {i: {from: make.o, where: {nsb: 1}}}
        grouping: 2
        job:
          command: [sh, -c, 'cp .pilotage/inputs.json in; echo "$PILOTAGE_INPUTS" "$HOME" > env']
        outputs: {told: in, env: env}
"""


def test_a_task_finds_its_files_and_tells_of_what_it_makes(tmp_path: Path) -> None:
    (tmp_path / "make.sh").write_text(
        "echo $WHAT > same.out; echo '{\"nsb\": '$((1 + 4 * ($1 - 1)))'}' > same.out.meta.json"
    )
    outcome = run_here(workflow(tmp_path, PAYLOAD), tmp_path)
    folder = tmp_path / "run"

    assert outcome.complete, outcome.failures
    files = {one.path: one.metadata for one in outcome.record.files if one.step == "make"}
    assert files["make/2/same.out"] == {"campaign": "A", "nsb": 5, "run": 2, "text": "run 2"}
    assert (folder / "make/1/same.out").read_text() == "run 1 of {gamma}\n"
    (told,) = json.loads((folder / "use/1/in").read_text())
    assert told["path"] == str(folder / "use/1/i/same.out")
    assert told["did"] == "local:make/1/same.out"
    assert told["metadata"]["run"] == 1
    assert (folder / "use/1/env").read_text().split() == [told["path"], str(folder / "use/1")]
    (used,) = [one for one in outcome.record.files if one.path == "use/1/in"]
    assert used.made_of == ["make/1/same.out"]
    assert used.metadata == {"campaign": "A", "nsb": 1}
    assert json.loads((folder / "run.json").read_text())["complete"] is True


def test_what_files_share_by_chance_is_not_handed_down(tmp_path: Path) -> None:
    said = """touch o; echo '{"k": 1, "m": '$1'}' > o.meta.json"""
    (tmp_path / "make.sh").write_text(said)
    text = """
        workflow: chance
        steps:
          make:
            tasks: 2
            files: [make.sh]
            job: {command: [sh, make.sh, "{task}"]}
            metadata: {sure: 1}
            outputs: {o: {pattern: o, sets: [k, m]}}
          all: {inputs: {i: make.o}, grouping: all, job: {command: [touch, o]}, outputs: {o: o}}
          key:
            inputs: {i: make.o}
            grouping: {rule: key, keys: [k], size: 5}
            job: {command: [touch, o]}
            outputs: {o: o}
          each: {inputs: {i: make.o}, job: {command: [touch, o]}, outputs: {o: o}}
    """
    outcome = run_here(workflow(tmp_path, text), tmp_path)

    assert outcome.complete, outcome.failures
    found = {one.path: one.metadata for one in outcome.record.files}
    assert found["all/1/o"] == {"sure": 1}
    assert found["key/1/o"] == {"sure": 1, "k": 1}
    assert {found[f"each/{n}/o"]["m"] for n in (1, 2)} == {1, 2}


def test_files_of_one_name_are_all_there(tmp_path: Path) -> None:
    text = """
        workflow: names
        steps:
          make: {tasks: 3, job: {command: [sh, -c, "echo {task} > same"]}, outputs: {o: same}}
          use:
            inputs: {i: make.o}
            grouping: 3
            job: {command: [sh, -c, 'cat "$@" > all', sh, "{i}"]}
            outputs: {all: all}
    """
    outcome = run_here(workflow(tmp_path, text), tmp_path)

    assert outcome.complete, outcome.failures
    assert (tmp_path / "run/use/1/all").read_text() == "1\n2\n3\n"


# what a shell does, and what is said of it
FAILS = {
    "a code": ("exit 3", "exit code 3"),
    "a signal": ("kill -9 $$", "ended by signal 9"),
    "no output": ("true", "outputs.o: no file matches *.out"),
    "no metadata": (
        "touch x.out",
        "outputs.o: k is not set for x.out: write it into x.out.meta.json",
    ),
    "bad metadata": ("touch x.out; echo { > x.out.meta.json", "x.out.meta.json: expected a"),
    "a key of ours": ("touch x.out; echo '{\"did\": 1}' > x.out.meta.json", "found 'did'"),
    "no value": (
        "touch x.out; echo '{\"k\": 1}' > x.out.meta.json",
        "the file v.json with a value is missing",
    ),
    "a wrong value": (
        "touch x.out; echo '{\"k\": 1}' > x.out.meta.json; echo '\"1\"' > v.json",
        "v.json: expected integer, found '1'",
    ),
    "time": ("sleep 60", "ran longer than its limit of 1 s"),
}  # fmt: skip
FAILING = """
    workflow: fails
    steps:
      a:
        files: [a.sh]
        job: {command: [sh, a.sh], needs: {wall_s: 1}}
        outputs: {o: {pattern: "*.out", sets: [k]}, v: {value: v.json, type: integer}}
      b: {inputs: {i: a.o}, job: {command: ["true"]}}
"""


@pytest.mark.parametrize("name", FAILS)
def test_why_a_task_failed_is_told(name: str, tmp_path: Path) -> None:
    script, said = FAILS[name]
    (tmp_path / "a.sh").write_text(f"echo complaint >&2; {script}\n")

    outcome = run_here(workflow(tmp_path, FAILING), tmp_path)

    (failure,) = outcome.failures
    assert not outcome.complete
    assert said in failure.reason
    assert failure.said == "complaint"
    assert outcome.starved == ["b"]


def test_a_program_that_is_not_there_fails_its_task(tmp_path: Path) -> None:
    text = "{workflow: none, steps: {a: {job: {command: [no-such-program]}}}}"

    (failure,) = run_here(workflow(tmp_path, text), tmp_path).failures

    assert failure.reason.startswith("no-such-program cannot be started: ")


# a pattern, and what it matches of what the task makes
PATTERNS = {
    "*": ["top", ".point"],
    "**": ["top", ".point", "a/one", "a/b/two"],
    "a/**": ["a/one", "a/b/two"],
    "**/t*": ["top", "a/b/two"],
    "[!t]*": [".point"],
    "a/*": ["a/one"],
    "**p": ["top"],
    "a**/*e": ["a/one"],
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_mean_what_they_mean_on_pilots(pattern: str, tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("mkdir -p a/b; touch top .point a/one a/b/two tool.meta.json")
    text = f"""
        workflow: patterns
        steps:
          in: {{job: {{command: [touch, t]}}, outputs: {{o: t}}}}
          a:
            inputs: {{t: in.o}}
            files: [tool]
            job: {{command: [sh, tool]}}
            outputs: {{o: "{pattern}"}}
    """

    outcome = run_here(workflow(tmp_path, text), tmp_path)

    on_pilots = filter(compile_glob(pattern).fullmatch, PATTERNS["**"])
    assert sorted(on_pilots) == sorted(PATTERNS[pattern])
    assert sorted(made(outcome, "a", "o")) == sorted(f"a/1/{name}" for name in PATTERNS[pattern])


def test_a_file_that_has_gone_fails_its_task(tmp_path: Path) -> None:
    (tmp_path / "tool").touch()
    definition = workflow(
        tmp_path, "{workflow: gone, steps: {a: {files: [tool], job: {command: [x], retries: 1}}}}"
    )
    (tmp_path / "tool").unlink()

    (failure,) = run_here(definition, tmp_path).failures

    assert failure.reason.startswith("its folder cannot be created: ")


def test_a_task_is_tried_again_in_a_new_folder(tmp_path: Path) -> None:
    text = """
        workflow: again
        steps:
          a:
            job:
              command: [sh, -c, "test ! -e mark; touch mark; test $PILOTAGE_EPOCH = 3 && touch o"]
              retries: 2
            outputs: {o: o}
    """
    outcome = run_here(workflow(tmp_path, text), tmp_path)

    assert outcome.complete, outcome.failures


@pytest.mark.parametrize(("codes", "attempts"), [("[75]", "1"), ("[3, 75]", "3"), ("[]", "3")])
def test_retry_codes_say_which_ends_are_tried_again(
    codes: str, attempts: str, tmp_path: Path
) -> None:
    text = f"""
        workflow: again
        steps:
          a:
            job:
              command: [sh, -c, "echo $PILOTAGE_EPOCH > {tmp_path}/last; exit 3"]
              retries: 2
              retry_codes: {codes}
    """
    outcome = run_here(workflow(tmp_path, text), tmp_path)

    assert not outcome.complete
    assert (tmp_path / "last").read_text().strip() == attempts


def test_no_more_run_at_once_than_there_are_cores(tmp_path: Path) -> None:
    (tmp_path / "busy.sh").write_text(
        f"mkdir {tmp_path}/one || exit 1; sleep 0.05; rmdir {tmp_path}/one"
    )
    text = """
        workflow: cores
        steps:
          a: {tasks: 4, files: [busy.sh], job: {command: [sh, busy.sh], needs: {cores_min: 8}}}
    """
    outcome = run_here(workflow(tmp_path, text), tmp_path, cores=2)

    assert outcome.complete, outcome.failures


async def test_a_run_that_is_stopped_leaves_no_process(tmp_path: Path) -> None:
    text = """
        workflow: stop
        steps:
          a: {tasks: 2, job: {command: [sh, -c, "sleep 600 & echo $! > pid; wait"]}}
    """
    (tmp_path / "run").mkdir()
    place = RunEnvironment(tmp_path / "run", tmp_path, 2, ENVIRONMENT)
    task = asyncio.get_running_loop().create_task(run(workflow(tmp_path, text), place))
    pids = [tmp_path / "run" / "a" / str(n) / "pid" for n in (1, 2)]
    until = time.monotonic() + 30
    while not all(pid.exists() and pid.read_text().strip() for pid in pids):
        assert time.monotonic() < until
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    while any(is_alive(int(pid.read_text())) for pid in pids):
        assert time.monotonic() < until + 30
        await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Whether a process runs: one that has ended may wait for whoever has taken it over."""
    try:
        return b") Z" not in Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_files_of_a_folder_are_a_catalogue(tmp_path: Path) -> None:
    data = tmp_path / "data" / "deep"
    data.mkdir(parents=True)
    for n in (1, 2):
        (data / f"f{n}").write_text(f"{n}\n")
        (data / f"f{n}.meta.json").write_text(json.dumps({"n": n, "dataset": "s:d"}))
    text = """
        workflow: catalogue
        keys: {n: number}
        steps:
          a:
            inputs: {i: {query: {n: 2}}}
            job: {command: [cp, "{i}", "copy-{n}"]}
            outputs: {o: copy-*}
    """
    outcome = run_here(workflow(tmp_path, text), tmp_path, files_in(tmp_path / "data"))

    assert made(outcome, "a", "o") == ["a/1/copy-2"]
    assert os.readlink(tmp_path / "run/a/1/i/f2") == str(data / "f2")
