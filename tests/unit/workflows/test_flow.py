"""Which tasks there are, as files and values come: no processes, no folders."""

from pathlib import Path
from typing import Any

import pytest

from pilotage.central.workflows.flow import WorkflowFile, WorkflowRun, WorkflowTask
from pilotage.proto.documents.workflow import Workflow

from .written_here import workflow


def a_file(
    task: WorkflowTask, port: str, name: str = "", size: int = 1, **metadata: Any
) -> WorkflowFile:
    name = name or f"{task.step}-{task.number}"
    return WorkflowFile(name, f"/{name}", size, metadata, task.step, port, task.number)


def names(task: WorkflowTask, port: str) -> list[str]:
    return [file.name for file in task.files[port]]


def flow_of(folder: Path, text: str) -> tuple[WorkflowRun, list[WorkflowTask]]:
    flow = WorkflowRun(workflow(folder, text))
    return flow, flow.begin()


MAKE = """
    workflow: w
    steps:
      make: {tasks: 5, job: {command: [x]}, outputs: {o: {pattern: "*", sets: {k: []}}}}
"""


def test_a_child_starts_with_its_first_full_group_and_flushes_at_the_end(tmp_path: Path) -> None:
    use = "      use: {inputs: {i: make.o}, grouping: 2, job: {command: [x]}, outputs: {o: '*'}}"
    flow, tasks = flow_of(tmp_path, MAKE + use)
    made = [flow.done(task, {"o": [a_file(task, "o", k=1)]}, {}) for task in tasks]

    assert [task.number for task in tasks] == [1, 2, 3, 4, 5]
    assert [len(new) for new in made] == [0, 1, 0, 1, 1]
    assert [names(new[0], "i") for new in made if new] == [
        ["make-1", "make-2"], ["make-3", "make-4"], ["make-5"],
    ]  # fmt: skip


def test_a_group_that_never_fills_stays_where_nothing_may_flush_it(tmp_path: Path) -> None:
    use = (
        "      use: {inputs: {i: make.o}, grouping: {size: 2, partial: never}, job: {command: [x]}}"
    )
    flow, tasks = flow_of(tmp_path, MAKE + use)
    made = [new for task in tasks for new in flow.done(task, {"o": [a_file(task, "o")]}, {})]
    for task in made:
        flow.done(task, {}, {})

    assert len(made) == 2
    assert dict(flow.left()) == {("use", "i"): 1}
    assert flow.is_complete()


def test_files_are_narrowed_by_what_a_child_asks(tmp_path: Path) -> None:
    use = "      use: {inputs: {i: {from: make.o, where: {k: {'>=': 3}}}}, job: {command: [x]}}"
    flow, tasks = flow_of(tmp_path, MAKE + use)
    made = [
        new
        for task in tasks
        for new in flow.done(task, {"o": [a_file(task, "o", k=task.number)]}, {})
    ]

    assert [names(task, "i") for task in made] == [["make-3"], ["make-4"], ["make-5"]]


def test_groups_agree_in_their_keys_and_know_them(tmp_path: Path) -> None:
    use = """      use:
        inputs: {i: make.o}
        grouping: {rule: key, keys: [k], size: 2}
        job: {command: [x, "{k}"]}
"""
    flow, tasks = flow_of(tmp_path, MAKE + use)
    made = [
        new
        for task in tasks
        for new in flow.done(task, {"o": [a_file(task, "o", k=task.number % 2)]}, {})
    ]

    assert [(task.common["k"], names(task, "i")) for task in made] == [
        (1, ["make-1", "make-3"]), (0, ["make-2", "make-4"]), (1, ["make-5"]),
    ]  # fmt: skip


