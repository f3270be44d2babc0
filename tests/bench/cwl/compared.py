"""Two workflows, run by pilotage on pilots of this machine and by other runners of CWL."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from ..figures import Figure, figure
from ..rig import Rig, rig
from . import peers

GATHERED = 200
ELEMENTS = 20
PILOTS, SLOTS = 2, 8
PATIENCE_S = 1_200.0
RUNNER = str(Path(sys.executable).parent / "pilotage-cwl-runner")
SAY = """\
      class: CommandLineTool
      baseCommand: echo
      inputs: {word: {type: string, inputBinding: {}}}
      stdout: said.txt
      outputs: {said: {type: stdout}}
"""
JOIN = """\
      class: CommandLineTool
      baseCommand: cat
      inputs: {parts: {type: "File[]", inputBinding: {}}}
      stdout: joined.txt
      outputs: {joined: {type: stdout}}
"""
GATHER = f"""\
cwlVersion: v1.2
class: Workflow
requirements: {{ScatterFeatureRequirement: {{}}}}
inputs: {{words: "string[]"}}
outputs: {{joined: {{type: File, outputSource: join/joined}}}}
steps:
  say:
    scatter: word
    in: {{word: words}}
    out: [said]
    run:
{SAY}
  join:
    in: {{parts: say/said}}
    out: [joined]
    run:
{JOIN}
"""
CHANGE = """\
      class: CommandLineTool
      baseCommand: sed
      arguments: ["s/^/$(inputs.mark) $(inputs.file.nameroot) /"]
      inputs: {file: File, mark: string}
      stdin: $(inputs.file.path)
      stdout: $(inputs.mark).txt
      outputs: {changed: {type: stdout}}
"""
DIAMOND = f"""\
cwlVersion: v1.2
class: Workflow
requirements:
  ScatterFeatureRequirement: {{}}
  StepInputExpressionRequirement: {{}}
  MultipleInputFeatureRequirement: {{}}
inputs: {{words: "string[]"}}
outputs: {{joined: {{type: "File[]", outputSource: join/joined}}}}
steps:
  say:
    scatter: word
    in: {{word: {{source: words, valueFrom: "$(self)-said"}}}}
    out: [said]
    run:
{SAY}
  left:
    scatter: file
    in: {{file: say/said, mark: {{valueFrom: left}}}}
    out: [changed]
    run: &change
{CHANGE}
  right:
    scatter: file
    in: {{file: say/said, mark: {{valueFrom: right}}}}
    out: [changed]
    run: *change
  join:
    scatter: [one, other]
    scatterMethod: dotproduct
    in: {{one: left/changed, other: right/changed}}
    out: [joined]
    run:
      class: CommandLineTool
      baseCommand: cat
      inputs:
        one: {{type: File, inputBinding: {{position: 1}}}}
        other: {{type: File, inputBinding: {{position: 2}}}}
      stdout: joined.txt
      outputs: {{joined: {{type: stdout}}}}
"""


@dataclass(frozen=True)
class _Task:
    """A workflow with its inputs, and the text of its outputs."""

    name: str
    text: str
    words: Sequence[str]
    said: str


def _tasks(gathered: int, elements: int) -> list[_Task]:
    words = [f"w{number}" for number in range(gathered)]
    some = words[:elements]
    both = [f"{mark} said {one}-said\n" for one in some for mark in ("left", "right")]
    return [
        _Task("gather", GATHER, words, "".join(f"{one}\n" for one in words)),
        _Task("diamond", DIAMOND, some, "".join(both)),
    ]


def measure(gathered: int, elements: int) -> list[Figure]:
    """Run both workflows on pilots."""
    with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as name, rig(mosquitto=True) as one:
        one.pilots(PILOTS, cores=SLOTS, isolation="session")
        return [_ours(one, task, Path(name)) for task in _tasks(gathered, elements)]


def measure_peers(gathered: int, elements: int) -> tuple[list[Figure], list[str]]:
    """Run both workflows with each peer; return also why a peer has no figures."""
    found: list[Figure] = []
    missing: list[str] = []
    for peer, command in peers.PEERS.items():
        with tempfile.TemporaryDirectory(prefix="pilotage-bench-") as name:
            folder = Path(name)
            try:
                words = command()
                # Toil looks for its own programs in PATH, and keeps a history in HOME.
                path = f"{os.path.dirname(words[0])}:{os.environ['PATH']}"
                own = {"HOME": name, "PATH": path}
                found += [
                    _figure(one, peer, _timed(words, one, folder / one.name, own))
                    for one in _tasks(gathered, elements)
                ]
            except peers.NoPeer as why:
                missing.append(f"{peer}: {why}")
    return found, missing


def _ours(bench: Rig, task: _Task, folder: Path) -> Figure:
    words = [RUNNER, "--url", bench.central.url, "--name", task.name]
    token = {"PILOTAGE_TOKEN_FILE": str(bench.central.data / "admin.token")}
    return _figure(task, "pilotage", _timed(words, task, folder / task.name, token))


def _figure(task: _Task, runner: str, took: float) -> Figure:
    return figure("cwl", f"{task.name}, {runner}", took, "s")


def _timed(
    words: Sequence[str], task: _Task, folder: Path, environment: Mapping[str, str] | None = None
) -> float:
    """Return how long a command runs a workflow, if its outputs are right. Raises NoPeer."""
    folder.mkdir(parents=True)
    (folder / "tmp").mkdir()
    (folder / "main.cwl").write_text(task.text)
    (folder / "inputs.json").write_text(json.dumps({"words": task.words}))
    began = time.perf_counter()
    done = subprocess.run(
        [*words, f"--outdir={folder}/out", "--quiet", "main.cwl", "inputs.json"],
        cwd=folder,
        env={**os.environ, "TMPDIR": str(folder / "tmp"), **(environment or {})},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    took = time.perf_counter() - began
    if done.returncode != 0:
        raise peers.NoPeer(f"{words[0]} ended with {done.returncode}: {done.stderr[-2_000:]}")
    joined = json.loads(done.stdout)["joined"]
    files = joined if isinstance(joined, list) else [joined]
    paths = [unquote(one["location"].removeprefix("file://")) for one in files]
    said = "".join(Path(one).read_text() for one in paths)
    assert said == task.said, f"{words[0]}: {said[:500]}"
    return took
