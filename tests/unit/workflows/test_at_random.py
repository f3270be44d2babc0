"""Random workflows run to their end with each file used once; rubbish in a file is refused."""

import copy
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from pilotage.central.workflows import draw
from pilotage.central.workflows.check import check
from pilotage.central.workflows.errors import BadWorkflow
from pilotage.central.workflows.flow import WorkflowFile, WorkflowRun, WorkflowTask
from pilotage.central.workflows.plan import plan
from pilotage.central.workflows.source_lines import is_list, is_mapping
from pilotage.central.workflows.translation import obstacles, to_transformations
from pilotage.central.workflows.workflow_files import read_workflow
from pilotage.proto.documents.workflow import Workflow

GROUPINGS: list[dict[str, Any] | None] = [
    None,
    {"size": 2},
    {"size": 3, "partial": "never"},
    {"rule": "key", "keys": ["k"], "size": 2},
    {"rule": "bytes", "bytes_max": 4},
    {"rule": "all"},
]


def a_workflow(chance: random.Random) -> Workflow:
    """Return steps of which each takes the files of some before it."""
    steps: dict[str, Any] = {}
    for n in range(chance.randint(2, 7)):
        before = [name for name in steps if chance.random() < 0.5]
        step: dict[str, Any] = {
            "job": {"command": ["x"]},
            "outputs": {"o": {"pattern": "*", "sets": {"k": []}}},
            "inputs": {
                f"p{i}": {"from": [{"step": name, "port": "o"}]} for i, name in enumerate(before)
            },
        }
        grouping = chance.choice(GROUPINGS)
        if not before:
            step["tasks"] = chance.randint(1, 6)
        elif len(before) > 1 and chance.random() < 0.5:
            step["grouping"] = {"rule": "join", "keys": ["k"]}
        elif len(before) > 1:
            step["gather"] = list(step["inputs"])[1:]
            step["grouping"] = grouping
        elif chance.random() < 0.2:
            step["scatter"] = ["p0"]
        else:
            step["grouping"] = grouping
        steps[f"s{n}"] = {key: value for key, value in step.items() if value is not None}
    return msgspec.convert({"name": "random", "steps": steps}, Workflow)


@pytest.mark.parametrize("seed", range(150))
def test_each_file_is_used_once_and_every_run_ends(seed: int) -> None:
    chance = random.Random(seed)
    workflow = a_workflow(chance)
    assert check(workflow) == []
    flow, made, used = WorkflowRun(workflow), list[WorkflowFile](), Counter[tuple[str, str, str]]()
    fails = chance.choice([0.0, 0.0, 0.1])
    ready: list[WorkflowTask] = flow.begin()
    ended = 0
    while ready:
        assert ended < 10_000
        task = ready.pop(chance.randrange(len(ready)))
        ended += 1
        for port, taken in task.files.items():
            used.update((task.step, port, file.path) for file in taken)
        if chance.random() < fails:
            ready += flow.failed(task)
            continue
        name = f"{task.step}/{task.number}"
        files = [
            WorkflowFile(
                f"{name}/{i}",
                f"{name}/{i}",
                chance.randint(1, 4),
                {"k": chance.randint(0, 2)},
                task.step,
                "o",
                task.number,
            )
            for i in range(chance.randint(0, 3))
        ]
        made += files
        ready += flow.done(task, {"o": files}, {})

    failed = any(one.failed for one in flow.counts().values())
    assert flow.is_complete() is not failed
    left = flow.left()
    for name, step in workflow.steps.items():
        for port, given in step.inputs.items():
            (source,) = given.sources
            came = [file.path for file in made if file.step == source.step]
            counts = [used[name, port, path] for path in came]
            if port in step.gather:
                continue  # in every task of the step
            assert max(counts, default=0) <= 1
            if not failed:
                assert counts.count(0) == left.get((name, port), 0)


BASE = """
workflow: values
parameters: {energies: [10, 20, 1000], m: [1, 2], s: {type: string, default: x}}
metadata: {c: A}
keys: {k: number}
steps:
  square-{m}:
    for: {m: [1, 2]}
    inputs: {energy: {parameter: energies, type: integer}, n: {parameter: m}}
    scatter: [energy, n]
    scatter_method: nested
    when: {energy: {"<": 100}}
    job: {command: [sh, -c, 'x {energy}'], environment: {A: "{s}"}, needs: {cores_min: 2}}
    outputs:
      square: {value: square.json, type: integer}
      f: {pattern: "*", metadata: {a: "{task}"}, sets: [q, k]}
  sum:
    inputs: {squares: {from: square-1.square, type: "integer[][]"}, z: {value: [1]}}
    gather: squares
    job: {command: [sh, -c, 'x', sh, "{squares}", "{z}"]}
  files:
    inputs:
      a: {query: {k: {">": 1}}}
      b: {dataset: "s:d", use: shared, where: {k: 1}}
      c: {from: "square-*.f", where: {q: {exists: true}, a: 1}}
    grouping: {rule: join, keys: [k]}
    job: {command: [x, "{inputs}"]}
"""
JUNK: list[Any] = [
    None, True, 0, -1, 1.5, 10**30, "", "x", "{", "{a}", "{task}", "a.b", "square-*.f", [], {},
    [1], ["a"], {"a": 1}, [[]], [{}], {"from": "a.b"}, {"in": [1]}, {">=": "x"}, float("nan"),
]  # fmt: skip


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if is_mapping(value):
        inner: list[tuple[Any, Any]] = list(value.items())
    else:
        inner = list(enumerate(value)) if is_list(value) else []
    for step, below in inner:
        yield (*here, step)
        yield from places(below, (*here, step))


@pytest.mark.parametrize("seed", range(60))
def test_rubbish_is_refused_or_can_be_planned(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    found = copy.deepcopy(yaml.safe_load(BASE))
    for _ in range(chance.choice([1, 1, 2])):
        *way, last = chance.choice(list(places(found)))
        holder = found
        for step in way:
            holder = holder[step]
        if chance.random() < 0.7:
            holder[last] = copy.deepcopy(chance.choice(JUNK))
        elif chance.random() < 0.5 or isinstance(holder, list):
            del holder[last]
        else:
            holder[chance.choice(["for", "query", "value", 1, "task", "data"])] = holder.pop(last)
    file = tmp_path / "flow.yaml"
    # Some stubs of PyYAML leave the type of safe_dump's `width` open.
    text = yaml.safe_dump(found, sort_keys=False)
    file.write_text(text)
    try:
        workflow = read_workflow(file).workflow
    except BadWorkflow as why:
        assert all(line.startswith(f"{file}") for line in why.lines)
        return

    plan(workflow)
    assert draw.as_text(workflow) and draw.as_svg(workflow)
    if not obstacles(workflow):
        to_transformations(workflow)