def test_a_join_takes_of_each_side_what_agrees_and_shared_files_beside_it(tmp_path: Path) -> None:
    text = """
        workflow: w
        steps:
          a: {tasks: 2, job: {command: [x]}, outputs: {o: {pattern: "*", sets: {k: []}}}}
          b: {tasks: 2, job: {command: [x]}, outputs: {o: {pattern: "*", sets: {k: []}}}}
          model: {job: {command: [x]}, outputs: {o: "*"}}
          use:
            inputs: {a: a.o, b: b.o, m: {from: model.o, use: shared}}
            grouping: {rule: join, keys: [k]}
            job: {command: [x]}
    """
    flow, (a1, a2, b1, b2, model) = flow_of(tmp_path, text)
    for task, k in ((a1, 1), (b1, 2), (b2, 1), (a2, 2)):
        assert flow.done(task, {"o": [a_file(task, "o", k=k)]}, {}) == []
    made = flow.done(model, {"o": [a_file(model, "o")]}, {})

    assert [(names(task, "a"), names(task, "b"), names(task, "m")) for task in made] == [
        (["a-1"], ["b-2"], ["model-1"]), (["a-2"], ["b-1"], ["model-1"]),
    ]  # fmt: skip


@pytest.mark.parametrize(("keys", "fits"), [({"k": 1}, True), ({"k": True}, False), ({}, False)])
def test_a_shared_file_fits_by_what_it_has(tmp_path: Path, keys: Any, fits: bool) -> None:
    text = """
        workflow: w
        steps:
          a: {tasks: 1, job: {command: [x]}, outputs: {o: {pattern: "*", sets: {k: []}}}}
          model: {job: {command: [x]}, outputs: {o: {pattern: "*", sets: {k: []}}}}
          use:
            inputs: {a: a.o, m: {from: model.o, use: shared, on: [k]}}
            job: {command: [x]}
    """
    flow, (a, model) = flow_of(tmp_path, text)
    flow.done(model, {"o": [a_file(model, "o", **keys)]}, {})
    made = flow.done(a, {"o": [a_file(a, "o", k=1)]}, {})

    # Without a file that fits, a task waits as it does on pilots.
    assert [len(one.files["m"]) for one in made] == [1] * fits
    assert flow.left() == ({} if fits else {("use", "a"): 1})


def test_what_needs_all_of_a_step_does_not_run_where_a_task_failed(tmp_path: Path) -> None:
    rest = """
      one: {inputs: {i: make.o}, job: {command: [x]}, outputs: {o: "*"}}
      sum: {inputs: {i: one.o}, grouping: all, job: {command: [x]}}
"""
    flow, tasks = flow_of(tmp_path, MAKE + rest)
    singles = flow.failed(tasks[0])
    for task in tasks[1:]:
        singles += flow.done(task, {"o": [a_file(task, "o")]}, {})
    after = [new for task in singles for new in flow.done(task, {"o": [a_file(task, "o")]}, {})]

    assert [task.step for task in singles] == ["one"] * 4
    assert after == []
    assert not flow.is_complete()
    assert flow.starved() == ["one", "sum"]
    assert flow.counts()["make"].failed == 1


def test_a_step_without_files_to_come_is_complete_at_once(tmp_path: Path) -> None:
    text = """
        workflow: w
        keys: {k: number}
        steps:
          a: {inputs: {i: {query: {k: 1}}}, job: {command: [x]}, outputs: {o: "*"}}
          b: {inputs: {i: a.o}, grouping: all, job: {command: [x]}}
    """
    flow, tasks = flow_of(tmp_path, text)

    assert tasks == []
    assert flow.is_complete()


def test_files_of_the_catalogue_come_by_query_and_by_dataset(tmp_path: Path) -> None:
    text = """
        workflow: w
        keys: {k: number}
        steps:
          a: {inputs: {i: {query: {k: {in: [1, 2]}}}}, job: {command: [x]}}
          b: {inputs: {i: {dataset: "s:d", where: {k: 2}}}, job: {command: [x]}}
          c: {inputs: {i: {dataset: "s:d", files_max: 1}}, job: {command: [x]}}
    """
    files = [
        WorkflowFile("f1", "/f1", 1, {"k": 1}),
        WorkflowFile("f2", "/f2", 1, {"k": 2, "dataset": "s:d"}),
        WorkflowFile("f3", "/f3", 1, {"k": 3, "dataset": "s:d"}),
    ]
    tasks = WorkflowRun(workflow(tmp_path, text), files).begin()

    found = [(task.step, *names(task, "i")) for task in tasks]
    assert found == [("a", "f1"), ("a", "f2"), ("b", "f2"), ("c", "f2")]


