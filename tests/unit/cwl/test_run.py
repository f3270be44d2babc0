"""A run of a document, given only what its jobs say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cwltool")

from cwltool.context import LoadingContext
from cwltool.load_tool import load_tool

from pilotage.central.cwl import tools
from pilotage.central.cwl.known_files import RUNS, RunFiles
from pilotage.central.cwl.run import CwlRun
from pilotage.central.cwl.tools import ToolJob, made_tool
from pilotage.pilot.cwl import tool_job

WORKFLOW = """
cwlVersion: v1.2
class: Workflow
requirements:
  ScatterFeatureRequirement: {}
  StepInputExpressionRequirement: {}
inputs:
  words: string[]
  skip: {type: boolean, default: true}
outputs:
  all: {type: File, outputSource: join/joined}
  none: {type: File?, outputSource: never/joined}
steps:
  write:
    in: {word: words}
    scatter: word
    out: [written]
    run:
      class: CommandLineTool
      baseCommand: echo
      inputs: {word: {type: string, inputBinding: {}}}
      stdout: $(inputs.word).txt
      outputs: {written: stdout}
  join:
    in: {parts: write/written}
    out: [joined]
    run: &join
      class: CommandLineTool
      baseCommand: cat
      inputs: {parts: {type: 'File[]', inputBinding: {}}}
      stdout: joined.txt
      outputs: {joined: stdout}
  never:
    in: {parts: write/written, skip: skip}
    when: $(inputs.skip)
    out: [joined]
    run: *join
"""


def begun(folder: Path, text: str = WORKFLOW, **order: Any) -> CwlRun:
    file = folder / "workflow.cwl"
    file.write_text(text)
    loading = LoadingContext()
    loading.construct_tool_object = made_tool
    loading.disable_js_validation = True
    return CwlRun(load_tool(str(file), loading), order, RunFiles())


def listed(**files: str) -> Mapping[str, Any]:
    """Return the result of a job that made these files."""
    found = [
        {
            "path": name.replace("_", "."),
            "kind": "file",
            "bytes": len(text),
            "sha1": "0" * 40,
            "head": text.encode().hex(),
        }
        for name, text in files.items()
    ]
    return {"code": 0, "status": "success", "why": "", "files": found}


def played(run: CwlRun, jobs: list[ToolJob]) -> None:
    for job in jobs:
        name = job.spec["stdout"]
        run.done(job.key, listed(**{name.replace(".", "_"): "x"}))


def test_values_flow_from_scattered_jobs_to_the_next_in_order(tmp_path: Path) -> None:
    run = begun(tmp_path, words=["a", "b", "a"], skip=False)

    jobs = run.advance()
    assert [job.spec["argv"] for job in jobs] == [["echo", "a"], ["echo", "b"], ["echo", "a"]]
    played(run, jobs[::-1])
    (joined,) = run.advance()

    sources = [one["source"] for one in joined.spec["stage"]]
    assert sources == [f"{RUNS}/{job.key}/{job.spec['stdout']}" for job in jobs]
    played(run, [joined])
    assert run.advance() == []
    assert run.status == "success"
    assert run.outputs["all"]["location"].endswith(f"{joined.key}/joined.txt")
    assert run.outputs["none"] is None


def test_a_run_that_was_lost_wants_the_same_jobs_by_the_same_keys(tmp_path: Path) -> None:
    run = begun(tmp_path, words=["a", "b", "a"], skip=False)
    jobs = run.advance()
    played(run, jobs)
    after = run.advance()

    again = begun(tmp_path, words=["a", "b", "a"], skip=False)

    assert again.advance() == jobs
    assert len({job.key for job in jobs}) == 3
    played(again, [jobs[2], jobs[0], jobs[1]])
    assert again.advance() == after


def test_another_version_of_the_program_reuses_no_earlier_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recipe() -> str:
        (job,) = begun(tmp_path, words=["a"], skip=False).advance()
        return job.recipe

    before = recipe()
    assert before and recipe() == before

    monkeypatch.setattr(tools, "VERSION", tool_job.VERSION + 1)

    assert recipe() not in ("", before)


def test_a_job_that_failed_ends_the_run_and_says_why(tmp_path: Path) -> None:
    run = begun(tmp_path, words=["a", "b"], skip=False)
    first, second = run.advance()

    run.failed(first.key, "no node has enough memory")
    run.done(second.key, listed(b_txt="x"))

    assert run.advance() == []
    assert run.status == "permanentFail"
    assert any("no node has enough memory" in why for why in run.why)


def test_a_missing_output_is_named(tmp_path: Path) -> None:
    run = begun(tmp_path, words=["a"], skip=False)
    (job,) = run.advance()

    run.done(job.key, listed())

    run.advance()
    assert run.status == "permanentFail"
    assert any("a.txt" in why for why in run.why)


ALL = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: x
inputs: []
outputs: {all: {type: 'File[]', outputBinding: {glob: "*"}}}
"""


def test_an_entry_that_cannot_be_an_output_fails_the_tool_with_the_reason(tmp_path: Path) -> None:
    run = begun(tmp_path, ALL)
    (job,) = run.advance()
    result = dict(listed(good="x"))
    result["files"] += [{"path": "bad", "kind": "leaves", "why": "it is a pipe"}]

    run.done(job.key, result)

    assert run.status == "permanentFail"
    assert "bad cannot be an output: it is a pipe" in run.why[0]


def test_a_number_that_json_does_not_know_fails_the_run(tmp_path: Path) -> None:
    run = begun(tmp_path, ALL.replace("File[]", "Any"))
    (job,) = run.advance()

    run.done(job.key, listed(cwl_output_json='{"all": NaN}'))

    assert (run.status, run.why) == (
        "permanentFail",
        ["found NaN or an infinite number, expected a number"],
    )


USER = """
cwlVersion: v1.2
class: CommandLineTool
baseCommand: cat
inputs: {f: {type: File, inputBinding: {}}}
outputs: {}
"""


def test_an_input_of_another_run_fails_the_run(tmp_path: Path) -> None:
    run = begun(tmp_path, USER, f={"class": "File", "location": f"file://{RUNS}/abc/x"})

    assert run.advance() == []
    assert (run.status, run.why) == (
        "permanentFail",
        ["step workflow.cwl: runs/abc/x is no file of this run"],
    )