SCATTER = """
    workflow: w
    parameters: {{n: [1, 2], m: [10, 20, 30]}}
    steps:
      each:
        inputs: {{n: {{parameter: n}}, m: {{parameter: m}}}}
        scatter: [n, m]
        scatter_method: {method}
        when: {{n: {{">=": {least}}}}}
        job: {{command: [x, "{{n}}", "{{m}}"]}}
        outputs: {{v: {{value: v.json, type: integer}}}}
      all:
        inputs: {{v: {{from: each.v, type: '{type}'}}}}
        gather: v
        job: {{command: [x, "{{v}}"]}}
"""


def scattered(folder: Path, method: str, least: int = 0) -> tuple[list[tuple[int, int]], Any]:
    """Return the pairs of the tasks, which give their sum, and what was gathered of them."""
    kind = "any[][]" if method == "nested" else "any[]"
    flow = WorkflowRun(workflow(folder, SCATTER.format(method=method, least=least, type=kind)))
    tasks = flow.begin()
    pairs = [(task.values["n"], task.values["m"]) for task in tasks]
    last: list[WorkflowTask] = []
    for task in reversed(tasks):  # as they may end
        last += flow.done(task, {}, {"v": task.values["n"] + task.values["m"]})
    (gathered,) = last
    assert flow.done(gathered, {}, {}) == [] and flow.is_complete()
    return pairs, gathered.values["v"]


def test_a_scatter_makes_a_task_for_each_element_and_gathers_in_order(tmp_path: Path) -> None:
    every = [(1, 10), (1, 20), (1, 30), (2, 10), (2, 20), (2, 30)]

    assert scattered(tmp_path, "dot") == ([(1, 10), (2, 20)], [11, 22])
    assert scattered(tmp_path, "cross") == (every, [11, 21, 31, 12, 22, 32])
    assert scattered(tmp_path, "nested") == (every, [[11, 21, 31], [12, 22, 32]])


def test_what_does_not_meet_its_condition_makes_no_task_and_no_value(tmp_path: Path) -> None:
    assert scattered(tmp_path, "dot", least=2) == ([(2, 20)], [None, 22])


def test_a_definition_survives_its_own_form(tmp_path: Path) -> None:
    import msgspec

    found = workflow(tmp_path, SCATTER.format(method="cross", least=1, type="any[]"))

    assert msgspec.json.decode(msgspec.json.encode(found), type=Workflow) == found


EACH = "      each: {inputs: {i: make.o}, job: {command: [x]}, outputs: {o: {pattern: '*'}}}\n"


@pytest.mark.parametrize(
    ("allowed", "made"),
    [
        ("", 0),
        ("allow_partial: 0.19, ", 0),
        ("allow_partial: 0.2, ", 1),
        ("allow_partial: 20%, ", 1),
    ],
)
@pytest.mark.parametrize("of", ["make", "each"])
def test_a_step_takes_what_is_there_if_no_more_is_missing_than_it_allows(
    tmp_path: Path, of: str, allowed: str, made: int
) -> None:
    everything = (
        f"      all: {{{allowed}inputs: {{i: {of}.o}}, grouping: all, job: {{command: [x]}}}}\n"
    )
    flow, tasks = flow_of(tmp_path, MAKE + EACH + everything)
    new = flow.failed(tasks[0])
    for task in tasks[1:]:
        new += flow.done(task, {"o": [a_file(task, "o")]}, {})
    for task in [one for one in new if one.step == "each"]:
        new += flow.done(task, {"o": [a_file(task, "o")]}, {})

    assert sum(one.step == "all" for one in new) == made
    assert str(flow.missing("all")) == "1 of 5 tasks of w-make"
    assert flow.takes_all("all")
    assert not flow.takes_all("each")
    assert not flow.is_complete()
    assert ("all" in flow.starved()) is not bool(made)
